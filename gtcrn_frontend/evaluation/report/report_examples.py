"""Utterances for the report: what was heard with and without front-end, with the audio to listen to."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.errors import GtcrnFrontendError
from gtcrn_frontend.evaluation.asr.alignment import Edit, edits
from gtcrn_frontend.evaluation.asr.calibrate import Counting
from gtcrn_frontend.evaluation.asr.scores import Scores
from gtcrn_frontend.evaluation.asr.sweep import Sweep
from gtcrn_frontend.evaluation.noisy_set import Item, read_item
from gtcrn_frontend.evaluation.systems import RAW, at_full_strength, name_of_strength, outputs

EXAMPLES = 4
"""Utterances shown for better and for worse, each."""
LONGEST_S = 20.0
"""Audio is cut after this time: the report holds it all."""


@dataclass(frozen=True)
class Version:
    """What was heard behind one setting: how many of the words (characters) are wrong, and where."""

    name: str
    errors: int
    of: int
    edits: Sequence[Edit]


@dataclass(frozen=True)
class Player:
    """A signal to listen to: what it is, and a data URI with the whole of it."""

    name: str
    data: str


@dataclass(frozen=True)
class Example:
    """One utterance under one condition, without front-end and with it."""

    name: str
    condition: str
    noise: str
    said: str
    heard: Sequence[Version]
    audio: Sequence[Player]


def best_and_worst(
    scores: Scores, sweep: Sweep, setting: EnhancerConfig, counting: Counting
) -> tuple[list[Example], list[Example]]:
    """Returns examples where the setting took most errors away, and where it added most; either may be empty.

    They are of different utterances as far as possible.
    """
    pairs = zip(scores.counts[RAW], scores.counts[setting], strict=True)
    changes = [after.errors - before.errors for before, after in pairs]
    order = sorted(range(len(changes)), key=lambda i: changes[i])
    better = _different([i for i in order if changes[i] < 0], scores)
    worse = _different([i for i in reversed(order) if changes[i] > 0], scores)

    def made(chosen: Sequence[int]) -> list[Example]:
        return [_example(i, scores, sweep, setting, counting) for i in chosen]

    return made(better), made(worse)


def _different(order: Sequence[int], scores: Scores) -> list[int]:
    """The first few, of each utterance its first before any other."""
    first: dict[Path, int] = {}
    for i in order:
        first.setdefault(scores.items[i].utterance.path, i)
    chosen = list(first.values())[:EXAMPLES]
    return chosen + [i for i in order if i not in chosen][: EXAMPLES - len(chosen)]


def _example(index: int, scores: Scores, sweep: Sweep, setting: EnhancerConfig, counting: Counting) -> Example:
    item, normal = scores.items[index], counting.normalisation
    said = normal(item.utterance.text)
    heard = []
    for name, version in (("no front-end", RAW), ("with front-end", setting)):
        counts = scores.counts[version][index]
        found = edits(said, normal(sweep.heard[version][item].text), counting.unit)
        heard.append(Version(name, counts.errors, counts.reference, found))
    noise = item.noise.path.stem if item.noise else ""
    return Example(item.utterance.name, item.condition, noise, said, heard, _players(item, setting))


def _players(item: Item, setting: EnhancerConfig) -> list[Player]:
    """The audio as recorded, at full strength and mixed; none if it cannot be read any more."""
    versions = {"as it came": RAW, "enhanced, full strength": at_full_strength(setting)}
    if setting.strength_or_auto != 1:
        versions[f"mixed, strength {name_of_strength(setting)}"] = setting
    try:
        samples, rate = read_item(item)
        made = outputs(samples[: int(LONGEST_S * rate)], rate, list(versions.values()))
        return [Player(name, _flac(each.samples, rate)) for name, each in zip(versions, made, strict=True)]
    except GtcrnFrontendError:
        return []


def _flac(samples: npt.NDArray[np.float32], rate: int) -> str:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1, 1), rate, format="FLAC", subtype="PCM_16")
    return f"data:audio/flac;base64,{base64.b64encode(buffer.getvalue()).decode()}"
