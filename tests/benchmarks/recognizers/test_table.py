from pathlib import Path

import pytest

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.asr.wer import ErrorCounts


def counts(*errors: int) -> list[ErrorCounts]:
    return [ErrorCounts(n, 0, 0, 5) for n in errors]


def test_rates_are_marked_where_they_differ_significantly() -> None:
    from noisy_set import CLEAN, CONDITIONS
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
    from noisy_set import UTTERANCES, Condition
    from table import RAW, Job, front_end, run

    folder = assets / "digits-clean"
    job = Job("digits", Condition("ambience", 0), (folder,), ("gtcrn-asr",), (1.0, 0.0, "auto"), shared / "audio")
    by_front_end = run(job)["digits-clean"]
    assert list(by_front_end) == [RAW, *(front_end("gtcrn-asr", strength) for strength in (1.0, 0.0, "auto"))]
    assert all(len(items) == UTTERANCES["digits"] for items in by_front_end.values())
    assert by_front_end[front_end("gtcrn-asr", 0.0)] == by_front_end[RAW]
    assert (
        by_front_end[front_end("gtcrn-asr", 1.0)] != by_front_end[RAW] != by_front_end[front_end("gtcrn-asr", "auto")]
    )


@pytest.mark.whisper
def test_a_recogniser_of_others_is_judged_in_words_and_asked_once(
    whisper_model: Path, shared: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import named
    import noisy_set
    from noisy_set import CLEAN
    from table import RAW, Job, front_end, run

    monkeypatch.setenv("GTCRN_FRONTEND_CACHE", str(tmp_path))
    monkeypatch.setitem(noisy_set.UTTERANCES, "characters", 2)
    noisy_set.clean.cache_clear()
    named._cache.cache_clear()
    what = f"faster-whisper:{whisper_model},beam_size=1,temperature=0,cpu_threads=1"
    job = Job(named.TASK, CLEAN, (what,), ("gtcrn-asr",), (0.5, 0.0), shared / "audio")
    found = run(job)
    assert list(found[what]) == [RAW, front_end("gtcrn-asr", 0.5), front_end("gtcrn-asr", 0)]
    assert found[what][RAW] == found[what][front_end("gtcrn-asr", 0)]
    assert [count.errors <= 0.4 * count.reference for count in found[what][RAW]] == [True, True]
    monkeypatch.setattr(named, "_recognizer", None)  # what is kept needs none
    named._cache.cache_clear()
    assert run(job) == found
    noisy_set.clean.cache_clear()


def test_what_is_no_short_name_is_refused() -> None:
    import named

    with pytest.raises(ConfigError, match="expected faster-whisper:NAME_OR_FOLDER or openai:URL, got 'whisper:x'"):
        named.source("whisper:x")


def results_of(errors: dict[str, list[int]]) -> dict:
    """The same errors in all conditions, but for clean speech, where there are none."""
    from noisy_set import CLEAN, CONDITIONS

    results = {condition: {name: counts(*each) for name, each in errors.items()} for condition in CONDITIONS}
    results[CLEAN] = {name: counts(*[0] * len(each)) for name, each in errors.items()}
    return results


def test_the_best_fixed_strength_and_the_calibrated_one_are_found() -> None:
    from verdicts import goals, with_choices

    errors = {"raw": [2, 3] * 20, "m 1": [2, 1] * 20, "m 0.5": [1, 1] * 20, "m auto": [0, 0] * 20}
    table = with_choices(results_of(errors), ["m"], [1.0, 0.5, "auto"])
    one = next(iter(table.values()))
    assert list(one) == ["raw", "m 1", "m best fixed (0.5)", "m calibrated", "m auto"]
    assert all(row["m calibrated"] == row["m auto"] for row in table.values())
    (goal,) = goals({"digits-clean": table}, ["m"])
    assert (goal["auto to raw, 0..10 dB"], goal["auto worse than raw, of 25"]) == ("-100 %", "nowhere")


def test_no_utterance_has_part_in_the_choice_that_it_is_counted_for() -> None:
    """Of two front-ends each helps every other utterance: what suits one half, is wrong for the other."""
    from verdicts import calibrated

    errors = {"raw": [3, 3] * 20, "m 1": [1, 4] * 20, "m 0.5": [4, 1] * 20}
    results = results_of(errors)
    chosen = calibrated(results, "m", [1.0, 0.5])
    assert all(chosen[condition] == counts(*[4] * 40) for condition in results if condition.kind)


def test_where_the_guard_does_harm_is_named() -> None:
    from verdicts import goals, with_choices

    table = with_choices(results_of({"raw": [1] * 40, "m 1": [1] * 40, "m auto": [2] * 40}), ["m"], [1.0, "auto"])
    (goal,) = goals({"digits-clean": table}, ["m"])
    assert str(goal["auto worse than raw, of 25"]).startswith("ambience -5 dB, ambience 0 dB")
    assert "clean" not in str(goal["auto worse than raw, of 25"])
