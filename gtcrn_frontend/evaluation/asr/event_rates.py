"""Events per minute where nobody speaks: hallucinated words of a recogniser, false starts of a detector."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.evaluation.asr.recognizer import Recognition
from gtcrn_frontend.evaluation.asr.wer import Rate
from gtcrn_frontend.evaluation.bootstrap import ratio_interval
from gtcrn_frontend.evaluation.speech_free import SpeechFree
from gtcrn_frontend.evaluation.systems import RAW


@dataclass(frozen=True)
class EventRates:
    """Events in signals without speech, on the same signals for every setting.

    Attributes:
        signals: those with a result for every setting.
        events: numbers of events behind each setting, one entry per signal.
    """

    signals: tuple[SpeechFree, ...]
    events: Mapping[EnhancerConfig, tuple[int, ...]]

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions, in the order of the signals."""
        return tuple(dict.fromkeys(signal.condition for signal in self.signals))

    @property
    def minutes(self) -> float:
        """Duration of all signals."""
        return sum(signal.duration_s for signal in self.signals) / 60

    def rate(self, setting: EnhancerConfig, condition: str | None = None, seed: int = 0) -> Rate:
        """Returns events per minute in one condition, or in all for None, with the bootstrap's 95 % interval.

        Excerpts are the independent units: one excerpt at several levels counts once.
        """
        return self._rate(self.events[setting], condition, seed)

    def change(self, setting: EnhancerConfig, condition: str | None = None, seed: int = 0) -> Rate:
        """Returns by how much events per minute increase from no front-end to a setting (paired bootstrap)."""
        before, after = self.events[RAW], self.events[setting]
        return self._rate([b - a for a, b in zip(before, after, strict=True)], condition, seed)

    def adding(self, settings: Sequence[EnhancerConfig]) -> tuple[EnhancerConfig, ...]:
        """Returns those of the settings with significantly more events than without a front-end."""
        return tuple(setting for setting in settings if setting in self.events and self.change(setting).low > 0)

    def _rate(self, events: Sequence[int], condition: str | None, seed: int) -> Rate:
        counts: dict[str, int] = {}
        minutes: dict[str, float] = {}
        for signal, count in zip(self.signals, events, strict=True):
            if condition in (None, signal.condition):
                counts[signal.unit] = counts.get(signal.unit, 0) + count
                minutes[signal.unit] = minutes.get(signal.unit, 0.0) + signal.duration_s / 60
        value = sum(counts.values()) / sum(minutes.values())
        return Rate(value, *ratio_interval(list(counts.values()), list(minutes.values()), seed))


def count_events(
    signals: Sequence[SpeechFree],
    recognitions: Mapping[EnhancerConfig, Mapping[str, Recognition]],
    count: Callable[[str], int],
) -> EventRates | None:
    """Returns the events of each setting, on the signals that have a result for all of them; None if there is none.

    Args:
        signals: see `plan_speech_free`.
        recognitions: results of each setting by the signals' keys, those of `RAW` among them.
        count: number of events in a result's text.
    """
    common = tuple(signal for signal in signals if all(signal.key in results for results in recognitions.values()))
    if not common:
        return None
    events = {
        setting: tuple(count(results[signal.key].text) for signal in common)
        for setting, results in recognitions.items()
    }
    return EventRates(common, events)
