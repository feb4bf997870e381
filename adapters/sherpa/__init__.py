"""sherpa-onnx integration: wrapped recognisers and VADs, pipeline files, and a proxy for its servers.

Names are imported lazily; sherpa-onnx is imported when one of them needs it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gtcrn_frontend.adapters.sherpa.args import add_frontend_args, frontend_from_args
    from gtcrn_frontend.adapters.sherpa.file_transcription import transcribe
    from gtcrn_frontend.adapters.sherpa.pipeline import load_pipeline
    from gtcrn_frontend.adapters.sherpa.transcriber import SherpaRecognizer
    from gtcrn_frontend.adapters.sherpa.wrap import with_frontend

__all__ = [
    "SherpaRecognizer",
    "add_frontend_args",
    "frontend_from_args",
    "load_pipeline",
    "transcribe",
    "with_frontend",
]

_MODULES = {
    "SherpaRecognizer": "transcriber",
    "add_frontend_args": "args",
    "frontend_from_args": "args",
    "load_pipeline": "pipeline",
    "transcribe": "file_transcription",
    "with_frontend": "wrap",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
