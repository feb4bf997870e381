"""Short names of recognisers: what they are made of, and what is said of wrong ones."""

import sys

import pytest

from gtcrn_frontend.adapters import recognizer_names as names
from gtcrn_frontend.adapters.recognizers import recognizer_source
from gtcrn_frontend.errors import ConfigError, ModelError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("base.en", ("base.en", {})),
        ("models/a,b", ("models/a,b", {})),
        ("tiny, beam_size = 5 ,language=en", ("tiny", {"beam_size": "5", "language": "en"})),
        ("tiny,initial_prompt=one, two", ("tiny", {"initial_prompt": "one, two"})),
        ("http://h:1/v1,model=a=b", ("http://h:1/v1", {"model": "a=b"})),
    ],
)
def test_options_follow_the_name(text: str, expected: tuple[str, dict[str, str]]) -> None:
    assert names.split_options(text) == expected


@pytest.mark.parametrize(("text", "match"), [("", "expected NAME"), (",a=1", "expected NAME"), ("x,a=1,a=2", "twice")])
def test_a_malformed_name_is_refused(text: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        names.split_options(text)


@pytest.mark.parametrize(
    ("kind", "text", "value", "shown"),
    [
        (names.flag, "true", True, "true"),
        (names.flag, "FALSE", False, "false"),
        (names.whole, "12", 12, "12"),
        (names.number, "-0.5", -0.5, "-0.5"),
        (names.numbers, "0", [0.0], "0"),
        (names.numbers, "0+0.2+0.4", [0.0, 0.2, 0.4], "0+0.2+0.4"),
        (names.words, "en", "en", "en"),
        (names.optional(names.number), "none", None, "none"),
        (names.optional(names.number), "2.4", 2.4, "2.4"),
    ],
)
def test_values_are_parsed_and_shown_as_they_are_written(kind, text: str, value: object, shown: str) -> None:
    assert names.parse_options({"x": text}, {"x": kind}, "it") == {"x": value}
    assert names.settings_shown({"x": value}) == (("x", shown),)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (names.flag, "yes", "true or false"),
        (names.whole, "-1", "a whole number"),
        (names.number, "nan", "a number"),
        (names.number, "inf", "a number"),
        (names.numbers, "0+", "a number, or several such as"),
        (names.words, "", "some text"),
    ],
)
def test_a_value_that_does_not_fit_is_named(kind, text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=f"it, option x: expected {expected}.*, got '{text}'".replace("+", r"\+")):
        names.parse_options({"x": text}, {"x": kind}, "it")


def test_an_option_that_there_is_not_is_named_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="it has no option 'beams'; expected one of beam_size, language"):
        names.parse_options({"beams": "1"}, {"beam_size": names.whole, "language": names.words}, "it")


@pytest.mark.parametrize("text", ["my_asr:hear", "whisper:tiny", "asr {}", "pipeline.yaml", "folder"])
def test_other_recognisers_have_no_short_name(text: str) -> None:
    assert names.named_source(text) is None


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(ModelError, match=r"faster-whisper needs faster_whisper: pip install '[^']+\[whisper\]'"):
        recognizer_source("faster-whisper:tiny.en")


def test_all_kinds_are_named_where_none_fits() -> None:
    with pytest.raises(ConfigError, match="faster-whisper:NAME_OR_FOLDER, openai:URL, module:function"):
        recognizer_source("whisper tiny")
