"""Decisions on errors that are drawn: the truth is known."""

from pathlib import Path

import numpy as np
import pytest

from gtcrn_frontend import EnhancerConfig
from gtcrn_frontend.evaluation.asr.decision import MIN_UTTERANCES, RELEVANT, Decision, Verdict, decide
from gtcrn_frontend.evaluation.asr.event_rates import EventRates
from gtcrn_frontend.evaluation.asr.measure_text import hallucination_reasons
from gtcrn_frontend.evaluation.asr.recognizer import Recognition
from gtcrn_frontend.evaluation.asr.scores import Scores, score
from gtcrn_frontend.evaluation.asr.verdict_text import reasons
from gtcrn_frontend.evaluation.asr.wer import ErrorCounts, ErrorMetric
from gtcrn_frontend.evaluation.manifest import Utterance
from gtcrn_frontend.evaluation.noisy_set import Item
from gtcrn_frontend.evaluation.speech_free import SpeechFree
from gtcrn_frontend.evaluation.systems import RAW

HALF, FULL, QUARTER = (EnhancerConfig(strength=s) for s in (0.5, 1.0, 0.25))
WORDS = 6

Rates = dict[EnhancerConfig, dict[str, float]]


def drawn(rates: Rates, n: int, seed: int = 0) -> Scores:
    """Utterances of six words; the chance of an error is that of the setting in the condition."""
    rng = np.random.default_rng(seed)
    conditions = list(rates[RAW])
    items = [Item(Utterance(str(i), Path(str(i)), "x"), name, f"{i}{name}") for name in conditions for i in range(n)]
    luck = rng.random((len(items), WORDS))  # the same for all settings: what is hard, is hard for all
    counts = {
        setting: tuple(
            ErrorCounts(int((words < by_condition[item.condition]).sum()), 0, 0, WORDS)
            for item, words in zip(items, luck, strict=True)
        )
        for setting, by_condition in rates.items()
    }
    return Scores(tuple(items), tuple(rates), counts)


def decided(rates: Rates, n: int, seed: int = 0) -> Decision:
    return decide(drawn(rates, n, seed))


def test_what_helps_is_chosen() -> None:
    found = decided(
        {
            RAW: {"clean": 0.02, "0 dB": 0.5},
            HALF: {"clean": 0.02, "0 dB": 0.2},
            FULL: {"clean": 0.02, "0 dB": 0.4},
        },
        60,
    )
    assert (found.verdict, found.setting, found.candidate) == (Verdict.HELPS, HALF, HALF)
    assert found.change.high < 0
    assert found.utterances_needed is None


def test_the_lowest_rate_does_not_count_if_clean_speech_gets_worse() -> None:
    found = decided(
        {RAW: {"clean": 0.02, "0 dB": 0.6}, HALF: {"clean": 0.02, "0 dB": 0.4}, FULL: {"clean": 0.15, "0 dB": 0.1}}, 60
    )
    assert (found.verdict, found.setting, found.harmful) == (Verdict.HELPS, HALF, (FULL,))


def test_nothing_helps_where_all_harm() -> None:
    found = decided({RAW: {"clean": 0.02, "0 dB": 0.3}, FULL: {"clean": 0.3, "0 dB": 0.1}}, 60)
    assert (found.verdict, found.setting, found.candidate) == (Verdict.NOTHING_HELPS, RAW, None)


def test_nothing_helps_where_it_gets_worse() -> None:
    found = decided({RAW: {"5 dB": 0.2}, HALF: {"5 dB": 0.3}, FULL: {"5 dB": 0.4}}, 80)
    assert (found.verdict, found.setting.bypass, found.candidate) == (Verdict.NOTHING_HELPS, True, HALF)
    assert found.clean_change is None


def test_nothing_helps_where_there_are_no_errors() -> None:
    found = decided({RAW: {"clean": 0.0}, FULL: {"clean": 0.0}}, 50)
    assert found.verdict is Verdict.NOTHING_HELPS


def test_a_few_words_without_errors_say_little() -> None:
    found = decided({RAW: {"clean": 0.0}, FULL: {"clean": 0.0}}, 30)
    assert (found.verdict, found.utterances_needed) == (Verdict.TOO_LITTLE_DATA, 50)
    assert "noisier recordings" in " ".join(reasons(found, "WER"))


