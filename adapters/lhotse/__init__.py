"""Lhotse integration: enhancement as a lazy transform of recordings and cuts.

Importing the package registers the transform `Enhance` and adds the method `enhance` to Lhotse's recordings, cuts and
sets of them. Import it wherever manifests with the transform are read, worker processes included.
"""

from __future__ import annotations

from gtcrn_frontend.install_hint import install_hint

try:
    import lhotse as _lhotse  # noqa: F401
except ImportError as _error:
    raise ImportError(f"{__name__} needs lhotse ({_error}): {install_hint('lhotse')}", name="lhotse") from _error

from gtcrn_frontend.adapters.lhotse.cut_transform import RandomEnhance
from gtcrn_frontend.adapters.lhotse.methods import add_methods, enhance
from gtcrn_frontend.adapters.lhotse.transform import Enhance

__all__ = ["Enhance", "RandomEnhance", "enhance"]

add_methods()
