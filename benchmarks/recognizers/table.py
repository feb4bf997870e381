"""Does the front-end help? Error rates of the project's recognisers by SNR and noise, without it and with it.

    python benchmarks/recognizers/table.py
    python benchmarks/recognizers/table.py --model gtcrn-asr gtcrn-dns3.tar gtcrn-vctk.tar
    python benchmarks/recognizers/table.py --recognizers faster-whisper:models/tiny.en,beam_size=1,temperature=0

The second one prints what docs/benchmarks/recognition.md shows.

Third-party recognisers are named as for `calibrate` and transcribe the sentences of `characters`. Their errors are
counted in words, and their transcripts are cached in the user's cache folder.

Real sherpa-onnx recognisers (offline) transcribe held-out speakers or clips in held-out noise. Rates are percentages
with half the width of their 95 % bootstrap interval over utterances. A rate is marked `-` if it is significantly below
that without a front-end (paired bootstrap), and `!` if it is significantly above. For each model there is a row for
full strength, for the best fixed strength (known only afterwards), for the decision of `calibrate` (made on the other
half of the utterances) and for strength auto.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

import named
import numpy as np
import numpy.typing as npt
from corpora import ROOT, SAMPLE_RATE, Noises
from noisy_set import CLEAN, CONDITIONS, SNRS_DB, UTTERANCES, Condition, mixtures, task
from tqdm import tqdm
from verdicts import MIDDLE_DB, RAW, Counts, Results, front_end, goals, with_choices

from gtcrn_frontend import AutoStrengthConfig, EnhancerConfig
from gtcrn_frontend.adapters.sherpa.transcriber import SherpaRecognizer
from gtcrn_frontend.config import Strength
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.evaluation.asr.wer import ErrorCounts, count_errors, error_rate, rate_difference
from gtcrn_frontend.evaluation.environment import environment
from gtcrn_frontend.evaluation.report.tables import Value, markdown_table, write_json
from gtcrn_frontend.evaluation.systems import Enhanced, distinct_models

STRENGTHS: tuple[Strength, ...] = (1.0, 0.85, 0.7, 0.5, "auto")

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Job:
    """One condition of one task, for all of its recognisers and all front-ends."""

    task: str
    condition: Condition
    recognizers: tuple[Path | str, ...]
    models: tuple[str, ...]
    strengths: tuple[Strength, ...]
    audio: Path


def run(job: Job) -> dict[str, Counts]:
    """Returns the errors of each recogniser in the job's condition."""
    spoken = mixtures(job.task, job.audio, job.condition)
    noisy = [item.samples for item in spoken]
    signals: dict[str, list[Samples]] = {RAW: noisy}
    for model in job.models:
        enhanced = [Enhanced(samples, SAMPLE_RATE, EnhancerConfig(model=model, strength=1.0)) for samples in noisy]
        for strength in job.strengths:
            signals[front_end(model, strength)] = [
                each.with_auto_strength(AutoStrengthConfig()) if strength == "auto" else each.mixed(strength)
                for each in enhanced
            ]
    references = [item.text for item in spoken]
    return {
        name_of(recognizer): {name: errors(recognizer, references, batch, job.audio) for name, batch in signals.items()}
        for recognizer in job.recognizers
    }


def errors(recognizer: Path | str, references: list[str], signals: list[Samples], audio: Path) -> list[ErrorCounts]:
    """Returns the errors of each signal, for a folder of the project's own recognisers or a short name."""
    if isinstance(recognizer, str):
        return list(map(named.errors, references, named.transcripts(recognizer, signals)))
    unit, transcripts = (
        task(task_name(recognizer), audio).unit,
        _recognizer(recognizer).transcribe_many(signals, SAMPLE_RATE),
    )
    return [_count(text, transcript.text, unit) for text, transcript in zip(references, transcripts, strict=True)]


def name_of(recognizer: Path | str) -> str:
    """Returns what a recogniser is called in tables."""
    return recognizer if isinstance(recognizer, str) else recognizer.name


def task_name(recognizer: Path | str) -> str:
    """Returns the task whose utterances a recogniser hears."""
    return named.TASK if isinstance(recognizer, str) else recognizer.name.split("-")[0]


def _count(reference: str, hypothesis: str, unit: str) -> ErrorCounts:
    if unit == "phrase":  # a clip is right or wrong as a whole
        return ErrorCounts(int(reference != hypothesis), 0, 0, 1)
    return count_errors(reference, hypothesis, unit)


@functools.cache
def _recognizer(folder: Path) -> SherpaRecognizer:
    import sherpa_onnx

    features = task(folder.name.split("-")[0], Path()).network.n_mels
    return SherpaRecognizer(
        sherpa_onnx.OfflineRecognizer.from_zipformer_ctc(
            tokens=str(folder / "tokens.txt"), model=str(folder / "offline.onnx"), feature_dim=features, num_threads=1
        )
    )


