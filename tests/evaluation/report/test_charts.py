import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtcrn_frontend.evaluation.asr.wer import Rate
from gtcrn_frontend.evaluation.report.charts import LARGE, SMALL, Line, strength_chart

RATES = st.floats(0, 3).map(lambda value: Rate(value, value * 0.8, value * 1.2))
POINTS = st.lists(st.tuples(st.sampled_from([0.25, 0.5, 1.0]), RATES), min_size=1, max_size=4)


@given(raw=RATES, lines=st.lists(POINTS, max_size=7), size=st.sampled_from([SMALL, LARGE]))
def test_all_lies_within_the_frame(raw: Rate, lines: list, size: tuple[int, int]) -> None:
    chart = strength_chart(raw, [Line(f"m{i}", points, 0.5) for i, points in enumerate(lines)], "WER", "x", size)
    root = ElementTree.fromstring(chart)
    for dot in root.iter("circle"):
        x, y = float(dot.attrib["cx"]), float(dot.attrib["cy"])
        assert 0 <= x <= size[0]
        assert 0 <= y <= size[1]
    dots = [dot for dot in root.iter("circle") if dot.attrib["class"] == "dot"]
    assert len(dots) == sum(map(len, lines))


def test_a_higher_rate_is_drawn_higher_and_names_are_text() -> None:
    line = Line("<b>&", [(0.5, Rate(0.1, 0.05, 0.2)), (1.0, Rate(0.3, 0.2, 0.4))], chosen=0.5)
    root = ElementTree.fromstring(strength_chart(Rate(0.2, 0.1, 0.3), [line], "WER", 'a "label"'))
    low, high = (float(dot.attrib["cy"]) for dot in root.iter("circle") if dot.attrib["class"] == "dot")
    assert high < low
    assert [title.text for title in root.iter("title")][1] == "<b>& 0.5: 10.0 % (5.0 to 20.0)"
    assert sum(dot.attrib["class"] == "chosen" for dot in root.iter("circle")) == 1


@pytest.mark.parametrize("value", [0.0, 1e-4, 0.5, 12.0])
def test_any_size_of_rate_has_an_axis(value: float) -> None:
    root = ElementTree.fromstring(strength_chart(Rate(value, value, value), [], "WER", "x"))
    ticks = [text.text for text in root.iter("text") if text.attrib["class"] == "tick"][:5]
    assert float(ticks[0] or "nan") == 0
    assert float(ticks[4] or "nan") >= 100 * value
    assert all(math.isfinite(float(tick or "nan")) for tick in ticks)
