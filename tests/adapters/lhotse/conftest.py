from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment

import gtcrn_frontend.adapters.lhotse  # noqa: F401  adds the methods

RATES = {"a": 16000, "b": 8000, "c": 44100}


@pytest.fixture(scope="module")
def folder(audio_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a second of speech at three rates; `c` has two channels, of which the second one is quieter."""
    path = tmp_path_factory.mktemp("recordings")
    speech = soundfile.read(audio_folder / "speech_a.flac", dtype="float32")[0]
    noise = np.random.default_rng(0).normal(0, 0.02, 44100).astype(np.float32)
    for name, rate in RATES.items():
        noisy = speech[:rate] + noise[:rate] if rate <= len(speech) else noise
        soundfile.write(path / f"{name}.wav", np.stack([noisy, noisy / 3], 1) if name == "c" else noisy, rate)
    return path


@pytest.fixture(scope="module")
def cuts(folder: Path) -> CutSet:
    """A cut of each whole recording, with a supervision."""
    recordings = [Recording.from_file(folder / f"{name}.wav") for name in RATES]
    made = []
    for recording in recordings:
        cut = recording.to_cut()
        cut.supervisions = [
            SupervisionSegment(f"{cut.id}-words", recording.id, 0.1, 0.5, channel=cut.channel, text="one two")
        ]
        made.append(cut)
    return CutSet.from_cuts(made)


@pytest.fixture
def cut(cuts: CutSet) -> MonoCut:
    return cuts["a"]
