"""The scripts run; what they print of a real pipeline is in docs/pipecat.md."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.hosts


def test_word_errors_and_false_starts(shared: Path, whisper_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import pipecat_noise

    audio = ["--audio", str(shared / "audio"), "--whisper", str(whisper_model)]
    pipecat_noise.main([*audio, "--utterances", "1", "--excerpts", "0", "--snr", "20"])
    header, _, row = capsys.readouterr().out.split("\n\n")[-1].strip().splitlines()
    assert [cell.strip() for cell in header.split("|")[1:4]] == ["SNR", "no filter", "strength 0.8"]
    assert row.split("|")[1].strip() == "20 dB"


def test_speed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import speed

    monkeypatch.setattr(speed, "ROUNDS", 1)
    monkeypatch.setattr(speed, "FRAMES_PER_ROUND", 3)
    speed.main(["--rates", "44100", "--frames", "10"])
    rows = capsys.readouterr().out.strip().splitlines()[-4:]
    assert [row.split("|")[3].strip() for row in rows] == ["Enhancer", "pipecat", "LiveKit", "aiortc"]
