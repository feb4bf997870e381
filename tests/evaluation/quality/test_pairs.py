from pathlib import Path

import numpy as np
import pytest
import soundfile

from gtcrn_frontend.errors import AudioFormatError, ConfigError
from gtcrn_frontend.evaluation.quality.pairs import RATE_HZ, find_pairs, match_folders


def write(path: Path, seconds: float = 0.1, rate: int = RATE_HZ, level: float = 0.1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(len(path.name)).normal(0, level, round(seconds * rate))
    soundfile.write(path, samples, rate, subtype="FLOAT" if path.suffix == ".wav" else None)
    return path


def test_pairs_of_one_folder_go_by_their_endings(tmp_path: Path) -> None:
    for name in ("b_clean.wav", "b_noisy.flac", "a_clean.wav", "a_noisy.wav", "deep/a_clean.wav", "deep/a_noisy.wav"):
        write(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no audio")
    pairs = find_pairs(tmp_path)
    assert [pair.name for pair in pairs] == ["a", "b", "deep/a"]
    assert pairs[1].noisy.name == "b_noisy.flac"
    clean, noisy = pairs[0].read()
    assert clean.dtype == noisy.dtype == np.float32
    np.testing.assert_array_equal(clean, soundfile.read(tmp_path / "a_clean.wav", dtype="float32")[0])
    np.testing.assert_array_equal(noisy, soundfile.read(tmp_path / "a_noisy.wav", dtype="float32")[0])


def test_two_folders_inside_go_by_their_names(tmp_path: Path) -> None:
    for name in ("p1.wav", "sub/p2.wav"):
        write(tmp_path / "clean_testset_wav" / name)
        write(tmp_path / "noisy_testset_wav" / name)
    assert [pair.name for pair in find_pairs(tmp_path)] == ["p1", "sub/p2"]
    named = match_folders(tmp_path / "clean_testset_wav", tmp_path / "noisy_testset_wav")
    assert named == find_pairs(tmp_path)


def test_higher_rates_are_lowered_and_stay_aligned(tmp_path: Path) -> None:
    times = np.arange(4800) / 48000
    tone = (0.3 * np.sin(2 * np.pi * 400 * times)).astype(np.float32)
    for kind in ("clean", "noisy"):
        soundfile.write(tmp_path / f"a_{kind}.wav", tone, 48000, subtype="FLOAT")
    clean, noisy = find_pairs(tmp_path)[0].read()
    assert clean.shape == noisy.shape == (1600,)
    np.testing.assert_allclose(clean[200:-200], tone[::3][200:-200], atol=1e-3)


def test_a_file_without_counterpart_fails_alone(tmp_path: Path) -> None:
    for name in ("a_clean.wav", "a_noisy.wav", "b_clean.wav", "c_noisy.wav"):
        write(tmp_path / name)
    pair, *others = find_pairs(tmp_path)
    assert (pair.name, *(other.name for other in others)) == ("a", "b", "c")
    assert pair.read().clean.shape == (1600,)
    for other, file in zip(others, ("b_clean", "c_noisy"), strict=True):
        with pytest.raises(AudioFormatError, match=rf"{file}\.wav: .*found no counterpart"):
            other.read()


def test_files_without_any_counterpart_are_named(tmp_path: Path) -> None:
    for name in ("b_clean.wav", "c_noisy.wav", *(f"{name}_noisy.wav" for name in "defg")):
        write(tmp_path / name)
    with pytest.raises(ConfigError, match=r"no counterpart of .*b_clean\.wav, .*c_noisy.* and 3 more"):
        find_pairs(tmp_path)


@pytest.mark.parametrize(("seconds", "rate"), [(0.2, RATE_HZ), (0.1, 48000)])
def test_other_lengths_and_rates_are_refused(tmp_path: Path, seconds: float, rate: int) -> None:
    write(tmp_path / "a_clean.wav")
    write(tmp_path / "a_noisy.wav", seconds, rate)
    with pytest.raises(AudioFormatError, match=r"a_noisy\.wav: expected 1600 samples at 16000 Hz as in .*a_clean\.wav"):
        find_pairs(tmp_path)


def test_rates_below_the_measures_own_are_refused(tmp_path: Path) -> None:
    for kind in ("clean", "noisy"):
        write(tmp_path / f"a_{kind}.wav", rate=8000)
    with pytest.raises(AudioFormatError, match="expected 16000 Hz or more, got 8000 Hz"):
        find_pairs(tmp_path)


def test_folders_of_no_use_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="found none"):
        find_pairs(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="found 0 other audio files"):
        find_pairs(tmp_path / "empty")
    with pytest.raises(ConfigError, match="same names, found none"):
        match_folders(tmp_path / "empty", tmp_path / "empty")
    with pytest.raises(ConfigError, match="found none"):
        match_folders(tmp_path / "empty", tmp_path / "nowhere")


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("a_clean.wav", "a_clean.flac", "a_noisy.wav"):
        write(tmp_path / name)
    with pytest.raises(ConfigError, match="expected one file a_clean"):
        find_pairs(tmp_path)


def test_a_damaged_file_is_named_when_it_is_found(tmp_path: Path) -> None:
    write(tmp_path / "a_clean.wav")
    (tmp_path / "a_noisy.wav").write_bytes(b"RIFF not really")
    with pytest.raises(AudioFormatError, match=r"a_noisy\.wav"):
        find_pairs(tmp_path)


def test_one_bad_pair_does_not_end_the_others(tmp_path: Path) -> None:
    for name in ("a_clean.wav", "a_noisy.wav", "b_clean.wav", "b_noisy.wav"):
        write(tmp_path / name)
    (tmp_path / "a_noisy.wav").write_text("no audio")
    bad, good = find_pairs(tmp_path)
    assert len(good.read().clean) > 0
    with pytest.raises(AudioFormatError, match=r"a_noisy\.wav"):
        bad.read()
    (tmp_path / "b_clean.wav").write_text("no audio")
    with pytest.raises(AudioFormatError, match=r"a_noisy\.wav"):
        find_pairs(tmp_path)
