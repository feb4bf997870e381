"""Classes of settings: validation, dicts, YAML, options and tables from one declaration."""

import argparse
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import FrozenInstanceError, dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from gtcrn_frontend.deprecation import renamed_fields
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.settings import (
    ModelSource,
    add_options,
    check_keywords,
    check_settings,
    check_value,
    document_settings,
    parse_value,
    setting,
    settings_from_args,
    settings_from_dict,
    settings_from_yaml,
    settings_table,
    settings_to_dict,
    settings_to_yaml,
)


@dataclass(frozen=True)
class Part:
    weight: float = setting(1.0, above=0, help="how much it counts")
    name: str | None = setting(None, help="what it is called")

    def __post_init__(self) -> None:
        check_settings(self)
        if self.name == "bad":
            raise ConfigError("expected a good name, got 'bad'")


@document_settings
@renamed_fields(loudness="gain")
@dataclass(frozen=True)
class Whole:
    """Settings for these tests."""

    target: Path = setting(help="where the result goes")
    gain: float | Literal["auto"] = setting(1.0, low=0, high=1, help="how loud")
    rate: int | None = setting(None, low=8000, high=48000, unit="Hz", default_text="the file's", help="sample rate")
    mode: str = setting("fast", choices=("fast", "good"), help="how")
    model: str | Path = setting("small", help="name or path")
    source: ModelSource = setting(ModelSource("large"), help="name or path, relative to the file")
    quiet: bool = setting(False, help="say nothing")
    loud: bool = setting(True, help="say all")
    names: Sequence[str] = setting((), help="names | of things")
    snr_db: tuple[float, float] = setting((-5.0, 20.0), ascending=True, unit="dB", help="range of SNRs, 100% of them")
    weights: Mapping[str, float] = setting(factory=dict, low=0, help="weights by name")
    part: Part | Mapping[str, float] | None = setting(None, help="a part")
    parts: tuple[Part, ...] = setting((), help="more parts")
    plain: int = field(default=3)

    def __post_init__(self) -> None:
        check_settings(self)


GIVEN = {
    "target": "out",
    "gain": "auto",
    "rate": 16000,
    "mode": "good",
    "names": ["a", "b"],
    "snr_db": [0, 10],
    "weights": {"x": 2},
    "part": {"weight": 2},
    "parts": [{"weight": 3, "name": "c"}, {}],
}


def test_values_get_their_canonical_types():
    whole = settings_from_dict(Whole, GIVEN)
    assert whole == Whole(
        Path("out"), "auto", 16000, "good", names=("a", "b"), snr_db=(0.0, 10.0), weights={"x": 2.0}, part=Part(2.0),
        parts=(Part(3.0, "c"), Part()),
    )  # fmt: skip
    assert (type(whole.target), type(whole.snr_db[0]), whole.names) == (type(Path()), float, ("a", "b"))
    assert type(Whole(Path("x"), np.float32(0.5), np.int64(8000)).rate) is int


def test_dict_and_yaml_and_back(tmp_path):
    whole = settings_from_dict(Whole, GIVEN)
    assert settings_from_dict(Whole, settings_to_dict(whole)) == whole
    settings_to_yaml(whole, tmp_path / "whole.yaml")
    # with paths from the root, so that the file means the same anywhere
    assert settings_from_yaml(Whole, tmp_path / "whole.yaml") == replace(whole, target=Path("out").absolute())
    with pytest.raises(ConfigError, match="cannot write"):
        settings_to_yaml(whole, tmp_path / "nowhere" / "whole.yaml")


