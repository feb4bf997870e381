"""`evaluate`: measures the quality of enhanced speech, and word errors, for several models side by side."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from gtcrn_frontend.config import EnhancerConfig, Strength
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.evaluation.asr.calibrate import CACHE_NAME as RECOGNITION_CACHE_NAME
from gtcrn_frontend.evaluation.asr.recognizer import Recognition
from gtcrn_frontend.evaluation.asr.recognizer_source import RecognizerFunction, RecognizerSource, as_source
from gtcrn_frontend.evaluation.asr.wer import ErrorMetric, count_errors
from gtcrn_frontend.evaluation.asr.word_errors import count_word_errors
from gtcrn_frontend.evaluation.environment import environment
from gtcrn_frontend.evaluation.noisy_set import Item, checked_snrs
from gtcrn_frontend.evaluation.progress import LoggedProgress, Progress
from gtcrn_frontend.evaluation.quality.evaluation import Evaluation, SignalSetResult
from gtcrn_frontend.evaluation.quality.metric_registry import DNSMOS_FAMILY, FAMILIES, PACKAGES, dnsmos_digest
from gtcrn_frontend.evaluation.quality.mixtures import Mixture, load_speech_and_noise, plan_mixtures
from gtcrn_frontend.evaluation.quality.pairs import PairSource, find_pairs, match_folders
from gtcrn_frontend.evaluation.quality.score_signals import Plan, score_pairs
from gtcrn_frontend.evaluation.result_cache import ResultCache, result_folder
from gtcrn_frontend.evaluation.systems import systems_of
from gtcrn_frontend.evaluation.worker_pool import MakePool, WorkerPool
from gtcrn_frontend.install_hint import install_hint

DEFAULT_SNRS_DB: tuple[float | None, ...] = (0.0, 5.0, 10.0, 15.0)
DEFAULT_MIXTURES = 300
CACHE_NAME = "evaluate"

_THREADS_VARIABLE = "OMP_NUM_THREADS"

Signals = Mapping[str, Sequence[PairSource]]
"""Test signals by the label of their set."""


def evaluate(
    *,
    pairs: str | Path | None = None,
    clean: str | Path | None = None,
    noisy: str | Path | None = None,
    manifest: str | Path | None = None,
    noise: str | Path | None = None,
    snrs_db: Sequence[float | None] = (),
    mixtures: int = DEFAULT_MIXTURES,
    seed: int = 0,
    signals: Signals | None = None,
    models: Sequence[str | Path] = (EnhancerConfig.model,),
    strengths: Sequence[Strength] = (1.0,),
    engine: str = EnhancerConfig.engine,
    metrics: Sequence[str] = (),
    dnsmos: str | Path | None = None,
    recognizers: Sequence[RecognizerSource | RecognizerFunction] = (),
    error_metric: ErrorMetric | None = None,
    jobs: int | None = None,
    pool: MakePool = WorkerPool,
    cache: str | Path | bool = True,
    progress: Progress | None = None,
) -> Evaluation:
    """Measures the output of models for noisy speech against the clean speech.

    >>> result = evaluate(pairs="voicebank_demand/", models=["gtcrn-asr", "gtcrn-dns3"])  # doctest: +SKIP
    >>> print(result)  # doctest: +SKIP

    Means have 95 % intervals from a bootstrap over signals. Metrics are computed in worker processes: a script that
    calls this function needs the usual `if __name__ == "__main__":`.

    Args:
        pairs: folder of pairs of clean and noisy recordings, see `find_pairs`.
        clean: folder of clean recordings, with `noisy`.
        noisy: folder of noisy recordings of the same names.
        manifest: clean speech to mix with noise, see `load_manifest`; transcripts are needed for recognisers only.
        noise: folder of noise recordings for `manifest`; None for the manifest's entries of the set `noise`.
        snrs_db: signal-to-noise ratios of the mixtures in dB, None for clean; empty for `DEFAULT_SNRS_DB`.
        mixtures: number of mixtures.
        seed: of the mixtures.
        signals: further test signals, by the label of their set.
        models: names or paths of models; the others are compared with the first one.
        strengths: of each model: 0 to 1, or `auto`.
        engine: of the models.
        metrics: families out of `metric_registry.FAMILIES`; empty for all, DNSMOS only with `dnsmos`.
        dnsmos: folder of the DNSMOS models `sig_bak_ovr.onnx` and `model_v8.onnx`.
        recognizers: also count the word errors of these, see `calibrate`; needs `manifest` with transcripts.
        error_metric: how recognition errors are counted; None for WER after the default normalisation.
        jobs: worker processes; None for the number of cores.
        pool: makes them; `gtcrn_frontend.adapters.ray.RayPool` spreads them over a cluster.
        cache: True to keep results in the user's cache folder, so that an interrupted run can be resumed; False to
            keep none; or a folder.
        progress: receives the progress; None to log problems only.

    Raises:
        ConfigError: an argument is wrong, there is nothing to measure, or the cache cannot be written to.
        ModelError: a package is missing, a model or a recogniser cannot be loaded, or no signal can be measured.
        AudioFormatError: pairs of recordings do not match.
    """
    progress = progress or LoggedProgress()
    jobs = jobs or os.cpu_count() or 1
    plan = _plan(models, strengths, engine, tuple(dict.fromkeys(metrics)), dnsmos, result_folder(cache, CACHE_NAME))
    sources = _recognizers(recognizers, manifest)
    tests: dict[str, Sequence[PairSource]] = _recorded(pairs, clean, noisy)
    tests |= _mixed(manifest, noise, snrs_db, mixtures, seed, progress)
    tests |= signals or {}
    if not tests:
        raise ConfigError("nothing to measure: expected signals as pairs, clean and noisy, or manifest")
    items = {label: _transcribed(each) for label, each in tests.items()} if sources else {}
    if sources and not any(items.values()):
        raise ConfigError(f"recognizer: expected transcripts in {manifest}, found none")
    recognitions = ResultCache(result_folder(cache, RECOGNITION_CACHE_NAME), Recognition)
    error_metric = error_metric or ErrorMetric()
    count_words = partial(count_word_errors, jobs=jobs, pool=pool)
    results = []
    with _single_threaded_workers():
        for label, each in tests.items():
            progress.begin(label, len(each))
            scores = score_pairs(each, plan, progress, jobs=jobs, pool=pool)
            errors = [
                count_words(items[label], plan.systems, source, error_metric, recognitions, progress)
                for source in (sources if items.get(label) else ())
            ]
            results.append(SignalSetResult(label, len(each), tuple(scores), tuple(errors)))
    settings = {"mixtures": mixtures, "seed": seed, "jobs": jobs, "engine": engine}
    return Evaluation(tuple(results), plan.systems, plan.families, environment(), settings)


def _plan(
    models: Sequence[str | Path],
    strengths: Sequence[Strength],
    engine: str,
    metrics: tuple[str, ...],
    dnsmos: str | Path | None,
    cache: Path | None,
) -> Plan:
    """What is measured, after checking that it can be."""
    if unknown := [name for name in metrics if name not in FAMILIES]:
        raise ConfigError(f"metrics: expected names out of {', '.join(FAMILIES)}, got {unknown[0]!r}")
    families = metrics or tuple(FAMILIES)
    if dnsmos is None:
        if DNSMOS_FAMILY in metrics:
            raise ConfigError(f"dnsmos: expected the folder of its models for the metric {DNSMOS_FAMILY}, got none")
        families = tuple(family for family in families if family != DNSMOS_FAMILY)
    elif DNSMOS_FAMILY not in families:
        raise ConfigError(f"dnsmos: expected {DNSMOS_FAMILY} among the metrics, got {' '.join(families)}")
    for package in filter(None, map(PACKAGES.get, families)):
        if importlib.util.find_spec(package) is None:
            raise ModelError(f"evaluate needs {package}: {install_hint('evaluate')}")
    systems = systems_of(models, strengths, engine)
    folder = None if dnsmos is None else Path(dnsmos)
    return Plan(systems, families, folder, dnsmos_digest(folder) if folder else "", cache)


def _recognizers(
    recognizers: Sequence[RecognizerSource | RecognizerFunction], manifest: str | Path | None
) -> list[RecognizerSource]:
    if not recognizers:
        return []
    if manifest is None:
        raise ConfigError("recognizer: expected a manifest with transcripts, got none")
    try:
        count_errors("", "")
    except ImportError as error:
        raise ModelError(str(error)) from error
    return [as_source(recognizer) for recognizer in recognizers]


def _recorded(
    pairs: str | Path | None, clean: str | Path | None, noisy: str | Path | None
) -> dict[str, Sequence[PairSource]]:
    """Recordings in pairs."""
    tests: dict[str, Sequence[PairSource]] = {}
    if pairs is not None:
        tests[f"pairs in {pairs}"] = find_pairs(Path(pairs))
    if (clean is None) != (noisy is None):
        raise ConfigError("clean, noisy: expected both folders, got one of them")
    if clean is not None and noisy is not None:
        tests[f"pairs of {clean} and {noisy}"] = match_folders(Path(clean), Path(noisy))
    return tests


def _mixed(
    manifest: str | Path | None,
    noise: str | Path | None,
    snrs_db: Sequence[float | None],
    mixtures: int,
    seed: int,
    progress: Progress,
) -> dict[str, Sequence[PairSource]]:
    """Mixtures of speech and noise."""
    if manifest is None:
        if noise is not None or snrs_db:
            raise ConfigError("noise, snr: expected a manifest of speech to mix with, got none")
        return {}
    snrs_db = checked_snrs(snrs_db or DEFAULT_SNRS_DB)
    speech, recordings = load_speech_and_noise(Path(manifest), None if noise is None else Path(noise))
    for problem in speech.problems:
        progress.message(f"left out: {problem}")
    return {f"mixtures of {manifest}": plan_mixtures(speech, recordings, snrs_db, mixtures, seed)}


def _transcribed(sources: Sequence[PairSource]) -> list[Item]:
    """The signals with transcripts."""
    return [source.item for source in sources if isinstance(source, Mixture) and source.item.utterance.text]


@contextmanager
def _single_threaded_workers() -> Iterator[None]:
    """Keeps numpy to one thread in the processes that share the work, unless the user has chosen a number."""
    if _THREADS_VARIABLE in os.environ:
        yield
        return
    os.environ[_THREADS_VARIABLE] = "1"
    try:
        yield
    finally:
        del os.environ[_THREADS_VARIABLE]
