"""SpeechBrain integration: front-end for recipe YAML files, Brains, data pipelines and inference classes.

Names are imported lazily. With a CPU build of torch, import this package before SpeechBrain, see `torchaudio_fallback`.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from gtcrn_frontend.adapters.speechbrain.torchaudio_fallback import ensure_torchaudio
from gtcrn_frontend.install_hint import install_hint

if TYPE_CHECKING:
    from gtcrn_frontend.adapters.speechbrain.brain import FrontendMixin
    from gtcrn_frontend.adapters.speechbrain.dataio import enhanced_audio_pipeline
    from gtcrn_frontend.adapters.speechbrain.frontend import EnhanceFrontend
    from gtcrn_frontend.adapters.speechbrain.inference import with_frontend
    from gtcrn_frontend.adapters.speechbrain.normalizer import EnhancingAudioNormalizer

__all__ = [
    "EnhanceFrontend",
    "EnhancingAudioNormalizer",
    "FrontendMixin",
    "enhanced_audio_pipeline",
    "ensure_torchaudio",
    "with_frontend",
]

_MODULES = {
    "EnhanceFrontend": "frontend",
    "EnhancingAudioNormalizer": "normalizer",
    "FrontendMixin": "brain",
    "enhanced_audio_pipeline": "dataio",
    "with_frontend": "inference",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def _check_installed() -> None:
    """Raises ImportError if torch or SpeechBrain is missing; imports neither."""
    for library in ("torch", "speechbrain"):
        try:
            found = importlib.util.find_spec(library) is not None
        except (ImportError, ValueError):  # blocked by an import hook, or a placeholder in sys.modules
            found = False
        if not found:
            raise ImportError(
                f"{__name__} needs {library}, which is not installed: {install_hint('speechbrain')}",
                name=library,
            )


_check_installed()
ensure_torchaudio()