@pytest.mark.parametrize(("n", "rate"), [(10, 0.10), (48, 0.03), (100, 0.01)])
def test_a_gain_that_hardly_shows_in_few_words_is_not_ruled_out(n: int, rate: float) -> None:
    """A true gain of 20 %, which changed nothing at all in every third of these drawings."""
    found = [decided({RAW: {"a": rate}, HALF: {"a": 0.9 * rate}, FULL: {"a": 0.8 * rate}}, n, i) for i in range(60)]
    assert sum(one.verdict is Verdict.NOTHING_HELPS for one in found) <= 3
    unseen = [one for one in found if one.raw.value and not one.change.value]
    assert unseen
    assert all(one.change.low < -RELEVANT * one.raw.value for one in unseen)
    assert all(one.utterances_needed > 2 * n for one in unseen)


def test_utterances_that_fail_as_a_whole_are_few_errors() -> None:
    """Every tenth utterance is lost, and the front-end would save one of five of these."""
    items = tuple(Item(Utterance(str(i), Path(str(i)), "x"), "a", str(i)) for i in range(100))
    lost = tuple(ErrorCounts(0, WORDS * (i % 10 == 0), 0, WORDS) for i in range(100))
    found = decide(Scores(items, (RAW, FULL), {RAW: lost, FULL: lost}))
    assert found.verdict is Verdict.TOO_LITTLE_DATA


def test_what_changes_nothing_in_much_data_is_ruled_out() -> None:
    found = decided({RAW: {"a": 0.1}, FULL: {"a": 0.1}}, 150)
    assert found.verdict is Verdict.NOTHING_HELPS
    assert found.change.low < 0 < found.change.high


def test_nothing_is_ruled_out_while_a_setting_is_unclear() -> None:
    """Half strength changes nothing; full strength changes so much, both ways, that it may well be better."""
    n = 150
    items = tuple(Item(Utterance(str(i), Path(str(i)), "x"), "a", str(i)) for i in range(n))
    errors = {RAW: [1] * 75 + [0] * 75, FULL: [0] * 35 + [1] * 40 + [1] * 38 + [0] * 37}
    counts = {setting: tuple(ErrorCounts(k, 0, 0, WORDS) for k in each) for setting, each in errors.items()}
    counts[HALF] = counts[RAW]
    assert decide(Scores(items, (RAW, HALF), counts)).verdict is Verdict.NOTHING_HELPS
    found = decide(Scores(items, (RAW, HALF, FULL), counts))
    assert (found.candidate, found.verdict) == (HALF, Verdict.TOO_LITTLE_DATA)


def test_clean_speech_that_did_not_change_is_not_known_to_the_last_digit() -> None:
    found = decided({RAW: {"clean": 0.02, "0 dB": 0.5}, HALF: {"clean": 0.02, "0 dB": 0.2}}, 60)
    assert found.clean_change is not None
    assert found.clean_change.low < found.clean_change.value == 0 < found.clean_change.high


def test_few_utterances_are_too_few_whatever_they_say() -> None:
    found = decided({RAW: {"0 dB": 0.9}, FULL: {"0 dB": 0.0}}, MIN_UTTERANCES - 1)
    assert (found.verdict, found.setting.bypass) == (Verdict.TOO_LITTLE_DATA, True)
    assert found.utterances_needed is not None
    assert found.utterances_needed >= MIN_UTTERANCES


def test_as_many_utterances_as_estimated_do() -> None:
    rates: Rates = {RAW: {"0 dB": 0.40}, FULL: {"0 dB": 0.34}}
    hints = [decided(rates, 14, seed) for seed in range(12)]
    unsure = [found for found in hints if found.verdict is Verdict.TOO_LITTLE_DATA]
    assert unsure
    needed = int(np.median([found.utterances_needed for found in unsure if found.utterances_needed]))
    assert 15 <= needed <= 500
    sure = [decided(rates, needed, 100 + seed).verdict is Verdict.HELPS for seed in range(10)]
    assert sum(sure) >= 6


def test_the_best_of_many_that_do_nothing_is_not_taken_for_a_help() -> None:
    """Eight settings that change errors at random, a hundred times: at most about 2.5 % may pass for a help."""
    settings = [EnhancerConfig(strength=s) for s in np.linspace(0.1, 0.8, 8)]
    fooled = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        items = tuple(Item(Utterance(str(i), Path(str(i)), "x"), "0 dB", str(i)) for i in range(40))
        counts = {
            setting: tuple(ErrorCounts(int(k), 0, 0, WORDS) for k in rng.binomial(WORDS, 0.3, 40))
            for setting in (RAW, *settings)
        }
        fooled += decide(Scores(items, (RAW, *settings), counts)).verdict is Verdict.HELPS
    assert fooled <= 8


def test_one_utterance_in_many_noises_is_one() -> None:
    scores = drawn({RAW: {"a": 0.5, "b": 0.5}, FULL: {"a": 0.1, "b": 0.1}}, 7)
    assert [count.reference for count in scores.of(RAW)] == [2 * WORDS] * 7
    assert decide(scores).utterances == 7