def test_paths_of_a_file_start_at_its_folder(tmp_path):
    (tmp_path / "here.onnx").touch()
    path = tmp_path / "whole.yaml"
    path.write_text("target: out\nsource: here.onnx\n")
    whole = settings_from_yaml(Whole, path)
    assert (whole.target, whole.source) == (tmp_path / "out", str(tmp_path / "here.onnx"))
    path.write_text("target: /out\nsource: registered\n")
    whole = settings_from_yaml(Whole, path)
    assert (whole.target, whole.source) == (Path("/out"), "registered")
    assert settings_from_yaml(Whole, path).source == "registered"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gain": 2}, "^gain: expected auto, or a number from 0 to 1, got 2$"),
        ({"gain": True}, "^gain: expected auto, or a number from 0 to 1, got True$"),
        ({"gain": float("nan")}, "gain: expected .*, got nan"),
        ({"gain": "automatic"}, "gain: expected .*, got 'automatic'"),
        ({"rate": 7999}, "^rate: expected a whole number from 8000 to 48000 Hz, or none, got 7999$"),
        ({"rate": 16000.5}, "rate: expected a whole number"),
        ({"mode": "slow"}, "^mode: expected fast or good, got 'slow'$"),
        ({"model": ""}, "^model: expected a name or a path, got ''$"),
        ({"target": 3}, "^target: expected a path, got 3$"),
        ({"quiet": "yes"}, "^quiet: expected true or false, got 'yes'$"),
        ({"names": "ab"}, "^names: expected a list of strings, got 'ab'$"),
        ({"names": [1]}, r"^names: expected a list of strings, got \[1\]$"),
        ({"snr_db": [1]}, r"^snr_db: expected 2 numbers of dB, not falling, got \[1\]$"),
        ({"snr_db": [2, 1]}, "not falling"),
        ({"weights": {"x": -1}}, "^weights: expected numbers of at least 0 by name, got {'x': -1}$"),
        ({"weights": 3}, "^weights: expected numbers of at least 0 by name, got 3$"),
        ({"part": 3}, "^part: expected settings by name, or none, got 3$"),
        ({"part": {"weight": 0}}, "^part: weight: expected a number above 0, got 0$"),
        ({"part": {"wait": 1}}, "unknown 'wait': did you mean 'weight'"),
        ({"part": {"name": "bad"}}, "^part: expected a good name, got 'bad'$"),
        ({"parts": [{}, {"weight": "much"}]}, r"^parts\[1\]: weight: expected a number above 0, got 'much'$"),
        ({"parts": 3}, "^parts: expected a list of groups of settings by name, got 3$"),
        ({"plain": "3"}, "^plain: expected a whole number, got '3'$"),
        ({"gane": 1}, "expected settings of Whole, got the unknown 'gane': did you mean 'gain'"),
    ],
)
def test_wrong_values_are_explained(changes, message):
    with pytest.raises(ConfigError, match=message):
        settings_from_dict(Whole, {"target": "out"} | changes)


def test_the_constructor_checks_as_well():
    with pytest.raises(ConfigError, match="gain: expected auto, or a number from 0 to 1, got 2"):
        Whole(Path("out"), gain=2)
    with pytest.raises(FrozenInstanceError):
        Whole(Path("out")).gain = 2


def test_messages_name_the_file_and_the_missing_setting(tmp_path):
    path = tmp_path / "whole.yaml"
    path.write_text("gain: 1\n")
    with pytest.raises(ConfigError, match=r"whole\.yaml: expected the setting 'target', got none"):
        settings_from_yaml(Whole, path)
    path.write_text("target: out\npart: {weight: 0}\n")
    with pytest.raises(ConfigError, match=r"whole\.yaml: part: weight: expected a number above 0, got 0"):
        settings_from_yaml(Whole, path)
    with pytest.raises(ConfigError, match="expected settings by name, got list"):
        settings_from_dict(Whole, [1])


def test_a_single_value():
    assert check_value(Whole, "gain", 0.5) == 0.5
    assert parse_value(Whole, "gain", "auto") == "auto"
    for function, value in ((check_value, 2), (parse_value, "2"), (parse_value, "much")):
        with pytest.raises(ConfigError, match=r"gain: expected auto, or a number from 0 to 1, got '?(2|much)"):
            function(Whole, "gain", value)


