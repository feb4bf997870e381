"""What speech passes on its way to a recogniser: a telephone line, and a room."""

from __future__ import annotations

import numpy as np

from gtcrn_frontend.audio import g711
from gtcrn_frontend.audio.resampler import resampled
from gtcrn_frontend.audio.types import F32

TELEPHONE_HZ = 8_000
RESPONSE_S = 1.0
"""An impulse response is cut after this time."""


def telephone(samples: F32, sample_rate: int, law: g711.Law = "mulaw") -> F32:
    """Returns samples `(n,)` as a narrow-band telephone line delivers them, at `TELEPHONE_HZ`: G.711, full scale 1.

    Args:
        samples: `(n,)`, full scale 1; louder ones are clipped.
        sample_rate: of the samples in Hz.
        law: `mulaw` (North America, Japan) or `alaw`.
    """
    narrow = samples if sample_rate == TELEPHONE_HZ else resampled(samples, sample_rate, TELEPHONE_HZ)
    return g711.decode(g711.encode(narrow, law), law)


def reverberant(speech: F32, response: F32, sample_rate: int) -> F32:
    """Returns speech `(n,)` in a room, aligned with the input: the direct path has no delay.

    The response is normalised to unit energy, so that the level stays about the same.

    Args:
        speech: `(n,)`, full scale 1.
        response: impulse response `(m,)` at the same rate; what comes before its highest peak is left out.
        sample_rate: of both in Hz.
    """
    start = int(np.abs(response).argmax())
    tail = response[start : start + round(RESPONSE_S * sample_rate)].astype(np.float64)
    energy = float(np.square(tail).sum())
    if not len(speech) or energy == 0:
        return speech
    size = 1 << (len(speech) + len(tail) - 1).bit_length()
    spectrum = np.fft.rfft(speech, size) * np.fft.rfft(tail / np.sqrt(energy), size)
    return np.asarray(np.fft.irfft(spectrum, size)[: len(speech)], np.float32)
