from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from gtcrn_frontend import Enhancer
from gtcrn_frontend.errors import AudioFormatError, ConfigError

pytestmark = pytest.mark.hosts


@pytest.fixture(scope="module")
def speech(audio_folder: Path) -> np.ndarray:
    return soundfile.read(audio_folder / "speech_a.flac", dtype="float32")[0][:16000]


def test_a_task_keeps_shape_type_and_other_keys(speech: np.ndarray) -> None:
    from nemo_curator.tasks import AudioTask

    from gtcrn_frontend.adapters.nemo_curator import EnhanceStage

    stage = EnhanceStage(strength=0.5)
    stage.setup()
    expected = Enhancer(strength=0.5).enhance(speech)
    for waveform in (torch.from_numpy(speech)[None], torch.from_numpy(speech), speech, np.stack([speech, speech])):
        task = stage.process(AudioTask(data={"waveform": waveform, "sample_rate": 16000, "text": "one"}))
        made = task.data["waveform"]
        assert type(made) is type(waveform) and made.dtype == waveform.dtype and made.shape == waveform.shape
        assert all((np.asarray(channel) == expected).all() for channel in np.atleast_2d(np.asarray(made)))
        assert (task.data["sample_rate"], task.data["text"]) == (16000, "one")


def test_a_pipeline_on_real_workers(speech: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # workers look for modules there first: in a checkout they would find the sources
    from nemo_curator.backends.ray_data import RayDataExecutor
    from nemo_curator.pipeline import Pipeline
    from nemo_curator.tasks import AudioTask

    from gtcrn_frontend.adapters.nemo_curator import EnhanceStage

    pipeline = Pipeline(name="enhance", stages=[EnhanceStage(settings={"engine": "native"})])
    rates = (16000, 8000)
    tasks = [AudioTask(data={"waveform": torch.from_numpy(speech)[None], "sample_rate": rate}) for rate in rates]
    made = pipeline.run(RayDataExecutor(), initial_tasks=tasks)
    for task in made:
        rate = task.data["sample_rate"]
        np.testing.assert_array_equal(task.data["waveform"][0].numpy(), Enhancer(sample_rate=rate).enhance(speech))
    assert sorted(task.data["sample_rate"] for task in made) == sorted(rates)


def test_bad_input_is_named() -> None:
    from nemo_curator.tasks import AudioTask

    from gtcrn_frontend.adapters.nemo_curator import EnhanceStage

    with pytest.raises(AudioFormatError, match="expected the key 'waveform' in a task, got audio_filepath"):
        EnhanceStage().process(AudioTask(data={"audio_filepath": "a.wav"}))
    with pytest.raises(ConfigError, match="strength"):
        EnhanceStage(strength=7)
