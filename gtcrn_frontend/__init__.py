"""Streaming GTCRN speech enhancement in front of a speech recogniser."""

from pathlib import Path as _Path

# In a checkout `adapters/` and `models/` lie beside this package; an installation puts them inside. Python started in
# the checkout finds this one first, whatever is installed.
if not (_Path(__file__).parent / "models").is_dir():
    __path__.append(str(_Path(__file__).parents[1]))

from gtcrn_frontend.config import EnhancerConfig, add_enhancer_args
from gtcrn_frontend.enhancer import Enhancer
from gtcrn_frontend.errors import (
    AudioFormatError,
    ConfigError,
    GtcrnFrontendError,
    ModelError,
    StateError,
    StreamBusyError,
)
from gtcrn_frontend.files import enhance_file
from gtcrn_frontend.pool import StreamInfo, StreamPool
from gtcrn_frontend.spec import ModelSpec
from gtcrn_frontend.stages.guard import GuardConfig, GuardReport
from gtcrn_frontend.stages.mixer import AlignedChunk
from gtcrn_frontend.state import StreamState

__all__ = [
    "AlignedChunk",
    "AudioFormatError",
    "ConfigError",
    "Enhancer",
    "EnhancerConfig",
    "GtcrnFrontendError",
    "GuardConfig",
    "GuardReport",
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
