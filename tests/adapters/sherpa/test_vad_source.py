"""Silero VAD as a detector that `calibrate` measures."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from gtcrn_frontend.adapters.sherpa.vad_source import vad_source
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.evaluation.asr.voice_activity import parse_segments


def bursts(rate: int) -> np.ndarray:
    """Loud from 1 to 2 s and from 4 to 5 s."""
    samples = np.zeros(6 * rate, np.float32)
    for second in (1, 4):
        samples[second * rate : (second + 1) * rate] = 0.3 * np.sin(0.3 * np.arange(rate))
    return samples


@pytest.mark.parametrize("vad_config", ["silero 4", "silero 5"], indirect=True)
@pytest.mark.parametrize("rate", [16000, 8000, 44100])
def test_segments_are_where_it_is_loud(vad_config, rate: int, tmp_path: Path) -> None:
    source = pickle.loads(pickle.dumps(vad_source(vad_config.silero_vad.model)))
    detector = source.make(str(tmp_path))
    texts = [detector(bursts(rate), rate).text for _ in range(2)]
    assert texts[0] == texts[1], "a signal leaves nothing behind"
    segments = parse_segments(texts[0])
    assert len(segments) == 2
    np.testing.assert_allclose(segments, [(1, 2), (4, 5)], atol=0.6)
    assert detector(np.zeros(5 * rate, np.float32), rate).text == ""


@pytest.mark.parametrize("vad_config", ["silero 5"], indirect=True)
def test_settings_are_named_and_the_content_counts(vad_config, tmp_path: Path) -> None:
    model = Path(vad_config.silero_vad.model)
    copy = tmp_path / "vad.onnx"
    copy.write_bytes(model.read_bytes())
    source = vad_source(copy)
    assert (source.name, source.identity) == ("vad.onnx", vad_source(model).identity)
    assert ("threshold", "0.5") in source.settings


@pytest.mark.parametrize("vad_config", ["ten"], indirect=True)
def test_another_detector_is_refused(vad_config) -> None:
    with pytest.raises(ModelError, match="expected a Silero VAD"):
        vad_source(vad_config.ten_vad.model)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nothing\.onnx"):
        vad_source(tmp_path / "nothing.onnx")
