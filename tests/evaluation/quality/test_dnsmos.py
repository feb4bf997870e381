"""DNSMOS: features against librosa's figures; with the models at hand, known scores and segmentation."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gtcrn_frontend.errors import AudioFormatError, ModelError
from gtcrn_frontend.evaluation.quality.dnsmos import DNSMOS, P808_FILE, P835_FILE, SEGMENT_SAMPLES, p808_features

RATE_HZ = 16000


@pytest.fixture(scope="module")
def dnsmos(shared: Path) -> DNSMOS:
    return DNSMOS(shared / "dnsmos")


def test_features_are_those_of_librosa() -> None:
    # Figures of librosa 0.11: melspectrogram, power_to_db(ref=max), (dB + 40) / 40 of the same samples.
    bow = np.sin(np.arange(SEGMENT_SAMPLES) / SEGMENT_SAMPLES * np.pi).astype(np.float32)
    noise = np.random.default_rng(20261120).standard_normal(SEGMENT_SAMPLES).astype(np.float32)
    features = p808_features(noise * np.float32(0.1) * bow)
    assert features.shape == (900, 120)
    assert features.dtype == np.float32
    assert features.max() == 1
    assert features.min() == -1
    assert features.mean() == pytest.approx(0.4197338, abs=1e-5)
    picked = features[[0, 450, 450, 450, 899], [5, 5, 60, 119, 119]]
    expected = [-0.8650509, 0.78298664, 0.68835896, 0.6592843, -0.55191916]
    np.testing.assert_allclose(picked, expected, atol=1e-4)


def test_features_do_not_depend_on_level() -> None:
    noise = 0.1 * np.random.default_rng(1).standard_normal(SEGMENT_SAMPLES).astype(np.float32)
    np.testing.assert_allclose(p808_features(noise), p808_features(noise / 8), atol=1e-5)


def test_features_of_silence_are_finite() -> None:
    assert np.isfinite(p808_features(np.zeros(SEGMENT_SAMPLES, np.float32))).all()


def test_noisy_pairs_have_their_known_scores_and_clean_ones_are_better(shared: Path, dnsmos: DNSMOS) -> None:
    noisy_scores, clean_scores = [], []
    for path in sorted((shared / "audio" / "pairs").glob("*_clean.flac")):
        clean, rate_hz = soundfile.read(path)
        noisy, _ = soundfile.read(path.with_name(path.name.replace("_clean", "_noisy")))
        noisy_scores.append(dnsmos(noisy, rate_hz))
        clean_scores.append(dnsmos(clean, rate_hz))
    sig, bak, ovrl, _ = np.mean(noisy_scores, axis=0)
    assert (sig, bak, ovrl) == pytest.approx((2.99, 2.03, 2.02), abs=0.02)
    for noisy_score, clean_score in zip(noisy_scores, clean_scores, strict=True):
        assert clean_score.ovrl > noisy_score.ovrl + 0.5
        assert clean_score.bak > noisy_score.bak + 0.5
        assert clean_score.p808 > noisy_score.p808


def test_segments_start_every_second(dnsmos: DNSMOS) -> None:
    signal = 0.1 * np.random.default_rng(1).standard_normal(11 * RATE_HZ)
    signal[5 * RATE_HZ :] *= np.sin(np.arange(6 * RATE_HZ) / 1000)
    segments = [dnsmos(signal[start : start + SEGMENT_SAMPLES], RATE_HZ) for start in (0, RATE_HZ)]
    assert dnsmos(signal, RATE_HZ) == pytest.approx(tuple(np.mean(segments, axis=0)), abs=1e-5)
    assert segments[0].ovrl != pytest.approx(segments[1].ovrl, abs=1e-3)


def test_the_rest_after_the_last_whole_second_is_not_rated(dnsmos: DNSMOS) -> None:
    signal = 0.1 * np.random.default_rng(1).standard_normal(11 * RATE_HZ - 1)
    assert dnsmos(signal, RATE_HZ) == pytest.approx(dnsmos(signal[:SEGMENT_SAMPLES], RATE_HZ), abs=1e-6)


def test_short_signals_are_doubled(dnsmos: DNSMOS) -> None:
    signal = 0.1 * np.random.default_rng(1).standard_normal(3 * RATE_HZ)
    assert dnsmos(signal, RATE_HZ) == pytest.approx(dnsmos(np.tile(signal, 4), RATE_HZ), abs=1e-6)


def test_signals_that_do_not_fit_are_refused(dnsmos: DNSMOS) -> None:
    signal = np.zeros(RATE_HZ)
    for samples in (signal[:0], signal[None], signal + np.inf):
        with pytest.raises(AudioFormatError, match="finite samples of shape"):
            dnsmos(samples, RATE_HZ)
    with pytest.raises(AudioFormatError, match="16000 Hz, got 48000 Hz"):
        dnsmos(signal, 48000)


def test_a_folder_without_the_models_names_the_file_and_its_source(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=rf"{P835_FILE}.*https://"):
        DNSMOS(tmp_path)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / P835_FILE).write_bytes(b"no model")
    with pytest.raises(ModelError, match="does not load"):
        DNSMOS(tmp_path)


def test_another_model_is_refused(shared: Path, tmp_path: Path) -> None:
    shutil.copy(shared / "dnsmos" / P808_FILE, tmp_path / P835_FILE)
    with pytest.raises(ModelError, match="not that DNSMOS model"):
        DNSMOS(tmp_path)
