"""False starts and missed speech of detectors whose segments are known."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gtcrn_frontend import EnhancerConfig
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.evaluation import calibrate
from gtcrn_frontend.evaluation.asr.event_rates import EventRates
from gtcrn_frontend.evaluation.asr.measure_text import voice_activity_reasons
from gtcrn_frontend.evaluation.asr.recognizer_source import RecognizerSource
from gtcrn_frontend.evaluation.asr.voice_activity import SpeechTime, VoiceActivity, parse_segments, segments_text
from gtcrn_frontend.evaluation.manifest import Utterance
from gtcrn_frontend.evaluation.noisy_set import Item
from gtcrn_frontend.evaluation.speech_free import SpeechFree
from gtcrn_frontend.evaluation.systems import RAW

RATE = 16000
FULL = EnhancerConfig(strength=1.0)

# Speech is what is louder than -40 dB of full scale, in frames of 50 ms.
DETECTOR = """
import numpy as np

def loud(samples, rate):
    n = rate // 20
    frames = np.square(samples[: len(samples) // n * n]).reshape(-1, n).mean(axis=1) > 1e-4
    edges = np.flatnonzero(np.diff(np.concatenate([[False], frames, [False]]).astype(int)))
    return " ".join(f"{a / 20:.3f}-{b / 20:.3f}" for a, b in edges.reshape(-1, 2))

def never(samples, rate):
    return ""

def words(samples, rate):
    return "one two"

def hear(samples, rate):
    return "one" if np.square(samples).mean() > 1e-4 else "one two"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Twelve recordings of a tone from 0.5 to 1 s, soft noise, and the detectors, in the working directory."""
    (tmp_path / "noise").mkdir()
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "noise" / "white.wav", rng.normal(0, 0.05, 4 * RATE), RATE)
    lines = []
    for i in range(12):
        samples = np.zeros(3 * RATE // 2, np.float32)
        samples[RATE // 2 : RATE] = 0.2 * np.sin(0.2 * (1 + i / 30) * np.arange(RATE // 2))
        soundfile.write(tmp_path / f"{i}.wav", samples, RATE)
        lines.append(json.dumps({"audio": f"{i}.wav", "text": "one two"}))
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    (tmp_path / "vad_of_test.py").write_text(DETECTOR)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    import vad_of_test

    yield vad_of_test
    sys.modules.pop("vad_of_test", None)


def known(false_starts: EventRates | None, missed: dict[EnhancerConfig, list[float]]) -> VoiceActivity:
    """Utterances of 2 s of speech each, of which so much is missed."""
    n = len(missed[RAW])
    items = tuple(Item(Utterance(str(i), Path(str(i)), "x"), ("clean", "0 dB")[i % 2], str(i)) for i in range(n))
    speech = {setting: tuple(SpeechTime(each, 2.0) for each in values) for setting, values in missed.items()}
    return VoiceActivity(RecognizerSource("vad", "", lambda _: None), false_starts, items, speech)


def test_missed_speech_is_a_share_of_its_time() -> None:
    found = known(None, {RAW: [0.0, 1.0] * 10, FULL: [0.0, 0.5] * 10})
    assert found.conditions == ("clean", "0 dB")
    assert found.missed(RAW).value == pytest.approx(0.25)
    assert found.missed(RAW, "0 dB").value == pytest.approx(0.5)
    assert found.missed(FULL, "clean").value == 0
    assert found.change(FULL).value == pytest.approx(-0.125)
    assert found.change(FULL).mark == "-"
    assert found.change(FULL, "clean").mark == " "


def test_what_a_setting_does_is_said() -> None:
    signals = tuple(SpeechFree(str(i), 10.0, -30.0, seed=i) for i in range(20))
    starts = EventRates(signals, {RAW: (2,) * 20, FULL: (0,) * 20})
    found = known(starts, {RAW: [0.0] * 20, FULL: [0.5] * 20})
    (said,) = voice_activity_reasons(found, FULL)
    assert "false starts per minute go from 12.0 ±0.0 to 0.0 ±0.0: -12.0 (-12.0 to -12.0), significantly less" in said
    assert "missed speech goes from 0.0 ±0.0 % to 25.0 ±0.0 %: +25.0 points" in said
    assert "significantly more" in said
    assert voice_activity_reasons(found, None) == []


def test_segments_are_text_and_back() -> None:
    segments = [(0.25, 1.3), (2.0, 2.75)]
    assert segments_text(segments) == "0.250-1.300 2.000-2.750"
    assert parse_segments(segments_text(segments)) == segments
    assert parse_segments("") == []
    with pytest.raises(ModelError, match=r"expected segments such as 0\.250-1\.300 from a detector, got 'one two'"):
        parse_segments("one two")


def test_a_detector_is_measured_with_and_without_front_end(folder) -> None:
    """Noise at -30 dB of full scale is louder than the detector's limit, until the front-end removes it."""
    result = calibrate(
        folder.hear,
        "m.jsonl",
        noise="noise",
        snrs_db=(None, 5.0),
        channels=("microphone", "telephone"),
        strengths=(1.0,),
        noise_only=10,
        vad=folder.loud,
        jobs=1,
        cache=False,
    )
    found = result.voice_activity
    assert found is not None
    assert found.false_starts is not None
    starts = found.false_starts
    assert starts.conditions == ("noise -30 dBFS", "noise -45 dBFS", "digital silence")
    assert starts.rate(RAW, "noise -30 dBFS").value == pytest.approx(6)  # one segment of 10 s
    assert starts.rate(RAW, "noise -45 dBFS").value == starts.rate(RAW, "digital silence").value == 0
    assert starts.rate(FULL, "noise -30 dBFS").value != pytest.approx(6)
    assert found.missed(RAW, "clean").value == 0
    assert found.conditions == ("clean", "5 dB", "telephone clean", "telephone 5 dB")
    assert found.missed(RAW, "telephone 5 dB").value < 0.05
    assert found.missed(FULL).value > found.missed(RAW).value  # a tone is no speech to the network
    text = str(result)
    assert "False starts of loud per minute, in 4.0 minutes without speech:" in text
    assert "Speech missed by loud, percent of its time:" in text


@pytest.mark.parametrize(
    ("name", "message"), [("never", "expected speech in the recordings"), ("words", "expected segments such as")]
)
def test_a_detector_that_is_none_is_refused(folder, name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        calibrate(
            folder.hear,
            "m.jsonl",
            noise="noise",
            snrs_db=(5.0,),
            strengths=(1.0,),
            noise_only=0,
            vad=getattr(folder, name),
            jobs=1,
            cache=False,
        )


def test_a_detector_needs_noise(folder) -> None:
    with pytest.raises(ConfigError, match="vad: expected a folder of noise with it"):
        calibrate(folder.hear, "m.jsonl", vad=folder.loud)
