"""Late import of the optional package sherpa-onnx."""

from __future__ import annotations

import importlib
from typing import Any

from gtcrn_frontend.install_hint import install_hint


def sherpa_onnx() -> Any:
    """Returns the module `sherpa_onnx`.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return importlib.import_module("sherpa_onnx")
    except ImportError as error:
        raise ImportError(
            f"this needs the package sherpa-onnx ({error}): {install_hint('sherpa')}", name="sherpa_onnx"
        ) from error
