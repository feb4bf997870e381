import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.evaluation.asr import normalise
from gtcrn_frontend.evaluation.asr.normalise import DEFAULT_STEPS, Normalisation


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
    assert len(Normalisation().describe()) == len(DEFAULT_STEPS) + 2


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "whisper_normalizer.english", None)
    normalise._english.cache_clear()
    with pytest.raises(ModelError, match=r"pip install '[^']+\[whisper\]'"):
        Normalisation.from_text("english")


@pytest.mark.whisper
def test_english_is_made_equal_as_whisper_does() -> None:
    english = Normalisation.from_text("english")
    assert english("Mr. Smith's colour isn't 21, um, [laughter] is it?") == english(
        "mister smith's color is not twenty one is it"
    )
    assert not any("numbers as written" in sentence for sentence in english.describe())
    assert any("numbers as digits" in sentence for sentence in english.describe())


def test_an_unknown_step_is_refused() -> None:
    with pytest.raises(ConfigError, match="got 'upper'"):
        Normalisation.from_text("upper")