def test_of_equals_the_one_that_changes_least_is_taken() -> None:
    found = decided({RAW: {"0 dB": 0.5}, FULL: {"0 dB": 0.1}, QUARTER: {"0 dB": 0.1}, HALF: {"0 dB": 0.1}}, 40)
    assert found.setting == QUARTER


def test_without_raw_nothing_can_be_said() -> None:
    with pytest.raises(ValueError, match="without front-end"):
        decide(drawn({RAW: {"a": 0.5}}, 3).__class__((), (FULL,), {FULL: ()}))


def test_items_that_one_setting_lacks_count_for_none() -> None:
    items = [Item(Utterance(str(i), Path(str(i)), "One, two"), "a", str(i)) for i in range(10)]
    recognitions = {
        RAW: {item.key: Recognition("one two", 0, 0) for item in items},
        HALF: {item.key: Recognition("one", 0, 0) for item in items[1:]},
        FULL: {item.key: Recognition("", 0, 0) for item in items[:7]},  # too few: it is left out
    }
    scores = score(items, recognitions, ErrorMetric())
    assert scores.settings == (RAW, HALF)
    assert scores.items == tuple(items[1:])
    assert sum(count.errors for count in scores.of(RAW)) == 0
    assert sum(count.deletions for count in scores.of(HALF)) == 9


def test_the_same_item_twice_counts_twice_but_is_one_utterance() -> None:
    item = Item(Utterance("a", Path("a"), "one two"), "a", "a")
    scores = score([item, item], {RAW: {"a": Recognition("one", 0, 0)}}, ErrorMetric())
    assert scores.items == (item, item)
    assert [count.deletions for count in scores.of(RAW)] == [2]


def hallucinated(words: dict[EnhancerConfig, int]) -> EventRates:
    """So many words in each of twenty excerpts."""
    signals = tuple(SpeechFree(str(i), 10.0, -30.0, seed=i) for i in range(20))
    return EventRates(signals, {setting: (count,) * len(signals) for setting, count in words.items()})


def test_what_adds_hallucinated_words_is_ruled_out_and_that_is_said() -> None:
    scores = drawn(
        {RAW: {"clean": 0.02, "0 dB": 0.6}, HALF: {"clean": 0.02, "0 dB": 0.3}, FULL: {"clean": 0.02, "0 dB": 0.1}}, 60
    )
    assert decide(scores).setting == FULL
    rates = hallucinated({RAW: 1, HALF: 1, FULL: 2})
    found = decide(scores, hallucinations=rates)
    assert (found.verdict, found.setting, found.hallucinating) == (Verdict.HELPS, HALF, (FULL,))
    said = hallucination_reasons(rates, scores, found.candidate, found.hallucinating, "WER")
    assert "hallucinated words per minute go from 6.0 ±0.0 to 6.0 ±0.0" in said[0]
    assert "no significant difference" in said[0]
    assert "Ruled out because they add hallucinated words where nobody speaks: gtcrn-asr 1 (+6.0" in said[1]
    assert "while its WER changes by -" in said[1]


def test_if_everything_adds_hallucinated_words_nothing_is_recommended() -> None:
    scores = drawn({RAW: {"clean": 0.02, "0 dB": 0.6}, FULL: {"clean": 0.02, "0 dB": 0.1}}, 60)
    found = decide(scores, hallucinations=hallucinated({RAW: 0, FULL: 1}))
    assert (found.verdict, found.setting, found.candidate) == (Verdict.NOTHING_HELPS, RAW, None)
    assert "or adds hallucinated words where nobody speaks" in reasons(found, "WER")[0]


def test_speech_without_noise_is_clean_behind_every_channel() -> None:
    found = decided(
        {
            RAW: {"clean": 0.1, "telephone clean": 0.1, "0 dB": 0.7},
            FULL: {"clean": 0.1, "telephone clean": 0.4, "0 dB": 0.1},
        },
        60,
    )
    assert (found.setting, found.harmful) == (RAW, (FULL,))


def test_a_loop_of_words_does_not_decide() -> None:
    items = [Item(Utterance(str(i), Path(str(i)), "one two three"), "0 dB", str(i)) for i in range(40)]
    loop = "one two " + 300 * "two "
    recognitions = {
        RAW: {item.key: Recognition("one two", 0, 0) for item in items},
        FULL: {item.key: Recognition(loop if item is items[0] else "one two three", 0, 0) for item in items},
    }
    capped, uncapped = (score(items, recognitions, ErrorMetric(capped=capped)) for capped in (True, False))
    assert decide(capped).setting == FULL
    assert decide(uncapped).setting == RAW
    assert capped.total(FULL).all_errors == uncapped.total(FULL).errors == 300
