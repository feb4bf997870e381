"""The measures against hand-computed values, their defining properties, and figures known for real pairs."""

import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gtcrn_frontend.errors import AudioFormatError, ModelError
from gtcrn_frontend.evaluation.quality.metrics import log_mel_distance, pesq_wb, si_snr, stoi

RATE_HZ = 16000
Metric = Callable[[NDArray[np.float64], NDArray[np.float64]], float]


def at_rate(measure: Callable[[NDArray[np.float64], NDArray[np.float64], int], float]) -> Metric:
    return lambda reference, estimate: measure(reference, estimate, RATE_HZ)


MEASURES = [si_snr, at_rate(pesq_wb), at_rate(stoi), at_rate(log_mel_distance)]
MEASURE_IDS = ["si_snr", "pesq_wb", "stoi", "log_mel_distance"]


def voice(seconds: float = 3.0) -> NDArray[np.float64]:
    """A buzz with gliding pitch and syllables: enough of a voice for PESQ and STOI."""
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * t)) / RATE_HZ
    buzz = sum(np.sin(k * phase) / k for k in range(1, 40))
    return np.asarray(0.1 * buzz * np.maximum(0, np.sin(2 * np.pi * 3 * t)))


def with_noise(signal: NDArray[np.float64], snr_db: float) -> NDArray[np.float64]:
    noise = np.random.default_rng(7).standard_normal(len(signal))
    return signal + noise * np.sqrt(np.mean(signal**2)) * 10 ** (-snr_db / 20)


@pytest.mark.parametrize("ratio", [0.1, 1.0, 10.0])
def test_si_snr_of_orthogonal_noise_is_the_ratio_of_powers(ratio: float) -> None:
    angle = 2 * np.pi * 5 * np.arange(1000) / 1000
    assert si_snr(np.sin(angle), np.sin(angle) + ratio * np.cos(angle)) == pytest.approx(-20 * math.log10(ratio))


def test_si_snr_by_hand() -> None:
    # Zero-mean s = (1, -1, 0, 0), e = (2, 0, -1, -1): <e,s> = 2, <s,s> = 2, a = 1, residual (1, 1, -1, -1).
    assert si_snr(np.array([2.0, 0, 1, 1]), np.array([3.0, 1, 0, 0])) == pytest.approx(10 * math.log10(2 / 4))


@given(gain=st.floats(1e-3, 1e3), sign=st.sampled_from([-1, 1]), offset=st.floats(-1, 1))
def test_si_snr_ignores_gain_sign_and_offset(gain: float, sign: int, offset: float) -> None:
    reference, estimate = voice(0.5), with_noise(voice(0.5), 3)
    assert si_snr(reference, sign * gain * estimate + offset) == pytest.approx(si_snr(reference, estimate), abs=1e-6)


def test_si_snr_of_a_scaled_reference_is_infinite() -> None:
    assert si_snr(np.array([1.0, -1.0, 0.5, -0.5]), np.array([2.0, -2.0, 1.0, -1.0])) == math.inf


def test_an_identical_signal_gets_the_best_score() -> None:
    signal = voice()
    assert pesq_wb(signal, signal, RATE_HZ) == pytest.approx(4.644, abs=1e-3)
    assert stoi(signal, signal, RATE_HZ) == pytest.approx(1, abs=1e-6)
    assert log_mel_distance(signal, signal, RATE_HZ) == 0


@pytest.mark.parametrize(("measure", "sign"), list(zip(MEASURES, (1, 1, 1, -1), strict=True)), ids=MEASURE_IDS)
def test_more_noise_scores_worse(measure: Metric, sign: int) -> None:
    signal = voice()
    scores = [sign * measure(signal, with_noise(signal, snr_db)) for snr_db in (5, 15, 25, 35)]
    assert scores == sorted(scores)
    assert scores[-1] > scores[0] + 0.05 * abs(scores[0])


@pytest.mark.parametrize("gain", [0.5, 3.0])
def test_log_mel_distance_of_a_gain_is_its_log_power(gain: float) -> None:
    noise = 0.1 * np.random.default_rng(3).standard_normal(RATE_HZ)
    assert log_mel_distance(noise, gain * noise, RATE_HZ) == pytest.approx(2 * abs(math.log(gain)), rel=1e-9)


