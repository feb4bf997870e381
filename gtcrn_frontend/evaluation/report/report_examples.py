"""Examples of the report: utterances with their transcripts without and with front-end, and the audio."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.errors import GtcrnFrontendError
from gtcrn_frontend.evaluation.asr.alignment import Edit, edits
from gtcrn_frontend.evaluation.asr.calibration import Calibration
from gtcrn_frontend.evaluation.asr.scores import Scores
from gtcrn_frontend.evaluation.noisy_set import Item, read_item
from gtcrn_frontend.evaluation.systems import RAW, at_full_strength, name_of_strength, outputs

EXAMPLES = 4
"""Number of examples in each of the two lists."""
MAX_AUDIO_S = 20.0
"""Audio is cut after this time: the report embeds it."""


@dataclass(frozen=True)
class Version:
    """Transcript behind one setting: number of wrong words (characters), and the alignment with the reference."""

    name: str
    errors: int
    of: int
    edits: Sequence[Edit]


@dataclass(frozen=True)
class Player:
    """A signal to listen to, as a data URI."""

    name: str
    data: str


@dataclass(frozen=True)
class Example:
    """One utterance under one condition, without and with front-end."""

    name: str
    condition: str
    noise: str
    reference: str
    versions: Sequence[Version]
    audio: Sequence[Player]


def best_and_worst(calibration: Calibration, setting: EnhancerConfig) -> tuple[list[Example], list[Example]]:
    """Returns examples in which a setting removed most errors, and in which it added most; either may be empty.

    They are of different utterances as far as possible.
    """
    scores = calibration.scores
    pairs = zip(scores.counts[RAW], scores.counts[setting], strict=True)
    changes = [after.errors - before.errors for before, after in pairs]
    order = sorted(range(len(changes)), key=lambda i: changes[i])
    better = _different([i for i in order if changes[i] < 0], scores)
    worse = _different([i for i in reversed(order) if changes[i] > 0], scores)
    return [_example(i, calibration, setting) for i in better], [_example(i, calibration, setting) for i in worse]


def _different(order: Sequence[int], scores: Scores) -> list[int]:
    """The first few, one of each recording before a second one of any."""
    first: dict[Path, int] = {}
    for i in order:
        first.setdefault(scores.items[i].utterance.path, i)
    chosen = list(first.values())[:EXAMPLES]
    return chosen + [i for i in order if i not in chosen][: EXAMPLES - len(chosen)]


def _example(index: int, calibration: Calibration, setting: EnhancerConfig) -> Example:
    scores, metric = calibration.scores, calibration.metric
    item, normalise = scores.items[index], metric.normalisation
    reference = normalise(item.utterance.text)
    versions = []
    for name, version in (("no front-end", RAW), ("with front-end", setting)):
        counts = scores.counts[version][index]
        hypothesis = normalise(calibration.recognitions[version][item.key].text)
        versions.append(Version(name, counts.all_errors, counts.reference, edits(reference, hypothesis, metric.unit)))
    noise = item.noise.path.stem if item.noise else ""
    return Example(item.utterance.name, item.condition, noise, reference, versions, _players(item, setting))


def _players(item: Item, setting: EnhancerConfig) -> list[Player]:
    """The input, the output at full strength, and the mix of both; none if the files cannot be read any more."""
    versions = {"input": RAW, "enhanced, full strength": at_full_strength(setting)}
    if setting.strength_or_auto != 1:
        versions[f"mixed, strength {name_of_strength(setting)}"] = setting
    try:
        samples, rate = read_item(item)
        made = outputs(samples[: int(MAX_AUDIO_S * rate)], rate, list(versions.values()))
        return [Player(name, _flac(each.samples, rate)) for name, each in zip(versions, made, strict=True)]
    except GtcrnFrontendError:
        return []


def _flac(samples: F32, rate: int) -> str:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1, 1), rate, format="FLAC", subtype="PCM_16")
    return f"data:audio/flac;base64,{base64.b64encode(buffer.getvalue()).decode()}"
