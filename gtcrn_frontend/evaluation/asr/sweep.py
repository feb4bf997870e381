"""`Sweep`: recognises all items behind any number of settings in worker processes, and keeps the results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.evaluation.asr.recognizer import Recognition, Recognizer
from gtcrn_frontend.evaluation.asr.recognizer_source import RecognizerSource
from gtcrn_frontend.evaluation.noisy_set import Item
from gtcrn_frontend.evaluation.progress import Progress
from gtcrn_frontend.evaluation.result_cache import ResultCache
from gtcrn_frontend.evaluation.signals import Signal
from gtcrn_frontend.evaluation.systems import name_of_setting, outputs, setting_key
from gtcrn_frontend.evaluation.worker_pool import Failure, Handler, MakePool, Work, WorkerPool

TIMEOUT_S = 30.0
TIMEOUT_PER_AUDIO = 10.0
"""The default time limit for an item is 30 s and ten times its duration."""


@dataclass(frozen=True)
class MissingResult:
    """An item without a result for a setting, and the reason."""

    item: Signal
    setting: EnhancerConfig
    reason: str

    def __str__(self) -> str:
        return f"{self.item.name} ({self.item.condition}, {name_of_setting(self.setting)}): {self.reason}"


class Sweep:
    """Results of a recogniser for all items behind any settings; a context manager, which ends its processes.

    Args:
        items: see `plan_items`; an item may occur several times.
        source: the recogniser.
        cache: where results are looked up and kept.
        progress: counts new results, and reports each failure.
        jobs: worker processes, >= 1.
        pool: makes them.
        timeout_s: time limit for one item; None for `TIMEOUT_S` plus `TIMEOUT_PER_AUDIO` times its duration.
        others: further signals to recognise, without transcripts.

    Attributes:
        items, others: see above.
        recognitions: results of each setting, by the items' keys.
        failures: results that are missing, in the order in which they failed.
        recognised: number of results that the recogniser gave.
        from_cache: number of results that were in the cache.
    """

    def __init__(
        self,
        items: Sequence[Item],
        source: RecognizerSource,
        cache: ResultCache[Recognition],
        progress: Progress,
        *,
        jobs: int = 1,
        pool: MakePool = WorkerPool,
        timeout_s: float | None = None,
        others: Sequence[Signal] = (),
    ) -> None:
        self.items = tuple(items)
        self.others = tuple(others)
        self.recognitions: dict[EnhancerConfig, dict[str, Recognition]] = {}
        self.failures: list[MissingResult] = []
        self.recognised = self.from_cache = 0
        self._source = source
        self._cache = cache
        self._progress = progress
        self._timeout_s = timeout_s
        self._keys: dict[EnhancerConfig, str] = {}
        self._temporary = TemporaryDirectory(prefix="gtcrn-frontend-", ignore_cleanup_errors=True)
        self._processes = pool(partial(_handler, source.make, self._temporary.name), jobs, "the recogniser")

    def __enter__(self) -> Sweep:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._processes.__exit__()
        self._temporary.cleanup()

    @property
    def name(self) -> str:
        """The recogniser's name in reports."""
        return self._source.name

    def missing(self, settings: Sequence[EnhancerConfig]) -> int:
        """Returns how many results of these settings are neither known nor in the cache."""
        return sum(len(work.steps) for work in self._works(settings))

    def run(self, settings: Sequence[EnhancerConfig]) -> None:
        """Recognises all items behind each setting, unless the result is known or has failed before in this sweep.

        Raises:
            ModelError: a model or the recogniser cannot be loaded, or the recogniser never succeeds.
            ConfigError: the cache cannot be written to.
        """
        for work, setting, result in self._processes.run(list(self._works(settings))):
            item: Signal = work.payload
            if isinstance(result, Failure):
                self.failures.append(MissingResult(item, setting, result.reason))
                self._progress.message(f"failed: {self.failures[-1]}")
            else:
                self._cache.put(item.key, self._source.identity, self._key(setting), result)
                self.recognitions[setting][item.key] = result
                self.recognised += 1
            self._progress.update(1)

    def _key(self, setting: EnhancerConfig) -> str:
        if setting not in self._keys:
            self._keys[setting] = setting_key(setting)  # loads the model
        return self._keys[setting]

    def _works(self, settings: Sequence[EnhancerConfig]) -> Iterator[Work]:
        """What remains to be recognised; takes what is in the cache."""
        failed = {(missing.item.key, missing.setting) for missing in self.failures}
        keys = {setting: self._key(setting) for setting in settings}
        signals: tuple[Signal, ...] = (*self.items, *self.others)
        for item in {item.key: item for item in signals}.values():
            steps = []
            for setting in keys:
                known = self.recognitions.setdefault(setting, {})
                if item.key in known or (item.key, setting) in failed:
                    continue
                cached = self._cache.get(item.key, self._source.identity, keys[setting])
                if cached is None:
                    steps.append(setting)
                else:
                    known[item.key] = cached
                    self.from_cache += 1
            limit_s = TIMEOUT_S + TIMEOUT_PER_AUDIO * item.duration_s
            yield Work(item, tuple(steps), self._timeout_s or limit_s)


def _handler(make: Callable[[str], Recognizer], temporary: str) -> Handler:
    """Makes the recogniser, once in each worker process."""
    Path(temporary).mkdir(parents=True, exist_ok=True)  # on another machine it is not there
    return partial(_recognise, make(temporary))


def _recognise(recognizer: Recognizer, item: Signal, settings: Sequence[EnhancerConfig]) -> Iterator[Recognition]:
    samples, rate = item.read()
    for output in outputs(samples, rate, settings):
        began = time.perf_counter()
        transcript = recognizer(output.samples, rate)
        yield Recognition(transcript.text, time.perf_counter() - began, output.took_s)
