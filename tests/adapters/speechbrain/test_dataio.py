"""`enhanced_audio_pipeline`: in a dataset of SpeechBrain, in worker processes, and with its cache."""

import logging
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hyperpyyaml import load_hyperpyyaml
from speechbrain.dataio.dataloader import SaveableDataLoader
from speechbrain.dataio.dataset import DynamicItemDataset, add_dynamic_item, set_output_keys

from gtcrn_frontend import Enhancer
from gtcrn_frontend.adapters.speechbrain import enhanced_audio_pipeline
from gtcrn_frontend.adapters.speechbrain.dataio import EnhancedAudio
from gtcrn_frontend.errors import AudioFormatError, ConfigError


@pytest.fixture(scope="module")
def files(noisy: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("files")
    paths = [folder / f"{i}.wav" for i in range(4)]
    for i, path in enumerate(paths):
        soundfile.write(path, noisy[i * 2000 : i * 5000 + 5000], 16000, subtype="FLOAT")
    return paths


def dataset(files: list[Path], **settings: Any) -> DynamicItemDataset:
    data = DynamicItemDataset({path.stem: {"wav": str(path)} for path in files})
    add_dynamic_item([data], enhanced_audio_pipeline(**settings))
    set_output_keys([data], ["id", "sig"])
    return data


def read(path: Path) -> np.ndarray:
    samples: np.ndarray = soundfile.read(path, dtype="float32")[0]
    return samples


def entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_files_come_out_enhanced(files: list[Path]) -> None:
    for item, path in zip(dataset(files, strength=0.8), files, strict=True):
        expected = Enhancer(strength=0.8).enhance(read(path))
        assert item["sig"].dtype == torch.float32
        np.testing.assert_array_equal(item["sig"].numpy(), expected)


def test_strength_zero_is_the_file(files: list[Path]) -> None:
    for item, path in zip(dataset(files, strength=0), files, strict=True):
        np.testing.assert_array_equal(item["sig"].numpy(), read(path))


@pytest.mark.parametrize("cached", [False, True])
def test_workers_give_the_same_samples(files: list[Path], tmp_path: Path, cached: bool) -> None:
    settings = {"cache_folder": tmp_path} if cached else {}
    here = [item["sig"] for item in dataset(files)]
    data = dataset(files, **settings)
    assert torch.equal(data[0]["sig"], here[0])  # the parent has an engine before it forks
    for _ in range(2):
        loader = SaveableDataLoader(data, num_workers=2, batch_size=None)
        assert all(torch.equal(item["sig"], sig) for item, sig in zip(loader, here, strict=True))
    assert len(entries(tmp_path)) == (len(files) if cached else 0)


def test_the_item_can_be_pickled(files: list[Path]) -> None:
    item = enhanced_audio_pipeline()
    expected = item(str(files[0]))
    assert torch.equal(pickle.loads(pickle.dumps(item))(str(files[0])), expected)


def test_any_rate_and_channels(noisy: np.ndarray, tmp_path: Path) -> None:
    stereo = np.stack([noisy, noisy[::-1]], axis=1)
    soundfile.write(tmp_path / "stereo.flac", stereo, 48000, subtype="PCM_16")
    signal = enhanced_audio_pipeline(sample_rate=8000)(tmp_path / "stereo.flac")
    samples = soundfile.read(tmp_path / "stereo.flac", dtype="float32")[0]
    enhancer = Enhancer(sample_rate=48000, output_sample_rate=8000, channels=2, downmix=True)
    np.testing.assert_array_equal(signal.numpy(), enhancer.enhance(samples))
    assert len(signal) == -(-len(noisy) // 6)


def test_segments(files: list[Path]) -> None:
    expected = Enhancer().enhance(read(files[3])[1000:4321])
    for item in (
        {"file": str(files[3]), "start": 1000, "stop": 4321},
        (str(files[3]), "1000", "4321"),  # as CSV files have them
    ):
        takes = "wav" if isinstance(item, dict) else ["wav", "start", "stop"]
        pipeline = enhanced_audio_pipeline(takes)
        assert pipeline.takes == ([takes] if isinstance(takes, str) else takes)
        signal = pipeline(item) if isinstance(item, dict) else pipeline(*item)
        np.testing.assert_array_equal(signal.numpy(), expected)


def test_from_yaml(files: list[Path]) -> None:
    hparams = load_hyperpyyaml("""
        pipeline: !apply:gtcrn_frontend.adapters.speechbrain.enhanced_audio_pipeline
            takes: file
            provides: enhanced
            strength: 0.5
        """)
    data = DynamicItemDataset({"0": {"file": str(files[0])}}, [hparams["pipeline"]], ["enhanced"])
    np.testing.assert_array_equal(data[0]["enhanced"].numpy(), Enhancer(strength=0.5).enhance(read(files[0])))


def test_the_cache_is_used_and_knows_content_and_settings(
    files: list[Path], tmp_path: Path, random_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    wav = tmp_path / "copy.wav"
    wav.write_bytes(files[0].read_bytes())
    first = enhanced_audio_pipeline(cache_folder=cache)(files[0])
    made = entries(cache)
    assert len(made) == 1

    def no_engine(*_: object) -> None:
        raise AssertionError("enhanced again")

    with monkeypatch.context() as patch:
        patch.setattr(EnhancedAudio, "_enhanced", no_engine)
        assert torch.equal(enhanced_audio_pipeline(cache_folder=cache)(files[0]), first)
        assert torch.equal(enhanced_audio_pipeline(cache_folder=cache)(wav), first), "the same content"
    for settings in ({"strength": 0.5}, {"model": random_checkpoint}, {"sample_rate": 8000}, {"engine": "torch"}):
        enhanced_audio_pipeline(cache_folder=cache, **settings)(files[0])
    enhanced_audio_pipeline(cache_folder=cache)({"file": files[0], "start": 0, "stop": 100})
    wav.write_bytes(files[1].read_bytes())
    other = enhanced_audio_pipeline(cache_folder=cache)(wav)
    np.testing.assert_array_equal(other.numpy(), Enhancer().enhance(read(files[1])))
    assert len(entries(cache)) == 7
    assert set(made) < set(entries(cache))


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY nonsense", None])
def test_a_damaged_entry_is_made_again(
    files: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    pipeline = enhanced_audio_pipeline(cache_folder=tmp_path)
    expected = pipeline(files[0])
    (entry,) = entries(tmp_path)
    if content is None:
        np.save(entry, np.zeros((2, 2)))
    else:
        entry.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(pipeline(files[0]), expected)
    assert "again" in caplog.text
    caplog.clear()
    assert torch.equal(pipeline(files[0]), expected)
    assert not caplog.text


def test_many_writers_at_once(files: list[Path], tmp_path: Path) -> None:
    expected = enhanced_audio_pipeline()(files[0])
    with ThreadPoolExecutor(4) as executor:
        signals = list(executor.map(lambda _: enhanced_audio_pipeline(cache_folder=tmp_path)(files[0]), range(8)))
    assert all(torch.equal(signal, expected) for signal in signals)
    assert [path.suffix for path in entries(tmp_path)] == [".npy"]


def test_what_cannot_be_read_is_named(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no audio")
    for cache in (None, tmp_path / "cache"):
        pipeline = enhanced_audio_pipeline(cache_folder=cache)
        with pytest.raises(AudioFormatError, match=r"absent\.wav"):
            pipeline(tmp_path / "absent.wav")
        with pytest.raises(AudioFormatError, match=r"text\.wav"):
            pipeline(tmp_path / "text.wav")
        with pytest.raises(AudioFormatError, match=r"0\.wav: expected samples 10 to 99999, got 5000 in total"):
            pipeline({"file": files[0], "start": 10, "stop": 99999})
    soundfile.write(tmp_path / "slow.wav", np.zeros(100), 4000)
    with pytest.raises(AudioFormatError, match=r"slow\.wav: sample_rate: expected"):
        pipeline(tmp_path / "slow.wav")


def test_other_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="one key, or three"):
        enhanced_audio_pipeline(["wav", "start"])
    with pytest.raises(ConfigError, match="strength"):
        enhanced_audio_pipeline(strength=2)
