"""Splitting and joining channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.types import F32


def split_channels(samples: F32) -> list[F32]:
    """Returns the channels of `(n, channels)`, each `(n,)` and contiguous."""
    return list(np.ascontiguousarray(samples.T))


def join_channels(channels: Sequence[npt.NDArray[np.float32]]) -> F32:
    """Returns one channel as it is, `(n,)`, and several as `(n, channels)`."""
    return channels[0] if len(channels) == 1 else np.stack(channels, axis=1)
