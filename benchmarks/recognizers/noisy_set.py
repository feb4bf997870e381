"""Test sets of the recognisers: held-out utterances, clean and in held-out noise of several kinds."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import corpora
import numpy as np
import numpy.typing as npt
from corpora import Noises, mixture
from tasks import Task, load_task

Samples = npt.NDArray[np.float32]

SNRS_DB = (-5, 0, 5, 10, 15, 20)
UTTERANCES = {"digits": 48, "commands": 60, "characters": 20}


@dataclass(frozen=True)
class Condition:
    """Noise of one kind at one SNR; both None for clean."""

    kind: str | None
    snr_db: int | None


CLEAN = Condition(None, None)
CONDITIONS = (CLEAN, *(Condition(kind, snr_db) for kind in Noises.KINDS for snr_db in SNRS_DB))


@dataclass(frozen=True)
class Spoken:
    """One test utterance: samples `(n,) float32` at 16 kHz, and the reference."""

    samples: Samples
    text: str


@cache
def task(name: str, audio: Path) -> Task:
    """Returns a task, loaded once."""
    return load_task(name, audio)


@cache
def _noises(audio: Path, *, held_out: bool) -> Noises:
    return corpora.noises(audio, held_out=held_out)


@cache
def clean(name: str, audio: Path) -> list[Spoken]:
    """Returns the held-out utterances of a task."""
    of = task(name, audio)
    return [Spoken(item.samples, of.text(item.symbols)) for item in of.held_out(UTTERANCES[name])]


@cache
def others(name: str, audio: Path) -> list[Spoken]:
    """Returns further held-out utterances, none of them in `clean`."""
    of, count = task(name, audio), UTTERANCES[name]
    tested = {item.samples.tobytes() for item in of.held_out(count)}
    more = [item for item in of.held_out(2 * count) if item.samples.tobytes() not in tested]
    return [Spoken(item.samples, of.text(item.symbols)) for item in more]


def mixtures(name: str, audio: Path, condition: Condition) -> list[Spoken]:
    """Returns the utterances of `clean` in a condition, each in an excerpt of noise of its own."""
    return _mixed(name, clean(name, audio), condition, _noises(audio, held_out=True), "")


def mixtures_to_fit(name: str, audio: Path, condition: Condition) -> list[Spoken]:
    """Returns the utterances of `others` in noise that is not held out, to fit parameters off the test set."""
    return _mixed(name, others(name, audio), condition, _noises(audio, held_out=False), "fit ")


def _mixed(name: str, utterances: list[Spoken], condition: Condition, noise: Noises, seed_of: str) -> list[Spoken]:
    if condition.kind is None or condition.snr_db is None:
        return utterances
    out = []
    for number, spoken in enumerate(utterances):
        seed = zlib.crc32(f"{seed_of}{name} {condition.kind} {condition.snr_db} {number}".encode())
        drawn = noise.draw(condition.kind, np.random.default_rng(seed), len(spoken.samples))
        out.append(Spoken(mixture(spoken.samples, drawn, condition.snr_db), spoken.text))
    return out
