import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtcrn_frontend.evaluation.report.tables import fitted_table, markdown_table, to_json, write_json

VALUES = st.one_of(st.none(), st.integers(-1000, 1000), st.floats(-1e6, 1e6), st.just(math.nan), st.sampled_from("abc"))


def test_text_is_left_numbers_are_right():
    rows = [
        {"engine": "onnx", "us/hop": 81.25, "calls": 3},
        {"engine": "sherpa-onnx", "us/hop": 840.0, "calls": None},
        {"engine": "x", "us/hop": math.nan, "calls": 12},
    ]
    assert markdown_table(rows, {"us/hop": 1}).splitlines() == [
        "| engine      | us/hop | calls |",
        "|-------------|-------:|------:|",
        "| onnx        |   81.2 |     3 |",
        "| sherpa-onnx |  840.0 |     - |",
        "| x           |      - |    12 |",
    ]


@given(st.lists(st.fixed_dictionaries({"a": VALUES, "long name": VALUES}), min_size=1, max_size=5))
def test_every_line_has_the_same_width_and_every_row_is_there(rows):
    lines = markdown_table(rows, {"a": 2}).splitlines()
    assert len(lines) == len(rows) + 2
    assert len({len(line) for line in lines}) == 1
    assert {line.count("|") for line in lines} == {3}


def test_what_is_not_finite_becomes_null():
    content = {"rows": [{"a": math.nan, "b": math.inf}, {"a": 1.5}], "pair": (1, -math.inf), "text": "nan"}
    expected = {"rows": [{"a": None, "b": None}, {"a": 1.5}], "pair": [1, None], "text": "nan"}
    assert json.loads(to_json(content), parse_constant=pytest.fail) == expected


def test_a_file_is_replaced_at_once_or_left(tmp_path):
    path = tmp_path / "figures.json"
    write_json(path, [1])
    write_json(path, [math.nan])
    assert path.read_text() == "[\n  null\n]\n"
    with pytest.raises(TypeError):
        write_json(path, object())
    assert json.loads(path.read_text()) == [None]
    assert list(tmp_path.iterdir()) == [path]


def test_wide_tables_are_split_and_repeat_their_first_column() -> None:
    rows = [{"name": name, **{f"column {i}": i * len(name) for i in range(8)}} for name in ("a", "bcd")]
    parts = [part.splitlines() for part in fitted_table(rows, width=50).split("\n\n")]
    assert max(len(line) for part in parts for line in part) <= 50
    assert [part[2].split("|")[1].strip() for part in parts] == ["a"] * len(parts)
    titles = [cell.strip() for part in parts for cell in part[0].strip("|").split("|")[1:]]
    assert titles == [f"column {i}" for i in range(8)]
    assert fitted_table(rows, width=1000) == markdown_table(rows, {})
    assert fitted_table(rows[:1], width=1).count("name") == 8, "a column that is too wide is alone"
