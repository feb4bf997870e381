from pathlib import Path

import numpy as np
import pytest
import soundfile


@pytest.fixture
def recordings(audio_folder: Path, tmp_path: Path) -> Path:
    """A folder with three recordings of one second at different rates: `a.wav`, `b.flac` (stereo), `deep/c.wav`."""
    speech = soundfile.read(audio_folder / "speech_a.flac", dtype="int16")[0]
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    soundfile.write(folder / "a.wav", speech[:16000], 16000)
    soundfile.write(folder / "b.flac", np.stack([speech[:44100], speech[1000:45100]], 1), 44100)
    soundfile.write(folder / "deep/c.wav", (speech[:4000] / 32768).astype(np.float32), 8000, subtype="PCM_24")
    return folder
