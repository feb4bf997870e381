"""Streaming GTCRN speech enhancement in front of a speech recogniser."""

from gtcrn_frontend.config import EnhancerConfig, add_enhancer_args
from gtcrn_frontend.enhancer import Enhancer
from gtcrn_frontend.errors import AudioFormatError, ConfigError, GtcrnFrontendError, ModelError, StateError
from gtcrn_frontend.files import enhance_file
from gtcrn_frontend.pool import StreamInfo, StreamPool
from gtcrn_frontend.spec import ModelSpec
from gtcrn_frontend.stages.mixer import AlignedChunk
from gtcrn_frontend.state import StreamState

__all__ = [
    "AlignedChunk",
    "AudioFormatError",
    "ConfigError",
    "Enhancer",
    "EnhancerConfig",
    "GtcrnFrontendError",
    "ModelError",
    "ModelSpec",
    "StateError",
    "StreamInfo",
    "StreamPool",
    "StreamState",
    "add_enhancer_args",
    "enhance_file",
]
