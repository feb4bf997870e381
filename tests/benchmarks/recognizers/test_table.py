from pathlib import Path

import pytest

from gtcrn_frontend.evaluation.wer import ErrorCounts


def counts(*errors: int) -> list[ErrorCounts]:
    return [ErrorCounts(n, 0, 0, 5) for n in errors]


def test_rates_are_marked_where_they_differ_significantly() -> None:
    from conditions import CLEAN, CONDITIONS
    from table import rows_by_noise, rows_by_snr

    results = {
        condition: {"raw": counts(*[2] * 20), "better 1": counts(*[1] * 20), "worse 1": counts(*[3] * 20)}
        for condition in CONDITIONS
    }
    results[CLEAN] = {name: counts(*[0] * 20) for name in ("raw", "better 1", "worse 1")}
    raw, better, worse = rows_by_snr(results)
    assert (raw["0 dB"], better["0 dB"], worse["0 dB"]) == ("40.0 ±0.0 ", "20.0 ±0.0-", "60.0 ±0.0!")
    assert [row["clean"] for row in (raw, better, worse)] == ["0.0 ±0.0 "] * 3
    assert list(raw) == ["front-end", "-5 dB", "0 dB", "5 dB", "10 dB", "15 dB", "20 dB", "0..10 dB", "clean"]
    assert list(rows_by_noise(results)[0]) == ["front-end", "ambience", "events", "babble", "synthetic"]


@pytest.mark.parametrize("unit", ["word", "phrase"])
def test_a_phrase_is_right_or_wrong_as_a_whole(unit: str) -> None:
    from table import _count

    assert _count("smart mirror", "smart", unit).errors == 1
    assert _count("smart mirror", "view glass", unit).errors == {"word": 2, "phrase": 1}[unit]
    assert _count("", "alexa computer", unit).errors == {"word": 2, "phrase": 1}[unit]


def test_a_condition_is_judged_with_the_real_recogniser_and_enhancer(assets: Path, shared: Path) -> None:
    from conditions import UTTERANCES, Condition
    from table import RAW, Job, front_end, run

    folder = assets / "digits-clean"
    job = Job("digits", Condition("ambience", 0), (folder,), ("gtcrn-asr",), (1.0, 0.0), shared / "audio")
    by_front_end = run(job)["digits-clean"]
    assert list(by_front_end) == [RAW, front_end("gtcrn-asr", 1.0), front_end("gtcrn-asr", 0.0)]
    assert all(len(items) == UTTERANCES["digits"] for items in by_front_end.values())
    assert by_front_end[front_end("gtcrn-asr", 0.0)] == by_front_end[RAW]
    assert by_front_end[front_end("gtcrn-asr", 1.0)] != by_front_end[RAW]
