"""Signal metrics of an estimate against its clean reference: pure functions on 1-D arrays of equal length.

A metric that is not defined for a pair (silence, no speech found, too short) is nan: the caller decides whether to
leave the pair out, and can count it. Samples that cannot be measured at all raise `AudioFormatError`.
"""

from __future__ import annotations

import importlib
import warnings
from functools import lru_cache
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from gtcrn_frontend.audio.mel import mel_filters, power_spectrum
from gtcrn_frontend.errors import AudioFormatError, ModelError
from gtcrn_frontend.install_hint import install_hint

Signal = NDArray[np.floating]

PESQ_WB_RATE_HZ = 16000
STOI_MIN_MS = 384  # one segment of 30 frames of 12.8 ms

MEL_BANDS = 80
MEL_FRAME_MS = 25
MEL_HOP_MS = 10
MEL_FLOOR = -12.0  # natural log; samples in [-1, 1]
ACTIVE_RANGE_DB = 40.0  # frames this far below the loudest one count as pauses, as in STOI


def si_snr(reference: Signal, estimate: Signal) -> float:
    """Returns the scale-invariant signal-to-noise ratio in dB.

    With both signals' means removed, s the reference and e the estimate: a = <e, s> / <s, s> and
    SI-SNR = 10 log10(|a s|^2 / |e - a s|^2). Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019, section 2.

    Args:
        reference, estimate: `(n,)`, any unit.

    Returns:
        -inf to +inf (an estimate that is the reference times a factor); nan if either signal is constant.

    Raises:
        AudioFormatError: shapes that differ or are not `(n,)`, values that are not finite.
    """
    s, e = _checked(reference, estimate)
    s, e = s - s.mean(), e - e.mean()
    if not s.any() or not e.any():
        return float("nan")
    target = (e @ s) / (s @ s) * s
    residual = e - target
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(target @ target) - 10 * np.log10(residual @ residual))


def pesq_wb(reference: Signal, estimate: Signal, sample_rate: int) -> float:
    """Returns wide-band PESQ (ITU-T P.862.2) as MOS-LQO, 1.04 to 4.64.

    Args:
        reference, estimate: `(n,)`, full scale 1.
        sample_rate: 16000 Hz; wide-band PESQ is defined for nothing else here.

    Returns:
        The score; nan where PESQ finds no utterance (silence, estimate included) or less than 0.25 s of signal.

    Raises:
        AudioFormatError: another sample rate, shapes that differ or are not `(n,)`, values that are not finite.
        ModelError: the package `pesq` is not installed.
    """
    s, e = _checked(reference, estimate)
    if sample_rate != PESQ_WB_RATE_HZ:
        raise AudioFormatError(
            f"wide-band PESQ expects {PESQ_WB_RATE_HZ} Hz, got {sample_rate} Hz: resample both signals"
        )
    pesq = _optional("pesq")
    if not s.any() or not e.any():
        return float("nan")  # the C code divides by the level of both
    try:
        return float(pesq.pesq(sample_rate, s.astype(np.float32), e.astype(np.float32), "wb"))
    except (pesq.NoUtterancesError, pesq.BufferTooShortError):
        return float("nan")


def stoi(reference: Signal, estimate: Signal, sample_rate: int) -> float:
    """Returns the short-time objective intelligibility, at most 1 (Taal et al., IEEE TASLP 19(7), 2011).

    Args:
        reference, estimate: `(n,)`, any unit.
        sample_rate: in Hz; resampled to 10 kHz inside.

    Returns:
        The mean correlation; nan where the reference is silent or has less than 384 ms of speech.

    Raises:
        AudioFormatError: shapes that differ or are not `(n,)`, values that are not finite.
        ModelError: the package `pystoi` is not installed.
    """
    s, e = _checked(reference, estimate)
    pystoi = _optional("pystoi")
    if not s.any() or len(s) * 1000 < sample_rate * STOI_MIN_MS:
        return float("nan")
    with warnings.catch_warnings():
        # pystoi warns and returns 1e-5 where too few frames are left: that is no score.
        warnings.filterwarnings("error", message="Not enough STFT frames", category=RuntimeWarning)
        try:
            return float(pystoi.stoi(s, e, sample_rate))
        except RuntimeWarning:
            return float("nan")


def log_mel_distance(reference: Signal, estimate: Signal, sample_rate: int) -> float:
    """Returns the mean absolute difference of log-mel energies on frames with speech.

    Frames of 25 ms every 10 ms, periodic Hann window; 80 triangular mel bands (peak 1) of the power spectrum of
    samples in [-1, 1]; natural logarithm, not below -12. A frame has speech if the reference's energy in it is
    within 40 dB of the reference's loudest frame. The mean goes over those frames and all bands.

    Args:
        reference, estimate: `(n,)`, full scale 1; levels matter.
        sample_rate: in Hz.

    Returns:
        0 (identical) upwards, in natural-log units of energy (0.23 is 1 dB); nan where the reference is silent or
        shorter than a frame.

    Raises:
        AudioFormatError: shapes that differ or are not `(n,)`, values that are not finite.
    """
    s, e = _checked(reference, estimate)
    window_length = sample_rate * MEL_FRAME_MS // 1000
    if len(s) < window_length or not s.any():
        return float("nan")
    reference_mel, estimate_mel = (_log_mel(x, sample_rate, window_length) for x in (s, e))
    frames = np.lib.stride_tricks.sliding_window_view(s, window_length)[:: sample_rate * MEL_HOP_MS // 1000]
    energy = np.square(frames).sum(axis=1)
    active = energy >= energy.max() * 10 ** (-ACTIVE_RANGE_DB / 10)
    return float(np.abs(reference_mel - estimate_mel)[active].mean())


def _log_mel(signal: NDArray[np.float64], sample_rate: int, window_length: int) -> NDArray[np.float64]:
    """Returns floored natural-log mel energies `(frames, 80)`."""
    window, filters = _mel_tables(sample_rate, window_length)
    n_fft = 2 * (filters.shape[1] - 1)
    energies = power_spectrum(signal, window, n_fft, sample_rate * MEL_HOP_MS // 1000) @ filters.T
    return np.log(np.maximum(energies, np.exp(MEL_FLOOR)))


@lru_cache(maxsize=8)
def _mel_tables(sample_rate: int, window_length: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n_fft = 1 << (window_length - 1).bit_length()
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window_length) / window_length)
    return window, mel_filters(sample_rate, n_fft, MEL_BANDS, unit_area=False)


def _checked(reference: Signal, estimate: Signal) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns both signals as float64 after checking shape and values."""
    shapes = np.shape(reference), np.shape(estimate)
    if len(shapes[0]) != 1 or shapes[0] != shapes[1] or not shapes[0][0]:
        raise AudioFormatError(
            f"expected two signals of the same shape (n,), n > 0, got {shapes[0]} and {shapes[1]}: align them first"
        )
    s, e = np.asarray(reference, np.float64), np.asarray(estimate, np.float64)
    if not (np.isfinite(s).all() and np.isfinite(e).all()):
        raise AudioFormatError("expected finite samples, got NaN or infinity in the reference or the estimate")
    return s, e


def _optional(package: str) -> ModuleType:
    """Returns an imported package of the extra `evaluate`."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ModelError(f"this metric needs the package {package}: {install_hint('evaluate')} ({error})") from error
