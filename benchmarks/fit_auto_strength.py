"""Fits the default parameters of strength auto on the project's recognisers and several models.

    python benchmarks/fit_auto_strength.py --rounds 0
    python benchmarks/fit_auto_strength.py --model gtcrn-asr gtcrn-dns3.tar gtcrn-vctk.tar
    python benchmarks/fit_auto_strength.py --also faster-whisper:models/tiny.en,temperature=0 --parameter max_strength

The search is that of `gtcrn-frontend calibrate --fit-auto-strength`. It minimises the error rate relative to that of
the raw input, averaged over models, recognisers and conditions, among the parameters that leave clean speech unchanged
(PESQ against the input) and are significantly worse than the raw input in the fewest conditions. Utterances and noise
are not those of benchmarks/recognizers/table.py. The network runs once for each signal. Third-party recognisers are
named as for `calibrate` and count as much as all of the project's own together; they hear the sentences of
`characters`, and their transcripts are cached.
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

import named
from corpora import ROOT, SAMPLE_RATE, Noises
from noisy_set import CLEAN, UTTERANCES, Condition, Spoken, mixtures_to_fit
from table import errors as errors_of
from table import name_of, task_name

from gtcrn_frontend import AutoStrengthConfig, EnhancerConfig
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.evaluation.asr.auto_strength_fit import CANDIDATES, search
from gtcrn_frontend.evaluation.asr.wer import ErrorCounts, error_rate, rate_difference
from gtcrn_frontend.evaluation.quality.metrics import pesq_wb
from gtcrn_frontend.evaluation.report.tables import markdown_table, write_json
from gtcrn_frontend.evaluation.systems import Enhanced, name_of_model

SNRS_DB = (0, 10, 20)
MIN_PESQ = 4.45  # with a margin of 0.05
CLEAN_SECONDS = 6

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Trial:
    """One recogniser behind one model in one condition.

    Attributes:
        recognizer: folder of one of the project's own, or the short name of another.
        name: of recogniser and model, in tables.
        weight: of its error rates in the mean.
        condition: noise and SNR.
        spoken: the utterances.
        signals: each of them through the network.
        audio: folder of the recordings.
    """

    recognizer: Path | str
    name: str
    weight: int
    condition: Condition
    spoken: list[Spoken]
    signals: list[Enhanced]
    audio: Path

    def count(self, signals: Sequence[Samples]) -> list[ErrorCounts]:
        """Returns the errors of each utterance."""
        return errors_of(self.recognizer, [item.text for item in self.spoken], list(signals), self.audio)


@dataclass(frozen=True)
class Score:
    """Errors behind some parameters.

    Attributes:
        relative: error rate divided by that of the raw input, averaged over recognisers and conditions.
        pesq: the lowest score of clean signals against their input.
        worse: conditions with significantly more errors than the raw input.
        rates: error rate in percent by recogniser and condition.
    """

    relative: float
    pesq: float
    worse: tuple[str, ...]
    rates: dict[str, float]

    @property
    def order(self) -> tuple[bool, int, float]:
        """Sort key; lower is better."""
        return self.pesq < MIN_PESQ, len(self.worse), self.relative


class Scorer:
    """Scores parameters, each set once."""

    def __init__(self, trials: Sequence[Trial], clean: Sequence[Enhanced]) -> None:
        self._trials, self._clean = trials, clean
        self._raw = [trial.count([signal.dry for signal in trial.signals]) for trial in trials]
        self._scores: dict[AutoStrengthConfig, Score] = {}

    def raw(self) -> Score:
        """Returns the score without a front-end."""
        return self._score(self._raw, 4.64)

    def fixed(self, strength: float) -> Score:
        """Returns the score of a fixed strength."""
        counts = [trial.count([signal.mixed(strength) for signal in trial.signals]) for trial in self._trials]
        return self._score(
            counts, min(pesq_wb(signal.dry, signal.mixed(strength), SAMPLE_RATE) for signal in self._clean)
        )

    def with_auto_strength(self, config: AutoStrengthConfig) -> Score:
        """Returns the score of strength auto with some parameters."""
        if config not in self._scores:
            counts = [
                trial.count([signal.with_auto_strength(config) for signal in trial.signals]) for trial in self._trials
            ]
            lowest = min(pesq_wb(signal.dry, signal.with_auto_strength(config), SAMPLE_RATE) for signal in self._clean)
            self._scores[config] = self._score(counts, lowest)
        return self._scores[config]

    def _score(self, counts: Sequence[list[ErrorCounts]], pesq: float) -> Score:
        ratios, worse, rates = [], [], {}
        weights = [trial.weight for trial in self._trials]
        for trial, raw, errors in zip(self._trials, self._raw, counts, strict=True):
            label = f"{trial.name} {trial.condition.kind or 'clean'} {trial.condition.snr_db}"
            raw_rate, rate = error_rate(raw).value, error_rate(errors).value
            ratios.append((rate + 0.01) / (raw_rate + 0.01))  # so that a rate of zero does not divide
            rates[label] = 100 * rate
            if rate_difference(raw, errors).low > 0:
                worse.append(label)
        return Score(float(np.average(ratios, weights=weights)), pesq, tuple(worse), rates)


def clean_speech(audio: Path, setting: EnhancerConfig) -> list[Enhanced]:
    """Returns the first seconds of recordings without noise."""
    paths = sorted((audio / "pairs").glob("dns_*_clean.flac")) + sorted((audio / "speech/ljspeech").glob("*"))[:60:30]
    signals = []
    for path in paths:
        samples, rate = soundfile.read(path, CLEAN_SECONDS * SAMPLE_RATE, dtype="float32")
        if rate == SAMPLE_RATE:
            signals.append(Enhanced(samples, SAMPLE_RATE, setting))
    return signals


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--recognizers", nargs="+", type=Path, help="folders TASK-VARIANT (default: those in tests/assets/recognizers)"
    )
    parser.add_argument("--also", nargs="+", default=[], help="short names of third-party recognisers")
    parser.add_argument("--model", nargs="+", default=["gtcrn-asr"], help="names or paths (default: gtcrn-asr)")
    parser.add_argument("--utterances", type=int, default=24, help="of each task (default: %(default)s)")
    parser.add_argument("--noise", nargs="+", default=Noises.KINDS, choices=Noises.KINDS, help="kinds (default: all)")
    parser.add_argument(
        "--parameter",
        nargs="+",
        default=list(CANDIDATES),
        choices=CANDIDATES,
        help="to search, in order (default: all)",
    )
    parser.add_argument("--rounds", type=int, default=2, help="passes over all parameters; 0 scores the defaults only")
    parser.add_argument("--audio", type=Path, default=ROOT.parent / "shared" / "audio", help="with manifest.json")
    parser.add_argument("--json", type=Path, help="also write the scores to this file")
    args = parser.parse_args(arguments)

    try:
        for recognizer in args.also:
            named.source(recognizer)
    except (ConfigError, ModelError) as error:
        parser.error(str(error))
    began = time.process_time()
    settings = [EnhancerConfig(model=model, strength=1.0) for model in args.model]
    own = args.recognizers or sorted(p.parent for p in (ROOT / "tests/assets/recognizers").glob("*/offline.onnx"))
    conditions = (CLEAN, *(Condition(kind, snr_db) for snr_db in SNRS_DB for kind in args.noise))
    trials = []
    for recognizer in [*own, *args.also]:
        name = task_name(recognizer)
        if name not in UTTERANCES:
            parser.error(f"folders are named after their task, {', '.join(UTTERANCES)}; got {recognizer}")
        weight = len(own) if recognizer in args.also else 1
        for condition in conditions:
            spoken = mixtures_to_fit(name, args.audio, condition)
            spoken = spoken[:: max(len(spoken) // args.utterances, 1)][: args.utterances]
            for setting in settings:
                signals = [Enhanced(item.samples, SAMPLE_RATE, setting) for item in spoken]
                trial_name = f"{name_of(recognizer)} {name_of_model(setting)}"
                trials.append(Trial(recognizer, trial_name, weight, condition, spoken, signals, args.audio))
        print(f"{name_of(recognizer)}: ready after {time.process_time() - began:.0f} s", flush=True)
    scorer = Scorer(trials, [signal for setting in settings for signal in clean_speech(args.audio, setting)])

    def objective(configs: Sequence[AutoStrengthConfig]) -> list[tuple[float, ...]]:
        for config in configs:
            score = scorer.with_auto_strength(config)
            print(
                f"{config}: {score.relative:.3f} of raw, PESQ {score.pesq:.2f}, worse in {len(score.worse)}", flush=True
            )
        return [scorer.with_auto_strength(config).order for config in configs]

    candidates = {name: CANDIDATES[name] for name in args.parameter}
    best = search(objective, candidates, args.rounds)[0] if args.rounds else AutoStrengthConfig()

    scores = {"raw": scorer.raw()}
    scores |= {f"fixed {strength:g}": scorer.fixed(strength) for strength in (0.5, 0.8, 1.0)}
    scores["auto"] = scorer.with_auto_strength(best)
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