def rows_by_snr(results: Results) -> list[dict[str, Value]]:
    """Returns a row per front-end: rates at each SNR over all kinds of noise, and clean."""
    groups = {f"{snr} dB": [c for c in results if c.snr_db == snr] for snr in SNRS_DB}
    groups["0..10 dB"] = [c for c in results if c.snr_db in MIDDLE_DB]
    groups["clean"] = [CLEAN]
    return _rows(results, groups)


def rows_by_noise(results: Results) -> list[dict[str, Value]]:
    """Returns a row per front-end: rates at 0 to 10 dB in each kind of noise."""
    return _rows(
        results,
        {kind: [c for c in results if c.kind == kind and c.snr_db in MIDDLE_DB] for kind in Noises.KINDS},
    )


def _rows(results: Results, groups: dict[str, list[Condition]]) -> list[dict[str, Value]]:
    rows: list[dict[str, Value]] = []
    for name in next(iter(results.values())):
        row: dict[str, Value] = {"front-end": name}
        for label, conditions in groups.items():
            raw = [count for condition in conditions for count in results[condition][RAW]]
            counts = [count for condition in conditions for count in results[condition][name]]
            rate, change = error_rate(counts), rate_difference(raw, counts)
            row[label] = f"{rate.percent}{change.mark}"
        rows.append(row)
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["gtcrn-asr"], help="names or paths (default: gtcrn-asr)")
    parser.add_argument(
        "--strength", nargs="+", type=_strength, default=STRENGTHS, help=f"(default: {' '.join(map(str, STRENGTHS))})"
    )
    parser.add_argument(
        "--recognizers",
        nargs="+",
        type=_recognizer_arg,
        help="folders TASK-VARIANT, or short names (default: those in tests/assets/recognizers)",
    )
    parser.add_argument("--audio", type=Path, default=ROOT.parent / "shared" / "audio", help="with manifest.json")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--json", type=Path, help="also write rates and counts to this file")
    args = parser.parse_args(arguments)

    try:
        args.model = distinct_models(args.model)
        for recognizer in args.recognizers or ():
            if isinstance(recognizer, str):
                named.source(recognizer)
    except (ConfigError, ModelError) as error:
        parser.error(str(error))
    own = sorted(path.parent for path in (ROOT / "tests/assets/recognizers").glob("*/offline.onnx"))
    recognizers: list[Path | str] = args.recognizers or own
    names = [task_name(recognizer) for recognizer in recognizers]
    if unknown := set(names) - set(UTTERANCES):
        parser.error(f"folders are named after their task, {', '.join(UTTERANCES)}; got {', '.join(sorted(unknown))}")
    jobs = [
        Job(
            name,
            condition,
            tuple(recognizer for recognizer, of in zip(recognizers, names, strict=True) if of == name),
            tuple(args.model),
            tuple(args.strength),
            args.audio,
        )
        for name in dict.fromkeys(names)
        for condition in CONDITIONS
    ]
    began = time.monotonic()
    results: dict[str, dict[Condition, Counts]] = {name_of(recognizer): {} for recognizer in recognizers}
    # Not forked: a process with threads of a runtime in it cannot be copied safely.
    with ProcessPoolExecutor(args.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(run, job): job for job in jobs}
        for future in tqdm(as_completed(futures), total=len(jobs), desc="recognising", unit="condition"):
            for name, counts in future.result().items():
                results[name][futures[future].condition] = counts

    tables = {
        name: with_choices({condition: by_condition[condition] for condition in CONDITIONS}, args.model, args.strength)
        for name, by_condition in results.items()
    }
    if "auto" in args.strength:
        print(f"\nThe goals\n\n{markdown_table(goals(tables, args.model), {})}")
    units = {
        name_of(recognizer): named.UNIT if isinstance(recognizer, str) else task(of, args.audio).unit
        for recognizer, of in zip(recognizers, names, strict=True)
    }
    for name, table in tables.items():
        title = f"{name}: errors per 100 {units[name]}s"
        print(f"\n{title}, by SNR\n\n{markdown_table(rows_by_snr(table), {})}")
        print(f"\n{title}, at {MIDDLE_DB} dB by noise\n\n{markdown_table(rows_by_noise(table), {})}")
    print(f"\n{time.monotonic() - began:.0f} s with {args.jobs} processes")
    if args.json:
        content = {
            name: [
                {**asdict(condition), "counts": {key: [asdict(c) for c in value] for key, value in counts.items()}}
                for condition, counts in by_condition.items()
            ]
            for name, by_condition in results.items()
        }
        write_json(args.json, {"environment": environment(), "results": content})


def _recognizer_arg(text: str) -> Path | str:
    return text if ":" in text and not Path(text).exists() else Path(text)


def _strength(text: str) -> Strength:
    return "auto" if text == "auto" else float(text)


if __name__ == "__main__":
    main()
