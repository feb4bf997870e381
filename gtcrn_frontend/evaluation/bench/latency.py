"""Algorithmic latency of any denoiser, found by comparing its output with its input."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.evaluation.bench.streams import Samples

SECONDS = 4
_MIN_CORRELATION = 0.5
_PITCH_HZ, _HARMONICS, _MAX_HZ = 130, 60, 7000
_FORMANTS_HZ = ((500, 250, 2.3, 90), (1500, 500, 1.7, 120), (2600, 200, 1.1, 180))  # mean, swing, swings/s, width
_SYLLABLES_HZ = 2


def measured_latency_ms(process: Callable[[F32], Samples], sample_rate: int, hop_length: int) -> float | None:
    """Returns the longest that a sample waits, in milliseconds and without computing time.

    The stream gets clean synthetic speech hop by hop. The maximum of the cross-correlation says by how many samples the
    output lags behind the input, and the lengths of the outputs say when a sample arrives.

    Args:
        process: a fresh stream.
        sample_rate: of the stream in Hz.
        hop_length: samples per call.

    Returns:
        The latency; None if the output is too different from the input to be compared with it.
    """
    speech = synthetic_speech(sample_rate, SECONDS)
    outputs: list[F32] = []
    waits = []
    samples_in = samples_out = 0
    for start in range(0, len(speech) - hop_length + 1, hop_length):
        output = np.asarray(process(speech[start : start + hop_length]), np.float32)
        samples_in += hop_length
        if len(output):
            waits.append(samples_in - samples_out)  # of the first sample of the output, if it did not lag behind
        samples_out += len(output)
        outputs.append(output)
    lag = _lag(speech, np.concatenate(outputs))
    # The second half: once a stream has started, it delivers steadily.
    return None if lag is None else 1000 * (max(waits[len(waits) // 2 :]) + lag) / sample_rate


def synthetic_speech(sample_rate: int, seconds: float) -> F32:
    """Returns a voice without words, `(n,)`: harmonics of a gliding pitch, three moving formants, syllables.

    Denoisers let it pass, and it resembles itself at one lag only.
    """
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    pitch = _PITCH_HZ * (1 + 0.2 * np.sin(2 * np.pi * 0.7 * t) + 0.1 * np.sin(2 * np.pi * 1.9 * t + 1))
    phase = 2 * np.pi * np.cumsum(pitch) / sample_rate
    formants = [
        (mean + swing * np.sin(2 * np.pi * rate * t + number), width)
        for number, (mean, swing, rate, width) in enumerate(_FORMANTS_HZ)
    ]
    voice = np.zeros(len(t))
    for harmonic in range(1, _HARMONICS):
        hz = harmonic * pitch
        gain = sum(
            1 / (1 + ((hz - centre) / width) ** 2) / number for number, (centre, width) in enumerate(formants, 1)
        )
        voice += np.where(hz < _MAX_HZ, gain, 0) * np.cos(harmonic * phase)
    voice *= np.maximum(0, np.sin(2 * np.pi * _SYLLABLES_HZ * t) + 0.3)
    speech: F32 = (0.4 / np.abs(voice).max() * voice).astype(np.float32)
    return speech


def _lag(before: F32, after: F32) -> int | None:
    """Samples from 0 to a quarter of the input by which `after` lags; None if the two do not correlate."""
    size = 2 * max(len(before), len(after))
    spectrum = np.conj(np.fft.rfft(before, size)) * np.fft.rfft(after, size)
    correlation = np.fft.irfft(spectrum, size)[: len(before) // 4]
    lag = int(np.argmax(correlation))
    norm = np.linalg.norm(before) * np.linalg.norm(after)
    return lag if correlation[lag] > _MIN_CORRELATION * norm else None
