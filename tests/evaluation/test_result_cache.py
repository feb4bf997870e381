import logging
from pathlib import Path

import pytest

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.asr.recognizer import Recognition
from gtcrn_frontend.evaluation.result_cache import ResultCache

RESULT = Recognition("eins zwö 三", 0.25, 0.001)


def test_results_are_there_again(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "made" / "yet"
    ResultCache(folder, Recognition).put("signal", "asr", "raw", RESULT)
    ResultCache(folder, Recognition).put("signal", "asr", "half", Recognition("", 0, 0))
    again = ResultCache(folder, Recognition)
    assert again.get("signal", "asr", "raw") == RESULT
    assert again.get("signal", "asr", "half") == Recognition("", 0, 0)
    assert [again.get(*key) for key in (("other", "asr", "raw"), ("signal", "x", "raw"), ("signal", "asr", "x"))] == [
        None
    ] * 3


def test_nothing_is_left_beside(tmp_path: Path) -> None:
    ResultCache(tmp_path, Recognition).put("signal", "asr", "raw", RESULT)
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".json"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"raw": {"words": 1}}', '{"raw": 3}'])
def test_a_damaged_file_costs_a_repetition_not_the_sweep(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    ResultCache(tmp_path, Recognition).put("signal", "asr", "raw", RESULT)
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    path.write_text(content)
    with caplog.at_level(logging.WARNING):
        assert ResultCache(tmp_path, Recognition).get("signal", "asr", "raw") is None
    assert str(path) in caplog.text


def test_without_folder_it_keeps_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cache = ResultCache(None, Recognition)
    cache.put("signal", "asr", "raw", RESULT)
    assert cache.get("signal", "asr", "raw") == RESULT
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write to the cache"):
        ResultCache(tmp_path / "file", Recognition).put("signal", "asr", "raw", RESULT)
