from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from gtcrn_frontend import Enhancer
from gtcrn_frontend.adapters.ray import EnhanceAudio
from gtcrn_frontend.errors import AudioFormatError, ConfigError, ModelError


def test_a_dataset_of_audio_files(cluster: Any, audio_folder: Path, tmp_path: Path) -> None:
    speech = soundfile.read(audio_folder / "speech_a.flac", dtype="float32")[0][:16000]
    signals = {"a": (speech, 16000), "b": (np.stack([speech, speech / 2], 1), 48000), "c": (speech[:4000], 8000)}
    for name, (samples, rate) in signals.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, rate, subtype="FLOAT")
    dataset = cluster.data.read_audio([str(tmp_path / f"{name}.wav") for name in signals], include_paths=True)
    # one of the two CPUs remains for reading
    enhanced = dataset.map_batches(
        EnhanceAudio, fn_constructor_kwargs={"strength": 0.5}, batch_size=2, num_cpus=1, concurrency=1
    )
    rows = {Path(row["path"]).stem: row for row in enhanced.take_all()}
    assert rows.keys() == signals.keys()
    for name, (samples, rate) in signals.items():
        expected = Enhancer(sample_rate=rate, channels=samples.ndim, strength=0.5).enhance(samples)
        got = rows[name]["amplitude"]
        assert (got.shape, got.dtype) == ((samples.ndim, len(samples)), np.float32)
        np.testing.assert_array_equal(got, np.atleast_2d(expected.T))
        assert rows[name]["sample_rate"] == rate


def test_batches_of_even_and_uneven_rows() -> None:
    enhance = EnhanceAudio(amplitude="wave", sample_rate="rate")
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 8000)).astype(np.float32)
    even = enhance({"wave": noise, "rate": np.array([16000, 16000]), "text": np.array(["one", "two"])})
    assert even["wave"].shape == noise.shape and even["wave"].dtype == np.float32
    assert list(even["text"]) == ["one", "two"]
    uneven = np.empty(2, object)
    uneven[:] = [noise[0], noise[1, :5000]]
    result = enhance({"wave": uneven, "rate": np.array([16000, 16000])})["wave"]
    np.testing.assert_array_equal(result[0], even["wave"][0])
    assert result[1].shape == (5000,)
    assert enhance({"wave": noise[:0], "rate": np.zeros(0, int)})["wave"].shape == (0,)


def test_bad_input_is_named() -> None:
    with pytest.raises(AudioFormatError, match="expected a column 'amplitude' in the batch, got audio"):
        EnhanceAudio()({"audio": np.zeros((1, 10), np.float32)})
    with pytest.raises(AudioFormatError, match="row 1 of the batch: expected"):
        EnhanceAudio()({"amplitude": np.array([[0.0], [np.nan]], np.float32), "sample_rate": np.array([16000, 16000])})
    with pytest.raises(AudioFormatError, match="row 0 of the batch: sample_rate"):
        EnhanceAudio()({"amplitude": np.zeros((1, 10), np.float32), "sample_rate": np.array([100])})
    with pytest.raises(ConfigError, match="strength"):
        EnhanceAudio(strength=3)
    with pytest.raises(TypeError, match="channels"):
        EnhanceAudio(channels=2)
    with pytest.raises(ModelError, match="no-such-model"):
        EnhanceAudio(model="no-such-model")
