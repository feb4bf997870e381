import json
import os

import pytest

from gtcrn_frontend.parsing import json_line_of, parse_json, parse_yaml

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
BAD_YAML = {
    "a date that is none": "2001-99-99",
    "a number without digits": "a: 0b_",
    "a long number": "a: " + "9" * 5000,
    "a long hexadecimal number": "a: 0x" + "f" * 5000,
    "an empty integer": "!!int ''",
    "a flag that is none": "!!bool x",
    "a time stamp that is none": "!!timestamp x",
    "nested anchors": LAUGHS,
    "an anchor within itself": "&a [*a]",
    "deep nesting": "[" * 5000,
    "an object": "!!python/object/apply:os.system [true]",
    "a list as key": "? [a]\n: b",
    "NUL": "\x00",
}


@pytest.mark.parametrize("what", BAD_YAML)
def test_bad_yaml_is_a_value_error_with_a_short_message(what):
    with pytest.raises(ValueError) as caught:
        parse_yaml(BAD_YAML[what])
    assert type(caught.value) is ValueError
    assert 0 < len(str(caught.value)) < 400


def test_good_yaml_comes_back():
    assert parse_yaml("a: &a [1, 2.5, x]\nb: *a\nc: 0x10\n") == {"a": [1, 2.5, "x"], "b": [1, 2.5, "x"], "c": 16}
    assert parse_yaml("") is None


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, "9" * 400, "{", "", b"\xff"])
def test_bad_json_is_a_value_error(text):
    with pytest.raises(ValueError):
        parse_json(text)
    assert parse_json('{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}


def test_json_lines_are_utf_8_whatever_they_hold():
    assert json_line_of({"text": "café"}) == '{"text": "café"}'
    odd = {"file": os.fsdecode(b"caf\xe9.wav"), "text": "café"}
    assert json.loads(json_line_of(odd).encode()) == odd