def test_log_mel_distance_hears_nothing_in_pauses() -> None:
    signal = 0.1 * np.random.default_rng(3).standard_normal(RATE_HZ)
    signal[6000:12000] = 0
    estimate = signal.copy()
    estimate[7000:11000] = 0.05
    assert log_mel_distance(signal, estimate, RATE_HZ) == 0
    estimate[1000:2000] = 0
    assert log_mel_distance(signal, estimate, RATE_HZ) > 0.1


def test_log_mel_distance_has_a_floor() -> None:
    # Everything below ln energy -12 is equal, so silence is as far away as the reference is above the floor.
    signal = 0.1 * np.random.default_rng(3).standard_normal(RATE_HZ)
    silent, near_silent = np.zeros(RATE_HZ), 1e-7 * signal
    assert log_mel_distance(signal, silent, RATE_HZ) == log_mel_distance(signal, near_silent, RATE_HZ)
    assert 5 < log_mel_distance(signal, silent, RATE_HZ) < 20


@pytest.mark.parametrize("rate_hz", [8000, 22050, 48000])
def test_stoi_and_log_mel_distance_at_other_rates(rate_hz: int) -> None:
    noise = 0.1 * np.random.default_rng(3).standard_normal(rate_hz)
    assert stoi(noise, noise, rate_hz) == pytest.approx(1, abs=1e-6)
    assert log_mel_distance(noise, 2 * noise, rate_hz) == pytest.approx(2 * math.log(2), rel=1e-9)


@pytest.mark.parametrize("measure", MEASURES, ids=MEASURE_IDS)
def test_a_silent_reference_is_no_score(measure: Metric) -> None:
    assert math.isnan(measure(np.zeros(RATE_HZ), voice(1)))


@pytest.mark.parametrize("measure", [si_snr, at_rate(pesq_wb)], ids=["si_snr", "pesq_wb"])
def test_a_silent_estimate_is_no_score_for_relative_measures(measure: Metric) -> None:
    assert math.isnan(measure(voice(1), np.zeros(RATE_HZ)))


@pytest.mark.parametrize("n", [1, 100, 399, 3000])
@pytest.mark.parametrize("measure", MEASURES[1:3], ids=MEASURE_IDS[1:3])
def test_too_short_is_no_score(measure: Metric, n: int) -> None:
    assert math.isnan(measure(voice(1)[1000 : 1000 + n], voice(1)[1000 : 1000 + n]))


def test_less_than_a_mel_frame_is_no_score() -> None:
    assert math.isnan(log_mel_distance(voice(1)[1000:1399], voice(1)[1000:1399], RATE_HZ))
    assert log_mel_distance(voice(1)[1000:1400], voice(1)[1000:1400], RATE_HZ) == 0


@pytest.mark.parametrize("measure", MEASURES, ids=MEASURE_IDS)
def test_signals_that_do_not_fit_are_refused(measure: Metric) -> None:
    signal = voice(1)
    with_nan = signal.copy()
    with_nan[5] = np.nan
    for reference, estimate in [
        (signal, signal[1:]),
        (signal[None], signal[None]),
        (signal[:0], signal[:0]),
        (signal, with_nan),
        (with_nan, signal),
    ]:
        with pytest.raises(AudioFormatError, match="expected"):
            measure(reference, estimate)


def test_pesq_wb_refuses_other_rates() -> None:
    with pytest.raises(AudioFormatError, match="16000 Hz, got 8000 Hz"):
        pesq_wb(voice(1), voice(1), 8000)


@pytest.mark.parametrize(("package", "measure"), [("pesq", pesq_wb), ("pystoi", stoi)])
def test_an_absent_package_is_named_with_its_extra(
    package: str, measure: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModelError, match=rf"{package}.*\[evaluate\]"):
        measure(voice(1), voice(1), RATE_HZ)


def test_noisy_pairs_have_their_known_scores(shared: Path) -> None:
    scores = []
    for path in sorted((shared / "audio" / "pairs").glob("*_clean.flac")):
        clean, rate_hz = soundfile.read(path)
        noisy, _ = soundfile.read(path.with_name(path.name.replace("_clean", "_noisy")))
        scores.append((pesq_wb(clean, noisy, rate_hz), stoi(clean, noisy, rate_hz), si_snr(clean, noisy)))
    pesq_mean, stoi_mean, si_snr_mean = np.mean(scores, axis=0)
    assert pesq_mean == pytest.approx(1.17, abs=0.01)
    assert stoi_mean == pytest.approx(0.858, abs=0.001)
    assert si_snr_mean == pytest.approx(1.0, abs=0.05)
