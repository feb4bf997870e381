"""`Sweep`: recognises all items behind each of a list of settings, and keeps what was heard."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from tempfile import TemporaryDirectory
from types import TracebackType

from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.evaluation.asr.recognizer import Recognizer
from gtcrn_frontend.evaluation.asr.recognizer_source import RecognizerSource
from gtcrn_frontend.evaluation.noisy_set import Item, read_item
from gtcrn_frontend.evaluation.result_cache import Cache, Recognition
from gtcrn_frontend.evaluation.systems import name_of_setting, outputs, setting_key
from gtcrn_frontend.evaluation.worker_pool import Failure, Handler, Work, WorkerPool

TIMEOUT_S = 30.0
TIMEOUT_PER_AUDIO = 10.0
"""Without another limit, recognising may take 30 s and ten times as long as the audio."""

Progress = Callable[[int], object]


@dataclass(frozen=True)
class MissingResult:
    """An item that has no result behind a setting, and why."""

    item: Item
    setting: EnhancerConfig
    reason: str

    def __str__(self) -> str:
        return f"{self.item.utterance.name} ({self.item.condition}, {name_of_setting(self.setting)}): {self.reason}"


class Sweep:
    """What a recogniser hears in all items behind any settings; a context manager, which ends its processes.

    Args:
        items: see `plan_items`.
        source: the recogniser.
        cache: where results are looked for and kept.
        jobs: processes that recognise, >= 1.
        timeout_s: the longest time for one item; None is `TIMEOUT_S` and `TIMEOUT_PER_AUDIO` times its duration.
        report: called with each failure as it comes.
    """

    def __init__(
        self,
        items: Sequence[Item],
        source: RecognizerSource,
        cache: Cache[Recognition],
        *,
        jobs: int = 1,
        timeout_s: float | None = None,
        report: Callable[[MissingResult], None] = lambda left: None,
    ) -> None:
        self.items = tuple(items)
        self.heard: dict[EnhancerConfig, dict[Item, Recognition]] = {}
        self.left: list[MissingResult] = []
        self.recognised = self.from_cache = 0
        self.took_s = 0.0
        self._source = source
        self._cache = cache
        self._timeout_s = timeout_s
        self._report = report
        self._keys: dict[EnhancerConfig, str] = {}
        self._temporary = TemporaryDirectory(prefix="gtcrn-frontend-", ignore_cleanup_errors=True)
        self._processes = WorkerPool(partial(_handler, source.make, self._temporary.name), jobs)

    def __enter__(self) -> Sweep:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._processes.__exit__()
        self._temporary.cleanup()

    @property
    def name(self) -> str:
        """What reports call the recogniser."""
        return self._source.name

    def missing(self, settings: Sequence[EnhancerConfig]) -> int:
        """Returns how many results behind these settings are neither here nor in the cache."""
        return sum(len(work.steps) for work in self._works(settings))

    def hear(self, settings: Sequence[EnhancerConfig], progress: Progress = lambda count: None) -> None:
        """Recognises all items behind each setting, as far as that is not known; `heard` and `left` have the results.

        Args:
            settings: any; what is known already is not done again, nor what failed before in this sweep.
            progress: called with the number of results that have just come from a recogniser.

        Raises:
            ModelError: a model or the recogniser cannot be loaded, or the recogniser never succeeds.
            ConfigError: the cache cannot be written to.
        """
        began = time.monotonic()
        try:
            for work, setting, result in self._processes.run(list(self._works(settings))):
                item: Item = work.payload
                if isinstance(result, Failure):
                    self.left.append(MissingResult(item, setting, result.reason))
                    self._report(self.left[-1])
                else:
                    self._cache.put(item.key, self._source.identity, self._key(setting), result)
                    self.heard[setting][item] = result
                    self.recognised += 1
                progress(1)
        finally:
            self.took_s += time.monotonic() - began

    def _key(self, setting: EnhancerConfig) -> str:
        if setting not in self._keys:
            self._keys[setting] = setting_key(setting)  # loads the model
        return self._keys[setting]

    def _works(self, settings: Sequence[EnhancerConfig]) -> Iterator[Work]:
        """What has to be recognised; takes what is in the cache."""
        failed = {(left.item, left.setting) for left in self.left}
        keys = {setting: self._key(setting) for setting in settings}
        for item in self.items:
            steps = []
            for setting in keys:
                known = self.heard.setdefault(setting, {})
                if item in known or (item, setting) in failed:
                    continue
                found = self._cache.get(item.key, self._source.identity, keys[setting])
                if found is None:
                    steps.append(setting)
                else:
                    known[item] = found
                    self.from_cache += 1
            limit_s = TIMEOUT_S + TIMEOUT_PER_AUDIO * item.utterance.duration_s
            yield Work(item, tuple(steps), self._timeout_s or limit_s)


def _handler(make: Callable[[str], Recognizer], temporary: str) -> Handler:
    """What runs in a process: makes the recogniser once."""
    return partial(_hear, make(temporary))


def _hear(recognizer: Recognizer, item: Item, settings: Sequence[EnhancerConfig]) -> Iterator[Recognition]:
    samples, rate = read_item(item)
    for output in outputs(samples, rate, settings):
        began = time.perf_counter()
        transcript = recognizer(output.samples, rate)
        yield Recognition(transcript.text, time.perf_counter() - began, output.took_s)
