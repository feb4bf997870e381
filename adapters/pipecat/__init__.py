"""pipecat integration: an audio filter for a transport's input.

Names are imported lazily; pipecat is imported when one of them needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gtcrn_frontend.install_hint import install_hint

if TYPE_CHECKING:
    from gtcrn_frontend.adapters.pipecat.audio_filter import GtcrnFilter

__all__ = ["GtcrnFilter"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from gtcrn_frontend.adapters.pipecat import audio_filter
    except ImportError as error:
        raise ImportError(
            f"{name} needs the package pipecat-ai ({error}): {install_hint('pipecat')}", name=error.name
        ) from error
    return getattr(audio_filter, name)
