import pytest

from gtcrn_frontend.cli import _corpus_progress
from gtcrn_frontend.cli._corpus_progress import CorpusProgress
from gtcrn_frontend.corpus import Outcome, Problem


def test_a_log_gets_a_line_now_and_then_and_each_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    times_s = iter([0.0, 0.0, 10.0, 70.0, 80.0, 140.0])
    monkeypatch.setattr(_corpus_progress.time, "monotonic", lambda: next(times_s))
    with CorpusProgress() as progress:
        progress.begin(4, [Problem("m.jsonl, line 3", "no audio")])
        progress.update(Outcome("a", audio_s=3600.0))
        progress.update(Outcome("b", audio_s=3600.0))
        progress.update(Outcome("c", failed=True, problems=(Problem("c", "damaged"),)))
        progress.update(Outcome("d", kept=True))
    assert capsys.readouterr().err.splitlines() == [
        "failed: m.jsonl, line 3: no audio",
        "2 of 4 items, 2.00 h of audio, 0.0286 h/s, 0:01:10 left",
        "failed: c: damaged",
        "4 of 4 items, 2.00 h of audio, 0.0143 h/s, 0:00:00 left",
    ]
