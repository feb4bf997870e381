"""Fits the guard's parameters on recognisers: what `strength="auto"` does to their error rates, and to clean speech.

    python benchmarks/fit_guard.py --recognizers RUNS/digits-clean RUNS/digits-robust

One parameter after the other is set to the best of a few values, as long as that helps. The best is the lowest error
rate relative to that of the raw input, averaged over recognisers and conditions, among those that leave clean speech
alone (PESQ against the input) and are in no condition significantly worse than the raw input. The network runs once
for each signal; what is tried are only the guard's decisions.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parent / "recognizers"))

from conditions import CLEAN, UTTERANCES, Condition, Spoken, mixtures, task
from corpora import ROOT, SAMPLE_RATE, Noises
from table import _count, _recognizer

from gtcrn_frontend import Enhancer, GuardConfig
from gtcrn_frontend.adapters.sherpa.transcriber import SherpaRecognizer
from gtcrn_frontend.evaluation.metrics import pesq_wb
from gtcrn_frontend.evaluation.tables import markdown_table, write_json
from gtcrn_frontend.evaluation.wer import ErrorCounts, error_rate, rate_difference
from gtcrn_frontend.stages.guard import Energies, Guard, hop_energies
from gtcrn_frontend.stages.track import HopGrid, StrengthTrack

CANDIDATES: dict[str, tuple[float, ...]] = {
    "noisy_snr_db": (15.0, 20.0, 25.0),
    "clean_snr_db": (30.0, 35.0),
    "min_strength": (0.1, 0.3, 0.6),
    "max_strength": (0.9, 0.95, 0.98),
    "caution": (0.0, 0.25, 0.5),
}
SNRS_DB = (0, 10, 20)
MIN_PESQ = 4.45  # 0.05 above what is promised
CLEAN_SECONDS = 6

Samples = npt.NDArray[np.float32]


class Guarded:
    """One signal, enhanced once, and mixed as the guard would with other parameters."""

    def __init__(self, enhancer: Enhancer, samples: Samples) -> None:
        self.spec = enhancer.spec
        self.dry = samples
        self.enhanced = np.asarray(enhancer.enhance(samples), np.float32)
        hop = self.spec.hop_length
        padding = np.zeros(-len(samples) % hop, np.float32)
        hops = [np.concatenate([signal, padding]).reshape(-1, hop) for signal in (self.dry, self.enhanced)]
        # A stream begins with the hop before its first sample.
        self.energies: list[Energies] = [(0.0, 0.0, 0.0), *hop_energies(*hops)]

    def mixed(self, config: GuardConfig) -> Samples:
        """Returns what `Enhancer(strength="auto", guard=config).enhance` does."""
        guard, spec = Guard(self.spec, config), self.spec
        grid = HopGrid(spec.hop_length, spec.delay, spec.sample_rate, spec.sample_rate)
        track = StrengthTrack(grid, guard.strength, 0)
        track.extend(guard.decide(self.energies))
        return track.mix(self.dry, self.enhanced, 0)


@dataclass(frozen=True)
class Trial:
    """One recogniser in one condition."""

    recognizer: SherpaRecognizer
    name: str
    unit: str
    condition: Condition
    spoken: list[Spoken]
    signals: list[Guarded]

    def count(self, signals: Sequence[Samples]) -> list[ErrorCounts]:
        """Returns the errors of each utterance."""
        heard = self.recognizer.transcribe_many(signals, SAMPLE_RATE)
        return [_count(item.text, each.text, self.unit) for item, each in zip(self.spoken, heard, strict=True)]


@dataclass(frozen=True)
class Score:
    """What parameters achieve.

    Attributes:
        relative: error rate over that of the raw input, averaged over recognisers and conditions.
        pesq: the lowest of clean signals against their input.
        worse: conditions in which they are significantly worse than the raw input.
        rates: error rate in percent by recogniser and condition.
    """

    relative: float
    pesq: float
    worse: tuple[str, ...]
    rates: dict[str, float]

    @property
    def order(self) -> tuple[bool, int, float]:
        """Less is better."""
        return self.pesq < MIN_PESQ, len(self.worse), self.relative


class Judge:
    """Scores parameters; each only once."""

    def __init__(self, trials: Sequence[Trial], clean: Sequence[Guarded]) -> None:
        self._trials, self._clean = trials, clean
        self._raw = [trial.count([signal.dry for signal in trial.signals]) for trial in trials]
        self._scores: dict[GuardConfig, Score] = {}

    def raw(self) -> Score:
        """Returns the score of no front-end."""
        return self._score(self._raw, 4.64)

    def fixed(self, strength: float) -> Score:
        """Returns the score of a fixed strength."""

        def mixed(signal: Guarded) -> Samples:
            return np.asarray(signal.dry + np.float32(strength) * (signal.enhanced - signal.dry), np.float32)

        counts = [trial.count([mixed(signal) for signal in trial.signals]) for trial in self._trials]
        return self._score(counts, min(pesq_wb(signal.dry, mixed(signal), SAMPLE_RATE) for signal in self._clean))

    def guarded(self, config: GuardConfig) -> Score:
        """Returns the score of the guard with some parameters."""
        if config not in self._scores:
            counts = [trial.count([signal.mixed(config) for signal in trial.signals]) for trial in self._trials]
            lowest = min(pesq_wb(signal.dry, signal.mixed(config), SAMPLE_RATE) for signal in self._clean)
            self._scores[config] = self._score(counts, lowest)
        return self._scores[config]

    def _score(self, counts: Sequence[list[ErrorCounts]], pesq: float) -> Score:
        ratios, worse, rates = [], [], {}
        for trial, raw, errors in zip(self._trials, self._raw, counts, strict=True):
            label = f"{trial.name} {trial.condition.kind or 'clean'} {trial.condition.snr_db}"
            raw_rate, rate = error_rate(raw).value, error_rate(errors).value
            ratios.append((rate + 0.01) / (raw_rate + 0.01))  # a rate of zero divides by nothing
            rates[label] = 100 * rate
            if rate_difference(raw, errors).low > 0:
                worse.append(label)
        return Score(float(np.mean(ratios)), pesq, tuple(worse), rates)


def fit(judge: Judge, rounds: int) -> GuardConfig:
    """Returns the best parameters found from the defaults on, changing one at a time."""
    best = GuardConfig()
    for _ in range(rounds):
        before = best
        for name, values in CANDIDATES.items():
            tries = [best, *(dataclasses.replace(best, **{name: value}) for value in values)]
            best = min(tries, key=lambda config: judge.guarded(config).order)
            score = judge.guarded(best)
            print(f"{name}: {best}, {score.relative:.3f} of raw, PESQ {score.pesq:.2f}", flush=True)
        if best == before:
            break
    return best


def clean_speech(audio: Path, enhancer: Enhancer) -> list[Guarded]:
    """Returns the beginnings of recordings without noise."""
    paths = sorted((audio / "pairs").glob("dns_*_clean.flac")) + sorted((audio / "speech/ljspeech").glob("*"))[:60:30]
    signals = []
    for path in paths:
        samples, rate = soundfile.read(path, CLEAN_SECONDS * SAMPLE_RATE, dtype="float32")
        if rate == SAMPLE_RATE:
            signals.append(Guarded(enhancer, samples))
    return signals


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recognizers", nargs="+", type=Path, required=True, help="folders TASK-VARIANT")
    parser.add_argument("--model", default="gtcrn-asr", help="name or path (default: %(default)s)")
    parser.add_argument("--utterances", type=int, default=24, help="of each task (default: %(default)s)")
    parser.add_argument("--noise", nargs="+", default=Noises.KINDS, choices=Noises.KINDS, help="kinds (default: all)")
    parser.add_argument("--rounds", type=int, default=2, help="through all parameters; 0 judges the defaults only")
    parser.add_argument("--audio", type=Path, default=ROOT.parent / "shared" / "audio", help="with manifest.json")
    parser.add_argument("--json", type=Path, help="also write the scores to this file")
    args = parser.parse_args(arguments)

    began = time.process_time()
    enhancer = Enhancer(args.model)
    trials = []
    for folder in args.recognizers:
        name = folder.name.split("-")[0]
        if name not in UTTERANCES:
            parser.error(f"folders are named after their task, {', '.join(UTTERANCES)}; got {folder.name}")
        for condition in (CLEAN, *(Condition(kind, snr_db) for snr_db in SNRS_DB for kind in args.noise)):
            spoken = mixtures(name, args.audio, condition)[: args.utterances]
            signals = [Guarded(enhancer, item.samples) for item in spoken]
            unit = task(name, args.audio).unit
            trials.append(Trial(_recognizer(folder), folder.name, unit, condition, spoken, signals))
        print(f"{folder.name}: ready after {time.process_time() - began:.0f} s", flush=True)
    judge = Judge(trials, clean_speech(args.audio, enhancer))
    best = fit(judge, args.rounds) if args.rounds else GuardConfig()

    scores = {"raw": judge.raw()}
    scores |= {f"fixed {strength:g}": judge.fixed(strength) for strength in (0.5, 0.8, 1.0)}
    scores["auto"] = judge.guarded(best)
    rows = [
        {"condition": label, **{name: f"{score.rates[label]:.1f}" for name, score in scores.items()}}
        for label in scores["raw"].rates
    ]
    rows += [
        {"condition": key, **{name: f"{getattr(score, key):.2f}" for name, score in scores.items()}}
        for key in ("relative", "pesq")
    ]
    print(f"\n{markdown_table(rows, {})}\n\n{best}")
    for name, score in scores.items():
        print(f"{name}: significantly worse than raw: {', '.join(score.worse) or 'nowhere'}")
    print(f"{time.process_time() - began:.0f} s of processor time")
    if args.json:
        write_json(
            args.json,
            {"best": dataclasses.asdict(best), "scores": {name: dataclasses.asdict(s) for name, s in scores.items()}},
        )


if __name__ == "__main__":
    main()
