"""Events per minute, with results that are known."""

import pytest

from gtcrn_frontend import EnhancerConfig
from gtcrn_frontend.evaluation.asr.event_rates import EventRates, count_events
from gtcrn_frontend.evaluation.asr.recognizer import Recognition
from gtcrn_frontend.evaluation.speech_free import SpeechFree
from gtcrn_frontend.evaluation.systems import RAW

FULL, HALF = EnhancerConfig(), EnhancerConfig(strength=0.5)
SIGNALS = tuple(SpeechFree(f"excerpt {i}", 10.0, level, seed=i) for level in (-30.0, -45.0) for i in range(12))


def test_rates_are_per_minute_by_condition_and_over_all() -> None:
    rates = EventRates(SIGNALS, {RAW: (1,) * 12 + (0,) * 12, FULL: (0,) * 24})
    assert rates.minutes == pytest.approx(4)
    assert rates.conditions == ("noise -30 dBFS", "noise -45 dBFS")
    assert rates.rate(RAW, "noise -30 dBFS").value == pytest.approx(6)
    assert rates.rate(RAW, "noise -45 dBFS").value == 0
    assert rates.rate(RAW).value == pytest.approx(3)
    assert rates.change(FULL).value == pytest.approx(-3)
    assert rates.change(FULL).mark == "-"


def test_an_excerpt_at_two_levels_is_one_unit() -> None:
    """The interval is as wide as that of twelve excerpts, although there are 24 signals."""
    events = (5,) * 3 + (0,) * 9
    both, one = (EventRates(SIGNALS[:n], {RAW: (events * 2)[:n]}).rate(RAW) for n in (24, 12))
    assert (both.value, both.low, both.high) == pytest.approx((one.value, one.low, one.high))


def test_what_adds_words_in_many_excerpts_is_found_and_one_loop_is_not() -> None:
    looping = (0,) * 11 + (200,) + (0,) * 12
    rates = EventRates(SIGNALS, {RAW: (0,) * 24, HALF: looping, FULL: (2, 0) * 12})
    assert rates.adding([HALF, FULL]) == (FULL,)


def test_signals_that_a_setting_lacks_count_for_none() -> None:
    signals = SIGNALS[:3]
    words = {RAW: ("", "thank you", "you"), FULL: ("a b c", "", "")}
    results = {
        setting: {
            signal.key: Recognition(text, 0, 0)
            for signal, text in zip(signals, texts, strict=True)
            if not (setting == FULL and signal is signals[1])
        }
        for setting, texts in words.items()
    }
    found = count_events(signals, results, lambda text: len(text.split()))
    assert found is not None
    assert (found.signals, found.events) == ((signals[0], signals[2]), {RAW: (0, 1), FULL: (3, 0)})
    assert count_events([], results, len) is None
