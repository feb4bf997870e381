"""Base of engines whose network maps frames to frames: STFT, batching of streams, canonical state."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.engines.base import Engine, check_canonical
from gtcrn_frontend.engines.stft import C64, analyse, synthesise

MAX_FRAMES = 128
"""Most frames of all streams in one run of the network: more are no faster and take more memory."""


@dataclass
class SpectralState:
    """State of one stream: canonical arrays of the STFT, and the network's caches in the engine's layout."""

    analysis: F32
    synthesis: F32
    caches: tuple[Any, ...]


class SpectralEngine(Engine[SpectralState]):
    """A streaming transform around a network that runs on batches of streams with equally many frames.

    The transform is the STFT; a subclass may replace it by another pair of functions with the same arguments: hops and
    the past to frames `(streams, n_frames, ...)` of `win_length` samples each, and frames and the tail to hops; past
    and tail have `overlap` samples.
    """

    _analyse = staticmethod(analyse)
    _synthesise = staticmethod(synthesise)

    @abstractmethod
    def _run(self, spectra: C64, caches: tuple[Any, ...]) -> tuple[C64, tuple[Any, ...]]:
        """Runs the network on `(streams, n_frames, n_bins)`; returns the spectra and the new stacked caches."""

    @abstractmethod
    def _stack(self, caches: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
        """Stacks the caches of several streams into those of one batch."""

    @abstractmethod
    def _unstack(self, caches: tuple[Any, ...], streams: int) -> list[tuple[Any, ...]]:
        """The inverse of `_stack`; streams must not share memory."""

    @abstractmethod
    def _caches_to_canonical(self, caches: tuple[Any, ...]) -> dict[str, F32]:
        """Returns copies of one stream's caches, by canonical name."""

    @abstractmethod
    def _caches_from_canonical(self, arrays: Mapping[str, F32]) -> tuple[Any, ...]:
        """The inverse of `_caches_to_canonical`, copied as well."""

    def new_state(self) -> SpectralState:
        """Returns the initial state of a stream, see `Engine`."""
        return self.import_state({name: np.zeros(shape, np.float32) for name, shape in self.spec.cache_shapes.items()})

    def process(self, hops: F32, state: SpectralState) -> F32:
        """Returns the enhanced hops of one stream, without the overhead of batching."""
        if len(hops) == 0:
            return np.empty_like(hops)
        return self._process_batch([hops], [state])[0]

    def process_many(self, streams: Sequence[tuple[F32, SpectralState]]) -> list[F32]:
        """Returns the enhanced hops of several streams; those with equally many hops are batched."""
        outputs = [np.empty_like(hops) for hops, _ in streams]
        by_length: dict[int, list[int]] = {}
        for index, (hops, _) in enumerate(streams):
            if len(hops):
                by_length.setdefault(len(hops), []).append(index)
        for n_hops, indices in by_length.items():
            # Limit the streams rather than the hops: stacking the caches costs as much for one hop as for many.
            streams_at_once = max(1, MAX_FRAMES // n_hops)
            for start in range(0, len(indices), streams_at_once):
                batch = indices[start : start + streams_at_once]
                enhanced = self._process_batch([streams[i][0] for i in batch], [streams[i][1] for i in batch])
                for i, samples in zip(batch, enhanced, strict=True):
                    outputs[i] = samples
        return outputs

    def _process_batch(self, hops: list[F32], states: list[SpectralState]) -> list[F32]:
        """Runs streams with equally many hops (at least one) in batches of bounded size."""
        n_hops = len(hops[0])
        block = max(1, MAX_FRAMES // len(hops))
        if n_hops <= block:
            return self._process_block(hops, states)
        pieces = [self._process_block([h[i : i + block] for h in hops], states) for i in range(0, n_hops, block)]
        return [np.concatenate(parts) for parts in zip(*pieces, strict=True)]

    def _process_block(self, hops: list[F32], states: list[SpectralState]) -> list[F32]:
        single = len(states) == 1
        past = states[0].analysis[None] if single else np.stack([state.analysis for state in states])
        tail = states[0].synthesis[None] if single else np.stack([state.synthesis for state in states])
        caches = states[0].caches if single else self._stack([state.caches for state in states])

        spectra, past = self._analyse(self.spec, hops[0][None] if single else np.stack(hops), past)
        spectra, caches = self._run(spectra, caches)
        samples, tail = self._synthesise(self.spec, spectra, tail)

        # Update the streams only now, when nothing can fail any more.
        each = [caches] if single else self._unstack(caches, len(states))
        for i, state in enumerate(states):
            # Copies: a view would keep the whole batch alive.
            state.analysis, state.synthesis, state.caches = past[i].copy(), tail[i].copy(), each[i]
        return list(samples)

    def export_state(self, state: SpectralState) -> dict[str, F32]:
        """Returns copies of the state's arrays in canonical form."""
        transform = {"analysis": state.analysis.copy(), "synthesis": state.synthesis.copy()}
        return transform | self._caches_to_canonical(state.caches)

    def import_state(self, arrays: Mapping[str, F32]) -> SpectralState:
        """Returns a state made from canonical arrays; `StateError` if they do not fit this model."""
        checked = check_canonical(arrays, self.spec)
        return SpectralState(
            checked["analysis"].copy(), checked["synthesis"].copy(), self._caches_from_canonical(checked)
        )