def parser(**options):
    result = argparse.ArgumentParser()
    add_options(result, Whole, "x-", without=("parts", "plain"), **options)
    return result


def test_options_and_back():
    arguments = [
        *("--x-target", "out", "--x-gain", "auto", "--x-rate", "16000", "--x-mode", "good", "--x-quiet", "--no-x-loud"),
        *("--x-names", "a, b", "--x-snr-db=0,10", "--x-weights", "x=2", "--x-part", "weight=2"),
    ]
    expected = settings_from_dict(
        Whole, {name: value for name, value in GIVEN.items() if name != "parts"} | {"quiet": True, "loud": False}
    )
    assert settings_from_args(Whole, parser().parse_args(arguments), "x-") == expected


def test_options_absent_are_the_defaults():
    args = parser().parse_args(["--x-target", "out"])
    assert settings_from_args(Whole, args, "x-") == Whole(Path("out"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--x-target"),
        (["--x-target", "out", "--x-gain", "much"], "expected auto, or a number from 0 to 1, got 'much'"),
        (["--x-target", "out", "--x-weights", "x"], "expected numbers of at least 0 by name, got 'x'"),
        (["--x-target", "out", "--x-part", "weight=much"], "expected settings by name, or none, got 'weight=much'"),
    ],
)
def test_wrong_options_are_explained(arguments, message, capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(arguments)
    assert message in capsys.readouterr().err


def test_help_says_what_and_the_default():
    text = " ".join(parser(shown_as={"target": "FILE"}).format_help().split())
    assert "--x-target FILE where the result goes" in text
    assert "--x-gain GAIN how loud (default: 1.0)" in text
    assert "--x-rate HZ sample rate (default: the file's)" in text
    assert "100% of them" in text


def test_old_names_of_fields_work_with_a_warning():
    with pytest.warns(DeprecationWarning, match="'loudness' was renamed to 'gain'"):
        assert settings_from_dict(Whole, {"target": "out", "loudness": 0.5}).gain == 0.5
    with pytest.warns(DeprecationWarning, match="--x-loudness"):
        args = parser().parse_args(["--x-target", "out", "--x-loudness", "0.5"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert settings_from_args(Whole, args, "x-").gain == 0.5


def test_the_table_has_a_row_for_each_field():
    rows = settings_table(Whole).splitlines()
    assert rows[:2] == ["| Setting | Values | Default | Meaning |", "| --- | --- | --- | --- |"]
    assert "| `target` | a path | required | Where the result goes. |" in rows
    assert "| `gain` | auto, or a number from 0 to 1 | `1.0` | How loud. |" in rows
    assert "| `rate` | a whole number from 8000 to 48000 Hz, or none | the file's | Sample rate. |" in rows
    assert "| `names` | a list of strings | `[]` | Names \\| of things. |" in rows
    assert "| `loud` | true or false | `true` | Say all. |" in rows
    assert "| `part` | settings by name, or none | none | A part. |" in rows
    assert len(rows) == 2 + 14


def test_the_docstring_lists_the_fields():
    assert Whole.__doc__.startswith("Settings for these tests.\n\nAttributes:\n    target: where the result goes.\n")
    assert "    rate: sample rate.\n" in Whole.__doc__


def test_unknown_keywords_are_those_of_python_with_a_hint():
    check_keywords({"gain": 1}, ["gain"], "play")
    with pytest.raises(TypeError, match="play got an unexpected keyword argument 'gane'; did you mean 'gain'"):
        check_keywords({"gane": 1}, ["gain"], "play")
    with pytest.raises(TypeError, match="'xyz'; it takes gain"):
        check_keywords({"xyz": 1}, ["gain"], "play")


def test_a_type_that_settings_cannot_have():
    @dataclass
    class Wrong:
        value: complex = setting(1j, help="complex")

        def __post_init__(self) -> None:
            check_settings(self)

    with pytest.raises(TypeError, match="complex"):
        Wrong()
