import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gtcrn_frontend.audio.levels import active_power
from gtcrn_frontend.errors import AudioFormatError, ConfigError
from gtcrn_frontend.evaluation.audio_files import read_mono
from gtcrn_frontend.evaluation.manifest import Utterance
from gtcrn_frontend.evaluation.noisy_set import find_noise, parse_snrs, plan_items, read_item

RATE = 16000


@pytest.fixture
def utterances(tmp_path: Path) -> list[Utterance]:
    rng = np.random.default_rng(0)
    made = []
    for name, level in (("a", 0.05), ("b", 0.1)):
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, rng.normal(0, level, RATE).astype(np.float32), RATE, subtype="FLOAT")
        made.append(Utterance(name, path, "one", duration_s=1.0))
    return made


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    folder = tmp_path / "noise" / "deep"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    soundfile.write(folder / "hum.wav", rng.normal(0, 0.1, (44100, 2)), 44100)
    soundfile.write(folder.parent / "short.flac", rng.normal(0, 0.1, 800), 8000)
    return folder.parent


def test_ratios_are_read() -> None:
    assert parse_snrs("0, 5,-2.5,clean,5") == (0.0, 5.0, -2.5, None)
    for wrong in ("", "loud", "1000", "nan"):
        with pytest.raises(ConfigError, match="expected SNRs"):
            parse_snrs(wrong)


def test_every_utterance_meets_every_condition(utterances: list[Utterance], noise: Path) -> None:
    items = plan_items(utterances, find_noise(noise), (None, 5.0, 0.0))
    assert [item.condition for item in items] == ["clean"] * 2 + ["5 dB"] * 2 + ["0 dB"] * 2
    assert len({item.key for item in items}) == 6


def test_noise_is_at_its_ratio_and_speech_untouched(utterances: list[Utterance], noise: Path) -> None:
    for item in plan_items(utterances, find_noise(noise), (10.0, 0.0)):
        samples, rate = read_item(item)
        clean, _ = read_mono(item.utterance.path)
        assert (rate, samples.shape, samples.dtype) == (RATE, clean.shape, np.float32)
        added = samples - clean
        snr_db = 10 * np.log10(active_power(clean) / np.square(added).mean())
        assert snr_db == pytest.approx(item.snr_db, abs=0.1)


def test_clean_is_the_recording_itself(utterances: list[Utterance], noise: Path) -> None:
    for item in plan_items(utterances, find_noise(noise), (None,)):
        np.testing.assert_array_equal(read_item(item)[0], read_mono(item.utterance.path)[0])


def test_the_same_seed_gives_the_same_mixture_and_another_seed_another(
    utterances: list[Utterance], noise: Path
) -> None:
    recordings = find_noise(noise)
    first, again = (plan_items(utterances, recordings, (5.0,), seed=1)[0] for _ in range(2))
    np.testing.assert_array_equal(read_item(first)[0], read_item(again)[0])
    assert first.key == again.key
    for seed in range(2, 8):  # also where the recording is the same one, and no longer than the utterance
        other = plan_items(utterances, recordings, (5.0,), seed)[0]
        assert first.key != other.key
        assert np.abs(read_item(first)[0] - read_item(other)[0]).max() > 0.01


def test_a_key_names_the_content_not_the_path(utterances: list[Utterance], noise: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.wav"
    copy.write_bytes(utterances[0].path.read_bytes())
    twin = dataclasses.replace(utterances[0], path=copy, name="copy")
    first, second = (plan_items([utterance], find_noise(noise), (5.0,))[0] for utterance in (utterances[0], twin))
    assert first.key == second.key
    np.testing.assert_array_equal(read_item(first)[0], read_item(second)[0])


def test_loud_mixtures_are_turned_down_not_clipped(tmp_path: Path, noise: Path) -> None:
    path = tmp_path / "loud.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.9, 0.9, RATE).astype(np.float32), RATE, subtype="FLOAT")
    item = plan_items([Utterance("loud", path, "one")], find_noise(noise), (-5.0,))[0]
    assert np.abs(read_item(item)[0]).max() == pytest.approx(0.99, abs=1e-4)


def test_without_noise_the_manifest_names_the_conditions(utterances: list[Utterance]) -> None:
    named = [dataclasses.replace(utterance, condition=name) for utterance, name in zip(utterances, "xy", strict=True)]
    assert [item.condition for item in plan_items(named)] == ["x", "y"]


def test_samples_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "nan.wav"
    soundfile.write(path, np.array([0, np.nan, 0], np.float32), RATE, subtype="FLOAT")
    with pytest.raises(AudioFormatError, match="finite"):
        read_mono(path)


def test_a_folder_without_noise_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no audio file"):
        find_noise(tmp_path)
