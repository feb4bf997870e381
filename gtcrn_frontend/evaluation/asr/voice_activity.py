"""Errors of a voice activity detector: false starts where nobody speaks, and speech that it misses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.evaluation.asr.event_rates import EventRates, count_events
from gtcrn_frontend.evaluation.asr.recognizer_source import RecognizerSource
from gtcrn_frontend.evaluation.asr.sweep import MissingResult, Sweep
from gtcrn_frontend.evaluation.asr.wer import Rate
from gtcrn_frontend.evaluation.bootstrap import ratio_interval
from gtcrn_frontend.evaluation.noisy_set import Item, plan_items
from gtcrn_frontend.evaluation.speech_free import SpeechFree
from gtcrn_frontend.evaluation.systems import RAW

Segment = tuple[float, float]
"""Begin and end of detected speech in seconds."""


@dataclass(frozen=True)
class SpeechTime:
    """How much speech an utterance has, and how much of it was missed, in seconds."""

    missed_s: float
    speech_s: float


@dataclass(frozen=True)
class VoiceActivity:
    """Errors of a detector behind each setting; the reference is what it detects in the recording without noise.

    Attributes:
        detector: the detector.
        false_starts: detected segments where nobody speaks; None if there are no such signals.
        items: those with a result for every setting.
        speech: missed speech behind each setting, one entry per item.
        failures: results that are missing.
    """

    detector: RecognizerSource
    false_starts: EventRates | None
    items: tuple[Item, ...]
    speech: Mapping[EnhancerConfig, tuple[SpeechTime, ...]]
    failures: tuple[MissingResult, ...] = ()

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions, in the order of the items."""
        return tuple(dict.fromkeys(item.condition for item in self.items))

    def missed(self, setting: EnhancerConfig, condition: str | None = None, seed: int = 0) -> Rate:
        """Returns the share of speech that is missed in one condition, or in all for None."""
        return self._share([each.missed_s for each in self.speech[setting]], condition, seed)

    def change(self, setting: EnhancerConfig, condition: str | None = None, seed: int = 0) -> Rate:
        """Returns by how much that share increases from no front-end to a setting (paired bootstrap)."""
        pairs = zip(self.speech[RAW], self.speech[setting], strict=True)
        return self._share([after.missed_s - before.missed_s for before, after in pairs], condition, seed)

    def _share(self, missed_s: Sequence[float], condition: str | None, seed: int) -> Rate:
        missed: dict[tuple[str, int, int | None], float] = {}
        spoken: dict[tuple[str, int, int | None], float] = {}
        for item, each, speech in zip(self.items, missed_s, self.speech[RAW], strict=True):
            if condition in (None, item.condition):
                audio = item.utterance.audio_id
                missed[audio] = missed.get(audio, 0.0) + each
                spoken[audio] = spoken.get(audio, 0.0) + speech.speech_s
        value = sum(missed.values()) / sum(spoken.values())
        return Rate(value, *ratio_interval(list(missed.values()), list(spoken.values()), seed))


def measure_voice_activity(
    sweep: Sweep, source: RecognizerSource, settings: Sequence[EnhancerConfig], silent: Sequence[SpeechFree]
) -> VoiceActivity:
    """Returns the errors of a detector without a front-end and behind settings.

    Args:
        sweep: of the detector over noisy items and signals without speech, see `with_references`.
        source: the detector, whose text is that of `segments_text`.
        settings: `RAW` among them.
        silent: signals without speech; may be empty.

    Raises:
        ModelError: a model or the detector cannot be loaded, it finds no speech in the recordings without noise, or
            its text is not that of `segments_text`.
        ConfigError: the cache cannot be written to.
    """
    sweep.run(settings)
    found = {setting: sweep.recognitions[setting] for setting in settings}
    references = _references(sweep.items)
    spoken = {
        item.key: parse_segments(found[RAW][references[item.key].key].text)
        for item in sweep.items
        if references[item.key].key in found[RAW]
    }
    common = tuple(
        item for item in sweep.items if spoken.get(item.key) and all(item.key in results for results in found.values())
    )
    if not common:
        raise ModelError(f"{source.name}: expected speech in the recordings without noise, the detector found none")
    speech = {
        setting: tuple(_speech_time(spoken[item.key], parse_segments(results[item.key].text)) for item in common)
        for setting, results in found.items()
    }
    false_starts = count_events(silent, found, lambda text: len(parse_segments(text)))
    return VoiceActivity(source, false_starts, common, speech, tuple(sweep.failures))


def with_references(items: Sequence[Item], silent: Sequence[SpeechFree]) -> list[Item | SpeechFree]:
    """Returns what a detector's sweep needs beside the items: each recording without noise, and `silent`."""
    return [*_references(items).values(), *silent]


def segments_text(segments: Iterable[Segment]) -> str:
    """Returns segments as a detector's text, such as `0.250-1.300 2.000-2.750`."""
    return " ".join(f"{begin:.3f}-{end:.3f}" for begin, end in segments)


def parse_segments(text: str) -> list[Segment]:
    """Returns the segments of a detector's text, in order.

    Raises:
        ModelError: the text is not that of `segments_text`.
    """
    try:
        return [(float(begin), float(end)) for begin, end in (entry.split("-") for entry in text.split())]
    except ValueError as error:
        raise ModelError(f"expected segments such as 0.250-1.300 from a detector, got {text!r}") from error


def _references(items: Sequence[Item]) -> dict[str, Item]:
    """The recording without noise, as it is, of each item by its key."""
    return {item.key: plan_items([item.utterance])[0] for item in items}


def _speech_time(spoken: Sequence[Segment], found: Sequence[Segment]) -> SpeechTime:
    covered = sum(max(min(b, d) - max(a, c), 0.0) for a, b in spoken for c, d in found)
    total = sum(end - begin for begin, end in spoken)
    return SpeechTime(max(total - covered, 0.0), total)
