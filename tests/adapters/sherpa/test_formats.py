import json

import pytest

from gtcrn_frontend.adapters.sherpa.formats import json_line, srt_block, text_line
from gtcrn_frontend.adapters.sherpa.results import Segment

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


def test_subtitles():
    assert srt_block(FINAL) == "2\n00:01:00,000 --> 01:00:00,250\nsieben drei\n"


@pytest.mark.parametrize(
    ("time_s", "said"), [(0, "00:00:00,000"), (0.0004, "00:00:00,000"), (359999.9994, "99:59:59,999")]
)
def test_times_of_subtitles(time_s, said):
    assert srt_block(Segment(0, "a", time_s, time_s)).splitlines()[1] == f"{said} --> {said}"
