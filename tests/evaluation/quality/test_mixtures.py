import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gtcrn_frontend.audio.levels import snr_db
from gtcrn_frontend.errors import AudioFormatError, ConfigError
from gtcrn_frontend.evaluation.noisy_set import read_item
from gtcrn_frontend.evaluation.quality.mixtures import Mixture, load_speech_and_noise, plan_mixtures

RATE = 16000


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A list as for training: six recordings without text, two of noise, a room."""
    rng = np.random.default_rng(0)
    entries = []
    for kind, count in (("speech", 6), ("noise", 2), ("rir", 1)):
        for i in range(count):
            soundfile.write(tmp_path / f"{kind}{i}.wav", rng.normal(0, 0.1, RATE // 4), RATE)
            entries.append({"path": f"{kind}{i}.wav", "set": kind, "source": "test"})
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(entries, indent=1))
    return path


def planned(manifest: Path, count: int, seed: int = 0, snrs_db: tuple[float | None, ...] = (0, 10)) -> list[Mixture]:
    return plan_mixtures(*load_speech_and_noise(manifest, None), snrs_db, count, seed)


def test_a_list_for_training_gives_speech_and_noise(manifest: Path) -> None:
    speech, noise = load_speech_and_noise(manifest, None)
    assert [utterance.path.name for utterance in speech.utterances] == [f"speech{i}.wav" for i in range(6)]
    assert [recording.path.name for recording in noise] == ["noise0.wav", "noise1.wav"]


def test_noise_of_a_folder_takes_its_place(manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "loud").mkdir()
    soundfile.write(tmp_path / "loud" / "fan.wav", np.ones(800), RATE)
    _, noise = load_speech_and_noise(manifest, tmp_path / "loud")
    assert [recording.path.name for recording in noise] == ["fan.wav"]


def test_without_any_noise_it_is_said(manifest: Path) -> None:
    entries = [entry for entry in json.loads(manifest.read_text()) if entry["set"] == "speech"]
    manifest.write_text(json.dumps(entries))
    with pytest.raises(ConfigError, match="give a folder of noise"):
        load_speech_and_noise(manifest, None)


@pytest.mark.parametrize("count", [1, 4, 7, 12])
def test_the_ratios_take_turns(manifest: Path, count: int) -> None:
    mixtures = planned(manifest, count)
    counts = Counter(mixture.item.snr_db for mixture in mixtures)
    assert counts == Counter({0.0: (count + 1) // 2, 10.0: count // 2} if count > 1 else {0.0: 1})
    assert len(set(mixtures)) == count


def test_no_more_than_there_are(manifest: Path) -> None:
    assert len(planned(manifest, 1000)) == 12


def test_a_seed_gives_the_same_samples_and_another_one_others(manifest: Path) -> None:
    first, again, other = (planned(manifest, 4, seed) for seed in (1, 1, 2))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.read().noisy, two.read().noisy)
    assert [mixture.item.key for mixture in first] != [mixture.item.key for mixture in other]


def test_the_pair_is_the_item_and_its_speech(manifest: Path) -> None:
    for mixture in planned(manifest, 4, snrs_db=(-30, 10)):
        clean, noisy = mixture.read()
        np.testing.assert_array_equal(noisy, read_item(mixture.item)[0])
        assert snr_db(clean, noisy) == pytest.approx(mixture.item.snr_db, abs=0.01)
        assert np.abs(noisy).max() <= 0.99 + 1e-6


def test_clean_speech_is_a_condition_too(manifest: Path) -> None:
    (mixture,) = planned(manifest, 1, snrs_db=(None,))
    clean, noisy = mixture.read()
    np.testing.assert_array_equal(clean, noisy)
    assert snr_db(clean, noisy) == np.inf


def test_mixtures_of_one_recording_are_one_group(manifest: Path) -> None:
    groups = Counter(mixture.group for mixture in planned(manifest, 12))
    assert set(groups.values()) == {2}


def test_recordings_below_the_measures_rate_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(800, 0.1), 8000)
    (tmp_path / "m.jsonl").write_text('{"audio": "a.wav"}\n{"audio": "a.wav", "set": "noise"}')
    with pytest.raises(AudioFormatError, match="16000 Hz or more"):
        planned(tmp_path / "m.jsonl", 1)[0].read()
