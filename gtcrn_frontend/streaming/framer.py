"""Buffers samples into whole hops."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.errors import StateError

_EMPTY = np.empty(0, np.float32)


class Framer:
    """Buffers the samples of an incomplete hop."""

    def __init__(self, hop_length: int) -> None:
        self._hop = hop_length
        self._rest = _EMPTY

    @property
    def held(self) -> int:
        """Number of samples of the incomplete hop."""
        return len(self._rest)

    def push(self, samples: F32) -> F32:
        """Returns all whole hops, `(n_hops, hop_length)`; samples are `(n,)`."""
        if not len(self._rest) and len(samples) % self._hop == 0:
            return samples.reshape(-1, self._hop)
        pending = np.concatenate([self._rest, samples]) if len(self._rest) else samples
        whole = len(pending) // self._hop * self._hop
        # A view would change when the caller reuses the buffer.
        self._rest = pending[whole:].copy() if whole < len(pending) else _EMPTY
        return pending[:whole].reshape(-1, self._hop)

    def flush(self) -> F32:
        """Returns the rest as one zero-padded hop, or no hop if there is none."""
        missing = -len(self._rest) % self._hop
        return self.push(np.zeros(missing, np.float32))

    def reset(self) -> None:
        """Discards the buffered samples."""
        self._rest = _EMPTY

    @property
    def state(self) -> dict[str, F32]:
        """The buffered samples, `(0..hop_length - 1,)`."""
        return {"rest": self._rest.copy()}

    def load_state(self, state: Mapping[str, F32]) -> None:
        """Restores a state; raises `StateError` if it does not fit."""
        rest = state.get("rest")
        if rest is None or rest.ndim != 1 or rest.dtype != np.float32 or len(rest) >= self._hop:
            raise StateError(f"framer: expected fewer than {self._hop} float32 samples, got {_describe(rest)}")
        if not np.isfinite(rest).all():
            raise StateError("framer: expected finite samples, got NaN or infinity")
        self._rest = rest.copy()


def _describe(array: F32 | None) -> str:
    return "nothing" if array is None else f"{array.shape} {array.dtype}"
