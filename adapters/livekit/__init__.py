"""LiveKit integration: noise suppression for an agent's audio input or any `rtc.AudioStream`.

Names are imported lazily; livekit is imported when one of them needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gtcrn_frontend.install_hint import install_hint

if TYPE_CHECKING:
    from gtcrn_frontend.adapters.livekit.frame_processor import (
        GtcrnNoiseSuppression,
        noise_suppression,
        per_participant,
    )

__all__ = ["GtcrnNoiseSuppression", "noise_suppression", "per_participant"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from gtcrn_frontend.adapters.livekit import frame_processor
    except ImportError as error:
        raise ImportError(
            f"{name} needs the package livekit ({error}): {install_hint('livekit')}", name=error.name
        ) from error
    return getattr(frame_processor, name)
