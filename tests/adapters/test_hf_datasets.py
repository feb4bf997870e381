import io
import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from gtcrn_frontend import Enhancer
from gtcrn_frontend.adapters.hf_datasets import EnhanceBatch
from gtcrn_frontend.errors import AudioFormatError, ConfigError
from gtcrn_frontend.file_enhancement import enhance_file


@pytest.fixture
def paths(audio_folder: Path, tmp_path: Path) -> list[Path]:
    """Three files: 16 kHz WAV, 44.1 kHz FLAC in stereo, 8 kHz Ogg Vorbis."""
    speech = soundfile.read(audio_folder / "speech_a.flac", dtype="float32")[0]
    soundfile.write(tmp_path / "a.wav", speech[:16000], 16000)
    soundfile.write(tmp_path / "b.flac", np.stack([speech[:22050], speech[1000:23050]], 1), 44100)
    soundfile.write(tmp_path / "c.ogg", speech[:8000], 8000)
    return [tmp_path / name for name in ("a.wav", "b.flac", "c.ogg")]


def assert_enhanced(encoded: dict, path: Path) -> None:
    expected = enhance_file(path)
    found, rate = soundfile.read(io.BytesIO(encoded["bytes"]), dtype=str(expected.dtype))
    assert (rate, encoded["path"]) == (soundfile.info(path).samplerate, path.name)
    np.testing.assert_allclose(found, expected, atol=0.05 if path.suffix == ".ogg" else 0)  # Vorbis loses something


@pytest.mark.hosts
@pytest.mark.parametrize("processes", [None, 2])
def test_a_dataset_of_files(paths: list[Path], tmp_path: Path, processes: int | None) -> None:
    from datasets import Audio, Dataset

    dataset = Dataset.from_dict({"audio": [str(path) for path in paths] * 2, "text": list("abcabc")})
    dataset = dataset.cast_column("audio", Audio(decode=False))
    enhanced = dataset.map(EnhanceBatch(), batched=True, batch_size=2, num_proc=processes)
    assert enhanced["text"] == dataset["text"]
    for row, path in zip(enhanced, paths * 2, strict=True):
        assert_enhanced(row["audio"], path)
    enhanced.save_to_disk(tmp_path / "saved")
    again = enhanced.map(EnhanceBatch(0.0), batched=True)  # from bytes
    decoded = [
        soundfile.read(io.BytesIO(row["bytes"]), dtype="int16")[0] for row in (again[0]["audio"], again[1]["audio"])
    ]
    assert all((d == enhance_file(path)).all() for d, path in zip(decoded, paths, strict=False))


@pytest.mark.hosts
def test_a_dataset_of_decoded_audio_is_cached_by_settings(paths: list[Path]) -> None:
    from datasets import Dataset

    signals = [soundfile.read(path, dtype="float32") for path in (paths[0], paths[2])]
    rows = [{"array": samples, "sampling_rate": rate} for samples, rate in signals]
    dataset = Dataset.from_dict({"speech": rows})
    enhance = EnhanceBatch(0.5, column="speech")
    enhanced = dataset.map(enhance, batched=True)
    for row, (samples, rate) in zip(enhanced.with_format("numpy"), signals, strict=True):
        expected = Enhancer(sample_rate=rate, strength=0.5).enhance(samples)
        np.testing.assert_array_equal(np.asarray(row["speech"]["array"], np.float32), expected)
        assert row["speech"]["sampling_rate"] == rate
    same, other = EnhanceBatch(0.5, column="speech"), EnhanceBatch(0.6, column="speech")
    enhance(dataset[:1])  # a call changes nothing by which results are cached
    fingerprints = [dataset.map(each, batched=True)._fingerprint for each in (enhance, same, other)]
    assert fingerprints[0] == fingerprints[1] == enhanced._fingerprint != fingerprints[2]


def test_what_a_batch_may_hold(paths: list[Path]) -> None:
    stereo, rate = soundfile.read(paths[1], dtype="float32")
    decoder = SimpleNamespace(get_all_samples=lambda: SimpleNamespace(data=stereo.T, sample_rate=rate))
    mono = SimpleNamespace(get_all_samples=lambda: SimpleNamespace(data=stereo.T[:1], sample_rate=rate))
    nameless = {"bytes": paths[1].read_bytes(), "path": None}
    odd = {"bytes": paths[0].read_bytes(), "path": "recording.data"}
    batch = {"audio": [decoder, mono, None, nameless, odd, {"array": [0.0] * 500, "sampling_rate": 8000, "path": "x"}]}
    first, second, none, third, fourth, fifth = pickle.loads(pickle.dumps(EnhanceBatch()))(batch)["audio"]
    expected = Enhancer(sample_rate=rate, channels=2).enhance(stereo).T
    np.testing.assert_array_equal(first["array"], expected)
    np.testing.assert_array_equal(second["array"], expected[0])
    assert first["sampling_rate"] == second["sampling_rate"] == rate
    assert none is None
    assert soundfile.info(io.BytesIO(third["bytes"])).format == "FLAC" and third["path"] is None
    assert soundfile.info(io.BytesIO(fourth["bytes"])).format == "WAV" and fourth["path"] == "recording.data"
    assert fifth["array"].shape == (500,) and fifth["path"] == "x"


def test_bad_input_is_named(paths: list[Path], tmp_path: Path) -> None:
    with pytest.raises(AudioFormatError, match="expected a column 'audio' in the batch, got speech"):
        EnhanceBatch()({"speech": []})
    with pytest.raises(AudioFormatError, match=r"row 1 of the batch, .*absent\.wav: .*found nothing there"):
        EnhanceBatch()({"audio": [{"path": str(paths[0])}, {"path": str(tmp_path / "absent.wav"), "bytes": None}]})
    with pytest.raises(AudioFormatError, match="row 0 of the batch: expected audio as a decoder"):
        EnhanceBatch()({"audio": ["a.wav"]})
    with pytest.raises(AudioFormatError, match="row 0 of the batch, audio: sample_rate"):
        EnhanceBatch()({"audio": [{"array": [0.0], "sampling_rate": 10}]})
    with pytest.raises(ConfigError, match="strength"):
        EnhanceBatch(strength=2)
    with pytest.raises(TypeError, match="downmix"):
        EnhanceBatch(downmix=True)
