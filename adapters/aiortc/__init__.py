"""aiortc integration: an audio track that enhances another one.

Names are imported lazily; aiortc is imported when one of them needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gtcrn_frontend.install_hint import install_hint

if TYPE_CHECKING:
    from gtcrn_frontend.adapters.aiortc.enhanced_track import EnhancedTrack

__all__ = ["EnhancedTrack"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from gtcrn_frontend.adapters.aiortc import enhanced_track
    except ImportError as error:
        raise ImportError(
            f"{name} needs the package aiortc ({error}): {install_hint('aiortc')}", name=error.name
        ) from error
    return getattr(enhanced_track, name)
