"""G.711, the companding of telephone networks: mu-law and A-law at 8 bits per sample.

Source: ITU-T Recommendation G.711 (1988). A code is the sign, three bits for the segment, four within it.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt

Law = Literal["mulaw", "alaw"]
LAWS: tuple[Law, ...] = ("mulaw", "alaw")

SAMPLE_RATE_HZ = 8000
FULL_SCALE = 32768.0  # levels are those of 16-bit samples
MULAW_BIAS = 0x84
ALAW_TOGGLE = 0x55  # every second bit of a code is inverted on the line


def law_of(name: str) -> Law | None:
    """Returns the law of this name; None if it names something else, such as a format of linear PCM."""
    return next((law for law in LAWS if law == name), None)


def decode(codes: npt.NDArray[np.uint8], law: Law) -> npt.NDArray[np.float32]:
    """Returns the samples of codes, both of any shape; full scale 1."""
    return _levels(law)[codes]


def encode(samples: npt.NDArray[np.floating], law: Law) -> npt.NDArray[np.uint8]:
    """Returns the codes of the levels nearest to samples of any shape; full scale 1, louder ones are clipped."""
    levels, order = _sorted_levels(law)
    return order[np.searchsorted((levels[1:] + levels[:-1]) / 2, samples)]


def decode_int16(codes: npt.NDArray[np.uint8], law: Law) -> npt.NDArray[np.int16]:
    """Returns the samples of codes as 16-bit integers, which hold every level exactly."""
    return _int16_levels(law)[codes]


def encode_int16(samples: npt.NDArray[np.int16], law: Law) -> npt.NDArray[np.uint8]:
    """Returns the codes of 16-bit integers, those of `encode`."""
    return _int16_codes(law)[samples.astype("=i2", copy=False).view(np.uint16)]


@cache
def _levels(law: Law) -> npt.NDArray[np.float32]:
    """Returns the level of each of the 256 codes."""
    codes = np.arange(256)
    codes = ~codes & 0xFF if law == "mulaw" else codes ^ ALAW_TOGGLE
    negative_bit, segment, step = codes & 0x80, codes >> 4 & 7, codes & 0xF
    if law == "mulaw":
        magnitude = (((step << 3) + MULAW_BIAS) << segment) - MULAW_BIAS
        sign = np.where(negative_bit, -1, 1)
    else:
        magnitude = np.where(segment == 0, (step << 4) + 8, ((step << 4) + 0x108) << np.maximum(segment - 1, 0))
        sign = np.where(negative_bit, 1, -1)
    return np.asarray(sign * magnitude / FULL_SCALE, np.float32)


@cache
def _sorted_levels(law: Law) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Returns the levels in ascending order, and a code of each; of the two zeros of mu-law, the positive one."""
    levels, first = np.unique(_levels(law)[::-1], return_index=True)
    return levels, (255 - first).astype(np.uint8)


@cache
def _int16_levels(law: Law) -> npt.NDArray[np.int16]:
    return (_levels(law) * np.float32(FULL_SCALE)).astype(np.int16)


@cache
def _int16_codes(law: Law) -> npt.NDArray[np.uint8]:
    """Returns the code of each 16-bit integer, by its value as an unsigned one."""
    return encode(np.arange(65_536).astype(np.uint16).view(np.int16) / np.float32(FULL_SCALE), law)
