import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.asr.normalise import STEPS, Normalisation


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello,   World!", "hello world"),
        ("it\u2019s 'quoted' rock'n'roll", "it's quoted rock'n'roll"),
        ("3.14, 1,000 and 10:30.", "3.14 1,000 and 10:30"),
        ("twenty-one — really", "twenty one really"),
        ("ＡＢＣ ﬁne", "abc fine"),
        ("7 is not SEVEN", "7 is not seven"),
        ("¿Qué?", "qué"),
        ("", ""),
    ],
)
def test_texts_are_made_equal(text: str, expected: str) -> None:
    assert Normalisation()(text) == expected


@given(st.text(max_size=30))
def test_twice_is_once(text: str) -> None:
    once = Normalisation()(text)
    assert Normalisation()(once) == once


def test_steps_can_be_switched() -> None:
    assert Normalisation.from_text("none")("A, b") == "A, b"
    assert Normalisation.from_text("lower")("A, b") == "a, b"
    assert Normalisation.from_text(" punctuation ")("A, b") == "A b"
    assert Normalisation.from_text("lower,punctuation,unicode").describe() == Normalisation().describe()
    assert len(Normalisation().describe()) == len(STEPS) + 2


def test_an_unknown_step_is_refused() -> None:
    with pytest.raises(ConfigError, match="got 'upper'"):
        Normalisation.from_text("upper")
