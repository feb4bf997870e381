"""Streaming GTCRN speech enhancement in front of a speech recogniser."""

from pathlib import Path as _Path
from typing import TYPE_CHECKING as _TYPE_CHECKING

# In a checkout, `adapters/` and `models/` are siblings of this package; an installation puts them inside it. Python
# started in the checkout imports this copy first, even if the package is installed.
if not (_Path(__file__).parent / "models").is_dir():
    __path__.append(str(_Path(__file__).parents[1]))

from gtcrn_frontend.config import AutoStrengthConfig, EnhancerConfig, add_enhancer_args
from gtcrn_frontend.duplex import DuplexEnhancer
from gtcrn_frontend.enhancer import Enhancer
from gtcrn_frontend.errors import (
    AudioFormatError,
    ConfigError,
    GtcrnFrontendError,
    ModelError,
    StateError,
    StreamBusyError,
)
from gtcrn_frontend.file_enhancement import enhance_file
from gtcrn_frontend.model_spec import ModelSpec
from gtcrn_frontend.pool import StreamPool
from gtcrn_frontend.state import StreamState
from gtcrn_frontend.streaming.auto_strength.controller import AutoStrengthReport
from gtcrn_frontend.streaming.mixer import AlignedChunk
from gtcrn_frontend.streaming.stream_info import StreamInfo

__all__ = [
    "AlignedChunk",
    "AudioFormatError",
    "AutoStrengthConfig",
    "AutoStrengthReport",
    "ConfigError",
    "DuplexEnhancer",
    "Enhancer",
    "EnhancerConfig",
    "GtcrnFrontendError",
    "ModelError",
    "ModelSpec",
    "StateError",
    "StreamBusyError",
    "StreamInfo",
    "StreamPool",
    "StreamState",
    "add_enhancer_args",
    "enhance_file",
]

if not _TYPE_CHECKING:  # a visible __getattr__ would let misspelt names pass type checkers

    def __getattr__(name: str) -> object:
        """Returns a public object by its old name."""
        from gtcrn_frontend.deprecation import warn_renamed

        renamed = {"GuardConfig": "AutoStrengthConfig", "GuardReport": "AutoStrengthReport"}
        if name not in renamed:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        warn_renamed(name, renamed[name])
        return globals()[renamed[name]]
