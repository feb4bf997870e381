from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend import EnhancerConfig
from gtcrn_frontend.evaluation.asr.scores import Scores
from gtcrn_frontend.evaluation.asr.strength_search import FINER_STEPS, first_round, next_round
from gtcrn_frontend.evaluation.asr.wer import ErrorCounts
from gtcrn_frontend.evaluation.manifest import Utterance
from gtcrn_frontend.evaluation.noisy_set import Item
from gtcrn_frontend.evaluation.systems import RAW

GOOD, BAD = EnhancerConfig("gtcrn-asr"), EnhancerConfig("gtcrn-dns3")
ITEMS = tuple(Item(Utterance(str(i), Path(str(i)), "x"), "0 dB", str(i)) for i in range(20))


def scores_of(tried: list[EnhancerConfig], best: float) -> Scores:
    """Errors grow with the distance from the best strength; of BAD, there are many more."""

    def errors(setting: EnhancerConfig) -> int:
        if setting.bypass:
            return 500
        if setting.strength == "auto":
            return 700
        return round(800 * abs(setting.strength - best)) + (2000 if setting.model == BAD.model else 0)

    counts = {s: tuple(ErrorCounts(errors(s) + i % 3, 0, 0, 3000) for i in range(len(ITEMS))) for s in (RAW, *tried)}
    return Scores(ITEMS, (RAW, *tried), counts)


def search(best: float) -> list[EnhancerConfig]:
    tried = first_round([GOOD, BAD])
    for step in FINER_STEPS:
        tried += next_round([GOOD, BAD], step, scores_of(tried, best))
    return tried


@settings(deadline=None, max_examples=25)
@given(st.floats(0.02, 1))
def test_a_search_ends_near_the_best_strength_and_nothing_is_tried_twice(best: float) -> None:
    tried = search(best)
    assert len(set(tried)) == len(tried) <= 10
    nearest = min(
        abs(setting.strength - best) for setting in tried if setting.model == GOOD.model and setting.strength != "auto"
    )
    assert nearest <= max(FINER_STEPS[-1] / 2 + 1e-3, 0.125 - best)


def test_it_begins_at_half_strength_and_drops_models_that_are_beaten() -> None:
    tried = search(0.4)
    assert tried[0] == replace(GOOD, strength=0.5)
    assert sum(setting.model == BAD.model for setting in tried) == 3
