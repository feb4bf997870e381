"""`calibrate`: measures whether a front-end lowers a recogniser's error rate, and decides on a setting."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from gtcrn_frontend.config import EnhancerConfig, Strength
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.evaluation.asr.auto_strength_fit import fit_auto_strength as fit
from gtcrn_frontend.evaluation.asr.auto_strength_fit import split
from gtcrn_frontend.evaluation.asr.calibration import Calibration
from gtcrn_frontend.evaluation.asr.calibration_data import CalibrationData, load_calibration_data
from gtcrn_frontend.evaluation.asr.decision import decide
from gtcrn_frontend.evaluation.asr.event_rates import count_events
from gtcrn_frontend.evaluation.asr.recognizer import Recognition
from gtcrn_frontend.evaluation.asr.recognizer_source import RecognizerFunction, RecognizerSource, as_source
from gtcrn_frontend.evaluation.asr.strength_search import search_strengths
from gtcrn_frontend.evaluation.asr.sweep import Sweep
from gtcrn_frontend.evaluation.asr.voice_activity import VoiceActivity, measure_voice_activity, with_references
from gtcrn_frontend.evaluation.asr.wer import ErrorMetric, count_errors
from gtcrn_frontend.evaluation.channels import DEFAULT_CHANNELS
from gtcrn_frontend.evaluation.progress import LoggedProgress, Progress
from gtcrn_frontend.evaluation.result_cache import ResultCache, result_folder
from gtcrn_frontend.evaluation.speech_free import DEFAULT_EXCERPTS, DEFAULT_LEVELS_DBFS
from gtcrn_frontend.evaluation.systems import distinct_models, front_end
from gtcrn_frontend.evaluation.worker_pool import MakePool, WorkerPool

CACHE_NAME = "calibrate"
"""Subfolder of the user's cache folder; `evaluate` uses it too, so that no signal is recognised twice."""
DEFAULT_JOBS = min(os.cpu_count() or 1, 4)
"""Each worker process loads the recogniser."""


def calibrate(
    recognizer: RecognizerSource | RecognizerFunction,
    manifest: str | Path,
    *,
    noise: str | Path | None = None,
    snrs_db: Sequence[float | None] = (),
    seed: int = 0,
    channels: Sequence[str] = DEFAULT_CHANNELS,
    rooms: str | Path | None = None,
    noise_only: int = DEFAULT_EXCERPTS,
    noise_only_dbfs: Sequence[float] = DEFAULT_LEVELS_DBFS,
    vad: RecognizerSource | RecognizerFunction | None = None,
    models: Sequence[str | Path] = (EnhancerConfig.model,),
    engine: str = EnhancerConfig.engine,
    strengths: Sequence[Strength] = (),
    fit_auto_strength: bool = False,
    also_fit_to: Sequence[RecognizerSource | RecognizerFunction] = (),
    metric: ErrorMetric | None = None,
    limit: int | None = None,
    jobs: int = DEFAULT_JOBS,
    pool: MakePool = WorkerPool,
    timeout_s: float | None = None,
    cache: str | Path | bool = True,
    progress: Progress | None = None,
) -> Calibration:
    """Measures a recogniser's errors without and with front-ends, and decides on a setting.

    >>> result = calibrate(my_asr.transcribe, "test.jsonl", noise="noise/")  # doctest: +SKIP
    >>> print(result)  # doctest: +SKIP
    >>> result.write("frontend.yaml")  # doctest: +SKIP

    A front-end is chosen only if it reduces errors significantly, corrected for the number of settings tried, and
    neither makes clean speech significantly worse nor adds hallucinated words significantly. The recogniser runs in
    worker processes: a script that calls this function needs the usual `if __name__ == "__main__":`.

    Args:
        recognizer: a function `(samples, sample_rate) -> text` that can be pickled, or a source, such as
            `gtcrn_frontend.adapters.recognizers.recognizer_source("pipeline.yaml")` returns.
        manifest: recordings with transcripts, see `load_manifest`.
        noise: folder of noise recordings to mix in; None to use the recordings as they are.
        snrs_db: signal-to-noise ratios of the mixtures in dB, None for clean; empty for clean, 10, 5 and 0.
        seed: of the choice of noise.
        channels: out of `microphone`, `telephone` (8 kHz, G.711) and `room`; every condition is measured behind each.
        rooms: folder of impulse responses, for the channel `room`.
        noise_only: number of excerpts of noise without speech, 10 s each, in which hallucinated words are counted, as
            in digital silence; 0 to count none. Without `noise` there are none.
        noise_only_dbfs: their levels in dB of full scale.
        vad: also measure a voice activity detector, such as `gtcrn_frontend.adapters.sherpa.vad_source.vad_source`
            returns, or a function whose text is that of `voice_activity.segments_text`; needs `noise`.
        models: names or paths of models to try.
        engine: of the models.
        strengths: to try, above 0 to 1 or `auto`; empty to search from coarse to fine.
        fit_auto_strength: also fit the parameters of strength `auto`, on half of the utterances; the decision is then
            made on the other half.
        also_fit_to: further recognisers to fit to; parameters that suit several are less likely due to chance.
        metric: how errors are counted; None for WER after the default normalisation.
        limit: use the first so many utterances only; None for all.
        jobs: worker processes, >= 1.
        pool: makes them; `gtcrn_frontend.adapters.ray.RayPool` spreads them over a cluster.
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
    detector = as_source(vad) if vad is not None else None
    if detector and noise is None:
        raise ConfigError("vad: expected a folder of noise with it: what is speech is known before noise is added only")
    data = load_calibration_data(
        manifest,
        progress,
        noise=noise,
        snrs_db=snrs_db,
        seed=seed,
        channels=channels,
        rooms=rooms,
        noise_only=noise_only,
        noise_only_dbfs=noise_only_dbfs,
        limit=limit,
    )
    results = ResultCache(result_folder(cache, CACHE_NAME), Recognition)
    sweep_over = partial(Sweep, cache=results, progress=progress, jobs=jobs, pool=pool, timeout_s=timeout_s)
    with ExitStack() as stack:
        to_fit: list[Sweep] = []
        if fit_auto_strength:
            items_to_fit, items = split(data.items)
            data = dataclasses.replace(data, items=tuple(items))
            to_fit = [stack.enter_context(sweep_over(items_to_fit, each)) for each in sources]
        sweep = stack.enter_context(sweep_over(data.items, sources[0], others=data.speech_free))
        fitted = fit(to_fit, front_ends, metric, progress) if to_fit else None
        scores = search_strengths(sweep, front_ends, strengths, metric, progress, fitted)
        results_of = {setting: sweep.recognitions[setting] for setting in scores.settings}
        hallucinations = count_events(
            data.speech_free, results_of, lambda text: len(metric.normalisation(text).split())
        )
        sweeps = (*to_fit, sweep)
        activity = _voice_activity(sweep_over, detector, data, scores.settings, progress) if detector else None
        return Calibration(
            decide(scores, hallucinations=hallucinations),
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
            hallucinations,
            activity,
        )


def _voice_activity(
    sweep_over: Callable[..., Sweep],
    detector: RecognizerSource,
    data: CalibrationData,
    settings: Sequence[EnhancerConfig],
    progress: Progress,
) -> VoiceActivity:
    with sweep_over(data.items, detector, others=with_references(data.items, data.speech_free)) as sweep:
        progress.begin("voice activity", sweep.missing(settings))
        return measure_voice_activity(sweep, detector, settings, data.speech_free)
