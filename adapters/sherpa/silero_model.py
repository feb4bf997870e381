"""Finds the ONNX file of Silero VAD that the package `silero-vad` ships."""

from __future__ import annotations

import importlib.util
from pathlib import Path

PACKAGE = "silero-vad"
WHERE = f"pip install --no-deps {PACKAGE} brings it, and it is found there; sherpa-onnx's releases have it, too"


def installed_silero_vad() -> Path | None:
    """Returns the file; None if the package is not installed. Imports nothing of it."""
    try:
        found = importlib.util.find_spec("silero_vad")
    except (ImportError, ValueError):  # blocked by an import hook, or by a placeholder in sys.modules
        return None
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder) / "data" / "silero_vad.onnx"
        if path.is_file():
            return path
    return None
