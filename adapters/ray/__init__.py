"""Ray integration: enhancement in Ray Data pipelines, and of whole corpora on a cluster."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gtcrn_frontend.adapters.ray.audio import EnhanceAudio
    from gtcrn_frontend.adapters.ray.runner import ray_runner
    from gtcrn_frontend.adapters.ray.worker_pool import RayPool

__all__ = ["EnhanceAudio", "RayPool", "ray_runner"]

_MODULES = {"EnhanceAudio": "audio", "RayPool": "worker_pool", "ray_runner": "runner"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
