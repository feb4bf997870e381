"""Mel filters and power spectra against librosa 0.11's figures and hand-computed ones."""

import numpy as np
import pytest

from gtcrn_frontend.audio.mel import hz_to_mel, mel_filters, mel_to_hz, power_spectrum


def test_mel_scale_at_its_defining_points() -> None:
    assert hz_to_mel(0) == 0
    assert hz_to_mel(500) == pytest.approx(7.5)
    assert hz_to_mel(1000) == pytest.approx(15)
    assert hz_to_mel(6400) == pytest.approx(42)


def test_mel_scale_inverts() -> None:
    hz = np.linspace(0, 24000, 97)
    mel = np.array([hz_to_mel(x) for x in hz])
    np.testing.assert_allclose(mel_to_hz(mel), hz, atol=1e-8)


@pytest.mark.parametrize(
    ("n_fft", "bands", "unit_area", "total", "band", "peak", "peak_bin"),
    [(321, 120, True, 2.3975034, 60, 0.014328803, 34), (512, 80, False, 250.50479, 40, 0.95525783, 55)],
)
def test_filters_are_those_of_librosa(
    n_fft: int, bands: int, unit_area: bool, total: float, band: int, peak: float, peak_bin: int
) -> None:
    filters = mel_filters(16000, n_fft, bands, unit_area=unit_area)
    assert filters.shape == (bands, n_fft // 2 + 1)
    assert filters.sum() == pytest.approx(total, rel=1e-6)
    assert filters[band].max() == pytest.approx(peak, rel=1e-6)
    assert filters[band].argmax() == peak_bin


def test_unit_area_filters_have_area_one() -> None:
    n_fft = 1 << 16
    areas = mel_filters(16000, n_fft, 40, unit_area=True).sum(axis=1) * 16000 / n_fft
    np.testing.assert_allclose(areas, 1, rtol=1e-3)


def test_power_spectrum_of_a_cosine_on_a_bin() -> None:
    n = np.arange(256 + 3 * 100)
    power = power_spectrum(0.5 * np.cos(2 * np.pi * 10 * n / 256), np.ones(256), 256, 100)
    expected = np.zeros((4, 129))
    expected[:, 10] = (0.5 * 256 / 2) ** 2
    np.testing.assert_allclose(power, expected, atol=1e-9)


def test_power_spectrum_keeps_the_energy() -> None:
    frame = np.random.default_rng(1).standard_normal(400)
    power = power_spectrum(frame, np.ones(400), 512, 160)[0]
    two_sided = 2 * power.sum() - power[0] - power[-1]
    assert two_sided / 512 == pytest.approx(frame @ frame)
