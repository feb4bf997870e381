"""A pipeline file as the recogniser of `calibrate`."""

import pickle

import numpy as np
import pytest
import soundfile

from gtcrn_frontend.adapters.recognizers import recognizer_source
from gtcrn_frontend.errors import ConfigError

PIPELINE = """
recognizer:
  factory: OnlineRecognizer.from_zipformer2_ctc
  tokens: {0}/tokens.txt
  model: {0}/online.onnx
  feature_dim: 40
"""
ENDPOINT = "endpoint:\n  rule2_min_trailing_silence: 0.3\n  rule1_min_trailing_silence: 0.3\n"


@pytest.fixture
def pipelines(digits_clean, tmp_path):
    bare, with_endpoint = tmp_path / "bare.yaml", tmp_path / "endpoint.yaml"
    bare.write_text(PIPELINE.format(digits_clean))
    with_endpoint.write_text(PIPELINE.format(digits_clean) + ENDPOINT)
    return bare, with_endpoint


def test_endpoints_are_not_used_and_it_says_so(pipelines, audio_folder, tmp_path, caplog):
    bare, with_endpoint = (recognizer_source(str(path)) for path in pipelines)
    assert caplog.messages == [
        f"{pipelines[1]}: endpoint: is not used here: each recording is one utterance, and an endpoint can cost a word"
    ]
    assert bare.identity == with_endpoint.identity, "one measurement serves both"
    samples, rate = soundfile.read(audio_folder / "speech_a.flac", dtype="float32")
    spaced = np.concatenate([samples, np.zeros(rate, np.float32), samples])
    hears, also_hears = (pickle.loads(pickle.dumps(one.make))(str(tmp_path)) for one in (bare, with_endpoint))
    assert hears(spaced, rate).text == also_hears(spaced, rate).text != ""


def test_a_folder_for_sherpa_onnx_points_to_the_pipeline_file(digits_clean, pipelines, tmp_path):
    with pytest.raises(ConfigError, match=r"expected a pipeline file of sherpa-onnx \(\.yaml\), got the folder of a"):
        recognizer_source(str(digits_clean))
    with pytest.raises(ConfigError, match=r"expected a pipeline file, got its folder: give .*bare\.yaml$"):
        recognizer_source(str(tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="expected a SpeechBrain model"):
        recognizer_source(str(tmp_path / "empty"))
