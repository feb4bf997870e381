"""DNSMOS: predicted mean opinion scores of a signal, without a reference.

P.835 rates speech, background and overall quality (Reddy et al., "DNSMOS P.835: A non-intrusive perceptual objective
speech quality metric to evaluate noise suppressors", ICASSP 2022); P.808 rates overall quality. The models are
Microsoft's and are not part of this package: the user names a folder that holds them. Segments, features and
polynomials follow the scripts published with the models, so that scores are comparable with published ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from gtcrn_frontend.audio.mel import mel_filters, power_spectrum
from gtcrn_frontend.errors import AudioFormatError, ModelError

P835_FILE = "sig_bak_ovr.onnx"
P808_FILE = "model_v8.onnx"
SOURCE_URL = "https://github.com/microsoft/DNS-Challenge/tree/master/DNSMOS/DNSMOS"

SAMPLE_RATE_HZ = 16000
SEGMENT_SAMPLES = 144160  # 9.01 s
STEP_SAMPLES = 16000

# From the network's output to MOS, non-personalised model: coefficients of x^2, x, 1.
SIG_POLYNOMIAL = (-0.08397278, 1.22083953, 0.0052439)
BAK_POLYNOMIAL = (-0.13166888, 1.60915514, -0.39604546)
OVRL_POLYNOMIAL = (-0.06766283, 1.11546468, 0.04602535)

MEL_BANDS = 120
MEL_N_FFT = 321
MEL_HOP_SAMPLES = 160
MEL_LEFT_OUT_SAMPLES = 160  # so that a segment has 900 frames
MEL_POWER_FLOOR = 1e-10
MEL_RANGE_DB = 80.0


class DNSMOSScores(NamedTuple):
    """Mean opinion scores, about 1 to 5; the first three are P.835's."""

    sig: float
    bak: float
    ovrl: float
    p808: float


class DNSMOS:
    """Both DNSMOS models, loaded once; call it on a signal.

    Args:
        folder: holds `sig_bak_ovr.onnx` (P.835) and `model_v8.onnx` (P.808).
        num_threads: threads of each model.

    Raises:
        ModelError: a file is absent or is not such a model.
    """

    def __init__(self, folder: str | Path, num_threads: int = 1) -> None:
        self._p835 = _load(Path(folder) / P835_FILE, [SEGMENT_SAMPLES], num_threads)
        self._p808 = _load(Path(folder) / P808_FILE, [900, MEL_BANDS], num_threads)

    def __call__(self, samples: NDArray[np.floating], sample_rate: int) -> DNSMOSScores:
        """Returns the scores, averaged over segments of 9.01 s taken every second.

        Args:
            samples: `(n,)`, full scale 1, n > 0. Shorter than a segment: doubled until it is as long as one.
            sample_rate: 16000 Hz.

        Raises:
            AudioFormatError: another sample rate or shape, no samples, values that are not finite.
        """
        segments = _segments(_checked(samples, sample_rate))
        ratings = np.mean([self._rate(segment) for segment in segments], axis=0)
        return DNSMOSScores(*ratings.tolist())

    def _rate(self, segment: NDArray[np.float32]) -> tuple[float, ...]:
        raw = self._p835.run(None, {"input_1": segment[None]})[0][0]
        p835 = (np.polyval(c, x) for c, x in zip((SIG_POLYNOMIAL, BAK_POLYNOMIAL, OVRL_POLYNOMIAL), raw, strict=True))
        p808 = self._p808.run(None, {"input_1": p808_features(segment)[None]})[0][0, 0]
        return (*(float(score) for score in p835), float(p808))


def p808_features(segment: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the input features of the P.808 model for a segment `(144160,)`: `(900, 120)` in -1 to 1.

    A mel spectrogram as librosa makes it (periodic Hann window, zeros around the ends, filters of unit area), in dB
    below its maximum, at most 80 dB down, then (dB + 40) / 40.
    """
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(MEL_N_FFT) / MEL_N_FFT)
    padded = np.pad(segment[:-MEL_LEFT_OUT_SAMPLES], MEL_N_FFT // 2)
    filters = mel_filters(SAMPLE_RATE_HZ, MEL_N_FFT, MEL_BANDS, unit_area=True)
    power = power_spectrum(padded, window, MEL_N_FFT, MEL_HOP_SAMPLES) @ filters.T
    level_db = 10 * np.log10(np.maximum(power, MEL_POWER_FLOOR))
    below_maximum_db = np.maximum(level_db - level_db.max(), -MEL_RANGE_DB)
    features: NDArray[np.float32] = ((below_maximum_db + 40) / 40).astype(np.float32)
    return features


def _segments(samples: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Returns the segments that are rated.

    As in the published scripts one starts only where 10 s (or the whole signal) remain; unlike there, segments
    after the seventh are not lost to a rounding error of one sample.
    """
    while len(samples) < SEGMENT_SAMPLES:
        samples = np.tile(samples, 2)
    count = max(1, len(samples) // STEP_SAMPLES - SEGMENT_SAMPLES // STEP_SAMPLES)
    return [samples[start : start + SEGMENT_SAMPLES] for start in range(0, count * STEP_SAMPLES, STEP_SAMPLES)]


def _checked(samples: NDArray[np.floating], sample_rate: int) -> NDArray[np.float32]:
    if sample_rate != SAMPLE_RATE_HZ:
        raise AudioFormatError(f"DNSMOS expects {SAMPLE_RATE_HZ} Hz, got {sample_rate} Hz: resample the signal")
    if samples.ndim != 1 or not samples.size or not np.isfinite(samples).all():
        raise AudioFormatError(f"DNSMOS expects finite samples of shape (n,), n > 0, got shape {samples.shape}")
    return samples.astype(np.float32)


def _load(path: Path, input_shape: list[int], num_threads: int) -> onnxruntime.InferenceSession:
    """Returns a session on a model whose one input has the shape `(N, *input_shape)`."""
    if not path.is_file():
        raise ModelError(f"expected the DNSMOS model {path}, found no such file: get it from {SOURCE_URL}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own error classes share no base but this
        raise ModelError(f"expected a DNSMOS model in {path}, it does not load: {error}") from error
    shapes = [model_input.shape[1:] for model_input in session.get_inputs()]
    if shapes != [input_shape]:
        raise ModelError(
            f"expected one input of shape (N, {input_shape}) in {path}, got {shapes}: not that DNSMOS model"
        )
    return session
