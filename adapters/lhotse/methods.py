"""`enhance`, which importing the package makes a method of Lhotse's recordings, cuts and sets of them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, Unpack

from lhotse import CutSet, Recording, RecordingSet
from lhotse.cut import MixedCut, PaddingCut
from lhotse.cut.data import DataCut
from lhotse.utils import fastcopy

from gtcrn_frontend.adapters.lhotse.transform import Enhance
from gtcrn_frontend.adapters.whole_signals import WholeSignalSettings
from gtcrn_frontend.config import DEFAULT_STRENGTH, Strength
from gtcrn_frontend.errors import ConfigError

T = TypeVar("T")
StrengthOrRange = Strength | tuple[float, float]

_DECIMALS = 3  # of drawn strengths, which become part of ids

_log = logging.getLogger(__name__)


def enhance(
    item: T,
    strength: StrengthOrRange = DEFAULT_STRENGTH,
    *,
    affix_id: bool = True,
    seed: int = 0,
    mix_first: bool = True,
    **settings: Unpack[WholeSignalSettings],
) -> T:
    """Returns a copy of a recording, cut, or set of them that is enhanced lazily, while its audio is loaded.

    Supervisions stay as they are. Precomputed features are dropped, as they are not those of the enhanced audio. A set
    that is read lazily stays lazy.

    A cut of a long recording is enhanced on its own: the network does not see what comes before it.

    Args:
        item: `Recording`, `RecordingSet`, any cut, or `CutSet`.
        strength: weight of the enhanced signal, 0 to 1, or `auto`; or a range, from which it is drawn for each
            recording or cut. The draw depends on id and seed only, not on order or number of jobs, and is kept in the
            manifest.
        affix_id: appends `_enh` and the strength to the ids of recordings and cuts.
        seed: of drawn strengths.
        mix_first: for mixed cuts: enhance the mixture, not its tracks. Lhotse forgets transforms of a mixture when it
            is truncated or perturbed afterwards: enhance last.
        **settings: model, engine and so on, see `EnhancerConfig`.

    Raises:
        ConfigError: a setting is out of range, or the item has no recording.
    """
    keywords: dict[str, Any] = {"affix_id": affix_id, "seed": seed, "mix_first": mix_first, **settings}
    enhanced: T
    if isinstance(item, CutSet):
        enhanced = item.map(partial(enhance, strength=strength, **keywords))
    elif isinstance(item, RecordingSet):
        enhanced = RecordingSet(map(partial(enhance, strength=strength, **keywords), item))
    elif isinstance(item, (Recording, DataCut, MixedCut, PaddingCut)):
        transform = Enhance(_drawn(strength, item.id, seed), **settings)
        changes: dict[str, Any] = {"id": item.id + transform.affix} if affix_id else {}
        parts = partial(enhance, strength=transform.config.strength, **keywords)
        enhanced = fastcopy(item, **changes, **_changes(item, transform, parts, mix_first))
    else:
        raise ConfigError(f"expected a recording, a cut or a set of them, got {type(item).__name__}")
    return enhanced


def _changes(item: Any, transform: Enhance, parts: Callable[[Any], Any], mix_first: bool) -> dict[str, Any]:
    """The fields of a recording or cut that change, beside its id; `parts` enhances what it consists of."""
    if isinstance(item, PaddingCut):
        return {}
    if isinstance(item, Recording):
        return {"transforms": [*(item.transforms or ()), transform]}
    if not item.has_recording:
        raise ConfigError(f"{item.id}: expected a cut with a recording, got one with features only")
    if item.has_features:
        _log.warning("%s: dropping precomputed features, which are not those of the enhanced audio", item.id)
    if isinstance(item, DataCut):
        return {"recording": parts(item.recording), "features": None}
    if mix_first:
        return {"tracks": item.drop_features().tracks, "transforms": [*(item.transforms or ()), transform]}
    return {"tracks": [fastcopy(track, cut=parts(track.cut)) for track in item.tracks]}


def add_methods() -> None:
    """Makes `enhance` a method of `Recording`, `RecordingSet`, `CutSet` and all cuts."""
    for cls in (Recording, RecordingSet, CutSet, DataCut, MixedCut, PaddingCut):
        cls.enhance = enhance


def _drawn(strength: StrengthOrRange, item_id: str, seed: int) -> Strength:
    """The strength itself, or one from the range, drawn evenly by a hash of id and seed."""
    if not isinstance(strength, (tuple, list)):
        return strength
    low, high = strength
    if not 0 <= low <= high <= 1:
        raise ConfigError(f"strength: expected a range within 0 to 1, low before high, got {list(strength)}")
    digest = hashlib.sha256(f"{seed} {item_id}".encode()).digest()
    return round(low + (high - low) * int.from_bytes(digest[:6]) / (1 << 48), _DECIMALS)
