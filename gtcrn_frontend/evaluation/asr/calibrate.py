"""`calibrate`: measures whether a front-end lowers a recogniser's error rate, and decides on a setting."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from gtcrn_frontend.config import EnhancerConfig, Strength
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.evaluation.asr.auto_strength_fit import fit_auto_strength as fit
from gtcrn_frontend.evaluation.asr.auto_strength_fit import split
from gtcrn_frontend.evaluation.asr.calibration import Calibration, CalibrationData
from gtcrn_frontend.evaluation.asr.decision import decide
from gtcrn_frontend.evaluation.asr.recognizer import Recognition
from gtcrn_frontend.evaluation.asr.recognizer_source import RecognizerFunction, RecognizerSource, as_source
from gtcrn_frontend.evaluation.asr.strength_search import search_strengths
from gtcrn_frontend.evaluation.asr.sweep import Sweep
from gtcrn_frontend.evaluation.asr.wer import ErrorMetric, count_errors
from gtcrn_frontend.evaluation.manifest import load_manifest
from gtcrn_frontend.evaluation.noisy_set import checked_snrs, find_noise, plan_items
from gtcrn_frontend.evaluation.progress import LoggedProgress, Progress
from gtcrn_frontend.evaluation.result_cache import ResultCache, result_folder
from gtcrn_frontend.evaluation.systems import distinct_models, front_end

CACHE_NAME = "calibrate"
"""Subfolder of the user's cache folder; `evaluate` uses it too, so that no signal is recognised twice."""
DEFAULT_SNRS_DB: tuple[float | None, ...] = (None, 10.0, 5.0, 0.0)
DEFAULT_JOBS = min(os.cpu_count() or 1, 4)
"""Each worker process loads the recogniser."""


def calibrate(
    recognizer: RecognizerSource | RecognizerFunction,
    manifest: str | Path,
    *,
    noise: str | Path | None = None,
    snrs_db: Sequence[float | None] = (),
    seed: int = 0,
    models: Sequence[str | Path] = (EnhancerConfig.model,),
    engine: str = EnhancerConfig.engine,
    strengths: Sequence[Strength] = (),
    fit_auto_strength: bool = False,
    also_fit_to: Sequence[RecognizerSource | RecognizerFunction] = (),
    metric: ErrorMetric | None = None,
    limit: int | None = None,
    jobs: int = DEFAULT_JOBS,
    timeout_s: float | None = None,
    cache: str | Path | bool = True,
    progress: Progress | None = None,
) -> Calibration:
    """Measures a recogniser's errors without and with front-ends, and decides on a setting.

    >>> result = calibrate(my_asr.transcribe, "test.jsonl", noise="noise/")  # doctest: +SKIP
    >>> print(result)  # doctest: +SKIP
    >>> result.write("frontend.yaml")  # doctest: +SKIP

    A front-end is chosen only if it reduces errors significantly, corrected for the number of settings tried, and does
    not make clean speech significantly worse. The recogniser runs in worker processes: a script that calls this
    function needs the usual `if __name__ == "__main__":`.

    Args:
        recognizer: a function `(samples, sample_rate) -> text` that can be pickled, or a source, such as
            `gtcrn_frontend.adapters.recognizers.recognizer_source("pipeline.yaml")` returns.
        manifest: recordings with transcripts, see `load_manifest`.
        noise: folder of noise recordings to mix in; None to use the recordings as they are.
        snrs_db: signal-to-noise ratios of the mixtures in dB, None for clean; empty for `DEFAULT_SNRS_DB`.
        seed: of the choice of noise.
        models: names or paths of models to try.
        engine: of the models.
        strengths: to try, above 0 to 1 or `auto`; empty to search from coarse to fine.
        fit_auto_strength: also fit the parameters of strength `auto`, on half of the utterances; the decision is then
            made on the other half.
        also_fit_to: further recognisers to fit to; parameters that suit several are less likely due to chance.
        metric: how errors are counted; None for WER after the default normalisation.
        limit: use the first so many utterances only; None for all.
        jobs: worker processes, >= 1.
        timeout_s: time limit for one item; None for 30 s and ten times its duration.
        cache: True to keep results in the user's cache folder, so that an interrupted run can be resumed; False to
            keep none; or a folder. Results of a plain function are not found again, as its code may have changed.
        progress: receives the progress; None to log problems only.

    Raises:
        ConfigError: an argument is wrong, the manifest is unusable, or the cache cannot be written to.
        ModelError: a package is missing, a model or the recogniser cannot be loaded, the recogniser fails on too many
            items without front-end, its text does not depend on the audio, or there are too few utterances to fit on.
    """
    began = time.monotonic()
    try:
        count_errors("", "")
    except ImportError as error:
        raise ModelError(str(error)) from error
    progress = progress or LoggedProgress()
    metric = metric or ErrorMetric()
    sources = [as_source(each) for each in (recognizer, *also_fit_to)]
    front_ends = [front_end(model, engine) for model in distinct_models(models)]
    data = _load_data(manifest, noise, snrs_db, seed, limit, progress)
    results = ResultCache(result_folder(cache, CACHE_NAME), Recognition)
    sweep_over = partial(Sweep, cache=results, progress=progress, jobs=jobs, timeout_s=timeout_s)
    with ExitStack() as stack:
        to_fit: list[Sweep] = []
        if fit_auto_strength:
            items_to_fit, items = split(data.items)
            data = dataclasses.replace(data, items=tuple(items))
            to_fit = [stack.enter_context(sweep_over(items_to_fit, each)) for each in sources]
        sweep = stack.enter_context(sweep_over(data.items, sources[0]))
        fitted = fit(to_fit, front_ends, metric, progress) if to_fit else None
        scores = search_strengths(sweep, front_ends, strengths, metric, progress, fitted)
        sweeps = (*to_fit, sweep)
        return Calibration(
            decide(scores),
            scores,
            metric,
            data,
            tuple(sources),
            sweep.recognitions,
            tuple(failure for each in sweeps for failure in each.failures),
            sum(each.recognised for each in sweeps),
            sum(each.from_cache for each in sweeps),
            time.monotonic() - began,
            fitted,
        )


def _load_data(
    path: str | Path,
    noise: str | Path | None,
    snrs_db: Sequence[float | None],
    seed: int,
    limit: int | None,
    progress: Progress,
) -> CalibrationData:
    """The items to recognise; reports what cannot be used."""
    if noise is None and snrs_db:
        raise ConfigError("snrs_db: expected a folder of noise with it, got none")
    manifest = load_manifest(path)
    for problem in manifest.problems:
        progress.message(f"left out: {problem}")
    if limit is not None:
        manifest = dataclasses.replace(manifest, utterances=manifest.utterances[:limit])
    if empty := sum(not utterance.text for utterance in manifest.utterances):
        progress.message(f"{empty} recordings have an empty transcript: all words recognised in them are insertions")
    ratios = checked_snrs(snrs_db or DEFAULT_SNRS_DB) if noise is not None else ()
    recordings = find_noise(noise) if noise is not None else ()
    items = plan_items(manifest.utterances, recordings, ratios, seed)
    return CalibrationData(str(path), manifest, tuple(items), None if noise is None else str(noise), ratios, seed)
