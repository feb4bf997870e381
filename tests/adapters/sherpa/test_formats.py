import json
import os
import types

import pytest

from gtcrn_frontend.adapters.sherpa.formats import json_line, srt_block, text_line, transcript, vtt_block
from gtcrn_frontend.adapters.sherpa.results import TOKEN_S, Segment, segment_of

FINAL = Segment(1, "sieben drei", 59.9996, 3600.25, ("▁sieben", "▁drei"), (60.0, 61.5), 0.75)
PARTIAL = Segment(1, "sieben", 1.0, 2.0, is_final=False)


def test_text():
    assert text_line(FINAL) == "  60.00 - 3600.25      sieben drei"
    assert text_line(PARTIAL) == "   1.00 -    2.00  ... sieben"
    assert text_line(PARTIAL, "a.wav") == "a.wav:    1.00 -    2.00  ... sieben"


def test_json_holds_everything():
    line = json_line(FINAL, "ä.wav")
    assert "\n" not in line
    assert "ä.wav" in line
    assert json.loads(line) == {
        "file": "ä.wav",
        "index": 1,
        "text": "sieben drei",
        "start_s": 59.9996,
        "end_s": 3600.25,
        "tokens": ["▁sieben", "▁drei"],
        "timestamps": [60.0, 61.5],
        "confidence": 0.75,
        "is_final": True,
    }
    assert "file" not in json.loads(json_line(PARTIAL))


def test_a_file_name_that_is_not_utf_8_is_escaped():
    name = os.fsdecode(b"caf\xe9.wav")
    line = json_line(FINAL, name)
    assert json.loads(line.encode())["file"] == name


def test_subtitles():
    assert srt_block(FINAL) == "2\n00:01:00,000 --> 01:00:00,250\nsieben drei\n"
    assert vtt_block(FINAL) == "00:01:00.000 --> 01:00:00.250\nsieben drei\n"


def test_subtitles_of_the_web_escape_what_would_be_markup():
    assert vtt_block(Segment(0, "a <b> & c --> d", 0, 1)).splitlines()[1] == "a &lt;b&gt; &amp; c --&gt; d"


@pytest.mark.parametrize(
    ("form", "content"),
    [
        ("text", "   0.00 -    1.00      a\n   1.00 -    2.00      b\n"),
        ("srt", "1\n00:00:00,000 --> 00:00:01,000\na\n\n2\n00:00:01,000 --> 00:00:02,000\nb\n\n"),
        ("vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\na\n\n00:00:01.000 --> 00:00:02.000\nb\n\n"),
    ],
)
def test_whole_files(form, content):
    assert transcript(form, [Segment(0, "a", 0, 1), Segment(1, "b", 1, 2)], "a.wav") == content


@pytest.mark.parametrize(
    ("timestamps", "duration_s", "times"),
    [
        ([1.0, 2.0], 2.0, (1.0, 2.0)),
        ([2.0], 2.0, (2.0 - TOKEN_S, 2.0)),  # the last frame
        ([2.04], 2.0, (2.0 - TOKEN_S, 2.0)),  # in the padding behind it
        ([0.08], 0.1, (0.0, 0.1)),
    ],
)
def test_no_segment_lasts_no_time(timestamps, duration_s, times):
    result = types.SimpleNamespace(text="a", tokens=["a"], timestamps=timestamps, durations=[])
    segment = segment_of(result, 0, offset_s=0.0, duration_s=duration_s)
    assert (segment.start_s, segment.end_s) == pytest.approx(times)
    start, _, end = srt_block(segment).splitlines()[1].split()
    assert start < end


@pytest.mark.parametrize(
    ("time_s", "said"), [(0, "00:00:00,000"), (0.0004, "00:00:00,000"), (359999.9994, "99:59:59,999")]
)
def test_times_of_subtitles(time_s, said):
    assert srt_block(Segment(0, "a", time_s, time_s)).splitlines()[1] == f"{said} --> {said}"
