import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.manifest import AS_RECORDED, load_manifest
from gtcrn_frontend.evaluation.noisy_set import plan_items, read_item

RATE = 8000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "wav").mkdir()
    for name in ("a", "b"):
        soundfile.write(tmp_path / "wav" / f"{name}.wav", np.zeros(RATE // 2, np.float32), RATE)
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def texts(path: Path) -> list[tuple[str, str]]:
    return [(utterance.path.name, utterance.text) for utterance in load_manifest(path).utterances]


def test_every_form_says_the_same(folder: Path) -> None:
    forms = [
        write(
            folder / "m.jsonl",
            '{"audio": "wav/a.wav", "text": "one two"}\n\n{"audio": "wav/b.wav", "text": "drei, né"}\n',
        ),
        write(
            folder / "nemo.json",
            '{"audio_filepath": "wav/a.wav", "text": "one two"}\n{"audio_filepath": "wav/b.wav", "text": "drei, né"}',
        ),
        write(folder / "m.csv", '\ufeffaudio,text\nwav/a.wav,one  two\nwav/b.wav,"drei, né"\n'),
        write(folder / "m.tsv", "path\tsentence\nwav/a.wav\tone two\nwav/b.wav\tdrei, né\n"),
        write(folder / "excel.csv", "path;sentence\nwav/a.wav;one two\nwav/b.wav;drei, né\n"),
        write(folder / "tabs.csv", "path\tsentence\nwav/a.wav\tone two\nwav/b.wav\tdrei, né\n"),
        write(folder / "sb.csv", 'ID,duration,wav,wrd\n0,0.5,wav/a.wav,one two\n1,0.5,wav/b.wav,"drei, né"\n'),
    ]
    kaldi = folder / "kaldi"
    kaldi.mkdir()
    write(kaldi / "wav.scp", f"u1 {folder}/wav/a.wav\nu2 ../wav/b.wav\n")
    write(kaldi / "text", "u2 drei, né\nu1 one two\n")
    tabs = folder / "kaldi_tabs"
    tabs.mkdir()
    write(tabs / "wav.scp", f"u1\t{folder}/wav/a.wav\nu2\t../wav/b.wav\n")
    write(tabs / "text", "u2\tdrei, né\nu1\tone two\n")
    write(folder / "wav" / "a.txt", "one two\n")
    write(folder / "wav" / "b.txt", "drei, né\n")
    expected = [("a.wav", "one two"), ("b.wav", "drei, né")]
    for form in (*forms, kaldi, tabs, folder / "wav", folder):
        assert texts(form) == expected, form


def test_an_utterance_knows_its_length_and_condition(folder: Path) -> None:
    path = write(
        folder / "m.jsonl",
        '{"audio": "wav/a.wav", "text": "x", "condition": "cafe"}\n{"audio": "wav/b.wav", "text": "y"}',
    )
    first, second = load_manifest(path).utterances
    assert (first.condition, second.condition) == ("cafe", AS_RECORDED)
    assert first.duration_s == 0.5


def test_what_cannot_be_used_is_named_and_the_rest_is_kept(folder: Path) -> None:
    (folder / "wav" / "broken.wav").write_bytes(b"RIFF not really")
    soundfile.write(folder / "wav" / "empty.wav", np.zeros(0, np.float32), RATE)
    entries = [
        {"audio": "wav/a.wav", "text": "one"},
        {"audio": "wav/b.wav"},
        {"text": "no audio"},
        {"audio": "wav/missing.wav", "text": "two"},
        {"audio": "wav/broken.wav", "text": "three"},
        {"audio": "wav/empty.wav", "text": "four"},
        {"audio": "wav/b.wav", "text": ""},
    ]
    found = load_manifest(write(folder / "m.jsonl", "\n".join(map(json.dumps, entries))))
    assert [utterance.text for utterance in found.utterances] == ["one", ""]
    assert len(found.problems) == 5
    for problem, part in zip(
        found.problems,
        [
            "line 2: wav/b.wav: expected a transcript",
            "line 3: expected the path",
            "missing.wav",
            "broken.wav",
            "without samples",
        ],
        strict=True,
    ):
        assert part in problem


def test_a_malformed_line_costs_itself_only(folder: Path) -> None:
    good = json.dumps({"audio": "wav/a.wav", "text": "one"})
    found = load_manifest(write(folder / "m.jsonl", f'{good}\n{{"audio": "wav/b.wav", "te\n[1]\n\n{good}\n'))
    assert len(found.utterances) == 2
    first, second = found.problems
    assert first.startswith("m.jsonl, line 2: expected a JSON object: ")
    assert first.endswith("correct or remove the line")
    assert second == "m.jsonl, line 3: expected a JSON object, got list"


def test_what_ends_a_line_elsewhere_does_not_in_json(folder: Path) -> None:
    line = json.dumps({"audio": "wav/a.wav", "text": "one\u2028two"}, ensure_ascii=False)
    assert texts(write(folder / "m.jsonl", f"{line}\r\n{line}\r\n")) == 2 * [("a.wav", "one two")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.jsonl", "", "no entries"),
        ("m.jsonl", "{oops}", "line 1: expected a JSON object: .* at column 2: correct or remove the line"),
        ("m.jsonl", "[1]", "expected a JSON object, got list"),
        ("m.jsonl", '{"audio": "x.wav", "text": "a"}', "found none that can be used, for example"),
        ("m.jsonl", '{"audio": "wav/a.wav", "text": ""}', "all of them are empty"),
        ("m.csv", "a,b\n1,2\n", "heading with audio or audio_filepath"),
        ("m.xlsx", "", "got the suffix '.xlsx'"),
    ],
)
def test_a_manifest_of_no_use_is_refused(folder: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        load_manifest(write(folder / name, content))


def test_what_kaldi_would_run_is_not_run(folder: Path) -> None:
    write(folder / "wav.scp", "u1 sox a.wav -t wav - |\n")
    write(folder / "text", "u1 one\n")
    with pytest.raises(ConfigError, match="expected a file, got a command"):
        load_manifest(folder)


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="found nothing there"):
        load_manifest(tmp_path / "m.jsonl")


def test_a_list_with_other_sets_gives_its_speech(folder: Path) -> None:
    entries = [
        {"path": "wav/a.wav", "set": "speech", "text": "one"},
        {"path": "wav/b.wav", "set": "noise"},
        {"path": "wav/b.wav"},
    ]
    path = write(folder / "m.json", json.dumps(entries, indent=1))
    assert texts(path) == [("a.wav", "one")]
    without = load_manifest(path, transcripts=False)
    assert [(utterance.path.name, utterance.text) for utterance in without.utterances] == [
        ("a.wav", "one"),
        ("b.wav", ""),
    ]
    assert not without.problems
    found = load_manifest(write(folder / "m.json", '[{"path": "wav/a.wav"}, 3]'), transcripts=False)
    assert len(found.utterances) == 1
    assert found.problems == ("m.json, entry 2: expected a JSON object, got int",)
    with pytest.raises(ConfigError, match="expected a list of JSON objects"):
        load_manifest(write(folder / "m.json", '[{"path": '), transcripts=False)


def test_recordings_alone_are_enough_without_transcripts(folder: Path) -> None:
    with pytest.raises(ConfigError, match="expected recordings with transcripts"):
        load_manifest(folder / "wav")
    assert len(load_manifest(folder / "wav", transcripts=False).utterances) == 2
    (folder / "none").mkdir()
    with pytest.raises(ConfigError, match="expected recordings, found none"):
        load_manifest(folder / "none", transcripts=False)


def test_quotation_marks_in_a_tsv_file_are_text(folder: Path) -> None:
    """As in Common Voice, whose recordings are in the folder clips."""
    (folder / "wav").rename(folder / "clips")
    lines = ["path\tsentence", 'a.wav\t"Begins here', "b.wav\tno quote", 'a.wav\tends here"']
    found = load_manifest(write(folder / "validated.tsv", "\n".join(lines)))
    assert [utterance.text for utterance in found.utterances] == ['"Begins here', "no quote", 'ends here"']
    assert [utterance.path.parent.name for utterance in found.utterances] == 3 * ["clips"]


@pytest.fixture
def ramp(tmp_path: Path) -> Path:
    """Four seconds of samples that tell their place."""
    soundfile.write(tmp_path / "ramp.wav", np.arange(4 * RATE) / 2**15, RATE, subtype="PCM_16")
    return tmp_path


SEGMENT = {"offset": 1.0, "duration": 2.0}


@pytest.mark.parametrize(
    ("keys", "start", "stop"),
    [
        (SEGMENT, RATE, 3 * RATE),
        ({"offset": "1", "duration": "2"}, RATE, 3 * RATE),
        ({"offset": 1}, RATE, None),
        ({"offset": 1.0, "duration": 3.0}, RATE, None),
        ({"offset": 1.0, "duration": 3.05}, RATE, None),
        ({"duration": 1.0}, 0, RATE),
        ({"duration": 3.95}, 0, None),
        ({"duration": 400}, 0, None),
        ({"offset": 0, "duration": 4.0}, 0, None),
        ({"start": 800, "stop": 2400}, 800, 2400),
        ({"start": "800.0", "stop": 4 * RATE, "duration": 1.0}, 800, None),
        ({"start": "", "stop": None, "offset": None}, 0, None),
    ],
)
def test_segments_are_cut_out_of_their_file(ramp: Path, keys: dict[str, object], start: int, stop: int | None) -> None:
    path = write(ramp / "m.jsonl", json.dumps({"audio_filepath": "ramp.wav", "text": "one", **keys}))
    (utterance,) = load_manifest(path).utterances
    assert (utterance.start, utterance.stop) == (start, stop)
    (item,) = plan_items([utterance])
    samples, rate = read_item(item)
    end = 4 * RATE if stop is None else stop
    np.testing.assert_array_equal(samples, np.arange(start, end, dtype=np.float32) / 2**15)
    assert utterance.duration_s == len(samples) / rate


def test_segments_are_named_and_cached_apart(ramp: Path) -> None:
    segments = [SEGMENT, {"offset": 2.0, "duration": 2.0}, {}]
    lines = [json.dumps({"audio": "ramp.wav", "text": "one", **keys}) for keys in segments]
    utterances = load_manifest(write(ramp / "m.jsonl", "\n".join(lines))).utterances
    names = [utterance.name for utterance in utterances]
    assert names == ["ramp.wav from 1.00 to 3.00 s", "ramp.wav from 2.00 to 4.00 s", "ramp.wav"]
    assert len({item.key for item in plan_items(utterances)}) == 3


def test_segments_of_a_kaldi_folder_are_cut(ramp: Path) -> None:
    write(ramp / "wav.scp", "rec ramp.wav\n")
    write(ramp / "text", "u1 one\nu2 two\n")
    write(ramp / "segments", "u1 rec 0.5 1.0\nu2 rec 2 -1\n")
    found = [(u.name, u.text, u.start, u.stop) for u in load_manifest(ramp).utterances]
    assert found == [("u1", "one", RATE // 2, RATE), ("u2", "two", 2 * RATE, None)]
    for wrong in ("u1 other 0 1", "u1 rec 0", "u1 rec a b"):
        write(ramp / "segments", wrong)
        with pytest.raises(ConfigError, match=r"segments: u1: expected a recording of wav\.scp"):
            load_manifest(ramp)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"start": 1}, "expected start and stop in samples, got one of them"),
        ({"start": 0.5, "stop": 2.5}, "start: expected a number of samples, got '0.5'"),
        ({"start": 0, "stop": 4 * RATE + 1}, "expected a segment of the file, which has 4.00 s"),
        ({"start": 9, "stop": 9}, "expected a segment of the file"),
        ({"offset": 3.0, "duration": 2.0}, "which has 4.00 s, got 3.00 to 5.00 s"),
        ({"offset": 5.0}, "expected a segment of the file"),
        ({"offset": -1.0}, "offset: expected seconds, got '-1.0'"),
        ({"offset": "0:05"}, "offset: expected seconds, got '0:05'"),
        ({"duration": [1]}, "duration: expected seconds"),
        ({"offset": True}, "offset: expected seconds, got 'True'"),
        (
            {"begin_time": 1.0, "end_time": 2.0},
            "the key 'end_time' is not supported and would change what is recognised",
        ),
        ({"channel": 1}, "the key 'channel' is not supported"),
    ],
)
def test_segments_that_are_none_are_refused(ramp: Path, keys: dict[str, object], message: str) -> None:
    good = json.dumps({"audio": "ramp.wav", "text": "one"})
    found = load_manifest(write(ramp / "m.jsonl", f"{good}\n{json.dumps({'audio': 'ramp.wav', 'text': 'x', **keys})}"))
    assert len(found.utterances) == 1
    (problem,) = found.problems
    assert problem.startswith("m.jsonl, line 2: ramp.wav: ")
    assert message in problem


def test_the_same_entry_may_occur_several_times(folder: Path) -> None:
    line = json.dumps({"audio": "wav/a.wav", "text": "one"})
    assert len(load_manifest(write(folder / "m.jsonl", f"{line}\n{line}\n")).utterances) == 2


@pytest.mark.parametrize("wrong", [f'{{"audio": {"9" * 5000}}}', "[" * 100_000])
def test_json_that_python_refuses_costs_its_line_only(folder: Path, wrong: str) -> None:
    good = json.dumps({"audio": "wav/a.wav", "text": "one"})
    found = load_manifest(write(folder / "m.jsonl", f"{wrong}\n{good}\n"))
    assert len(found.utterances) == 1
    assert found.problems[0].startswith("m.jsonl, line 1: expected a JSON object: ")
