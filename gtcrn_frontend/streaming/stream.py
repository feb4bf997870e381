"""`Stream`: one stream with its settings, around a backend; used by `Enhancer` and `StreamPool`."""

from __future__ import annotations

import os
from copy import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.pcm import pcm_bytes, whole_frames
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.audio.validation import check_chunk, restore_type
from gtcrn_frontend.config import EnhancerConfig, Strength
from gtcrn_frontend.engines.loading import LoadedModel
from gtcrn_frontend.engines.native import NativeEngine
from gtcrn_frontend.errors import ModelError, StreamBusyError
from gtcrn_frontend.state import StreamState
from gtcrn_frontend.streaming.auto_strength.controller import AutoStrengthReport
from gtcrn_frontend.streaming.backend import StreamBackend
from gtcrn_frontend.streaming.exclusive import ExclusiveCalls
from gtcrn_frontend.streaming.latency import lag_samples, latency_samples
from gtcrn_frontend.streaming.mixer import AlignedChunk
from gtcrn_frontend.streaming.native_backend import NativeBackend
from gtcrn_frontend.streaming.python_backend import PythonBackend
from gtcrn_frontend.streaming.stream_parameters import StreamParameters
from gtcrn_frontend.streaming.stream_state import checked_state, of_stream, stream_facts

Samples = npt.NDArray[Any]


class Stream(ExclusiveCalls):
    """One stream.

    Calls are exclusive and atomic: a second call while one is running raises `StreamBusyError`, and a call that fails
        or is interrupted resets the stream. `StreamBatch` processes many streams together; its caller must not use a
        stream in two calls at once.

    Strength and bypass apply to the next samples; they may be set from another thread during a call.

    Args:
        loaded: the model and its engine.
        config: rates, channels, strength and bypass are used; model and engine are those of `loaded`.

    Raises:
        ConfigError: a rate is out of range.
    """

    def __init__(self, loaded: LoadedModel, config: EnhancerConfig) -> None:
        super().__init__()
        self.loaded = loaded
        self.config = config
        self.dtype: np.dtype[Any] = np.dtype(np.float32)  # of the last chunk, and so of the flushed samples
        self.pending_bytes = b""  # incomplete frame of 16-bit PCM
        self._parameters = StreamParameters.of(config, loaded.engine.spec)
        self._strength, self._bypass = config.strength_or_auto, config.bypass
        self.backend = self._open(loaded)

    @property
    def strength(self) -> Strength:
        """Weight of the enhanced signal, or `auto`."""
        return self._strength

    @strength.setter
    def strength(self, strength: Strength) -> None:
        self._strength = strength
        self.backend.set_strength(strength, bypass=self._bypass)

    @property
    def bypass(self) -> bool:
        """Whether the aligned input is delivered."""
        return self._bypass

    @bypass.setter
    def bypass(self, bypass: bool) -> None:
        self._bypass = bypass
        self.backend.set_strength(self._strength, bypass=bypass)

    @property
    def sample_rate(self) -> int:
        """Rate of the input in Hz."""
        return self._parameters.sample_rate

    @property
    def output_sample_rate(self) -> int:
        """Rate of the output in Hz."""
        return self._parameters.output_sample_rate

    @property
    def paths(self) -> int:
        """Channels of the output."""
        return self._parameters.paths

    @property
    def latency_samples(self) -> int:
        """Worst-case latency in samples of the input."""
        return latency_samples(self.loaded.engine.spec, self.sample_rate, self.output_sample_rate)

    @property
    def lag_samples(self) -> int:
        """Most output samples that may be outstanding."""
        return lag_samples(self.loaded.engine.spec, self.sample_rate, self.output_sample_rate)

    @property
    def samples_in(self) -> int:
        """Input samples per channel so far."""
        return self.backend.samples_in

    @property
    def samples_out(self) -> int:
        """Output samples per channel so far."""
        return self.backend.samples_out

    @property
    def auto_strength_reports(self) -> tuple[AutoStrengthReport, ...]:
        """State of `strength="auto"` per channel; empty while it is off, and before its first chunk."""
        if self._strength != "auto":  # also if the next chunk has yet to switch it off
            return ()
        return self.backend.auto_strength_reports

    def check(self, chunk: npt.ArrayLike) -> tuple[F32, np.dtype[Any]]:
        """Returns the arguments for `process`; raises `AudioFormatError` for an invalid chunk, without any change."""
        return check_chunk(chunk, self._parameters.channels)

    def process(self, samples: F32, dtype: np.dtype[Any]) -> Samples:
        """Returns the complete mixed samples in the type of the input; arguments come from `check`."""
        if self._is_busy:
            raise StreamBusyError
        self._is_busy = True
        try:  # as in `_transaction`, without the cost of its calls
            if self._is_inconsistent:
                self._restart()
            self._is_inconsistent = True
            result = self._process(samples, dtype)
            self._is_inconsistent = False
            return result
        except BaseException:
            self._restart()
            raise
        finally:
            self._is_busy = False

    def process_aligned(self, samples: F32, dtype: np.dtype[Any]) -> AlignedChunk:
        """Returns all signals of the complete samples, in the type of the input."""

        def process() -> AlignedChunk:
            self.dtype = dtype
            return self._restored(self.backend.push_aligned(samples))

        return self._transaction(process)

    def process_bytes(self, pcm16: bytes) -> bytes:
        """Returns the complete samples as 16-bit PCM; after a failed call, only the last incomplete frame is kept."""

        def process() -> bytes:
            samples, self.pending_bytes = whole_frames(self.pending_bytes + pcm16, "s16le", self._parameters.channels)
            return pcm_bytes(self._process(*self.check(samples)), "s16le")

        return self._transaction(process)

    def flush(self) -> Samples:
        """Returns the remaining mixed samples, in the type of the last chunk; resets the stream."""

        def finish() -> Samples:
            rest = restore_type(self.backend.finish(), self.dtype)
            self.pending_bytes = b""
            return rest

        return self._transaction(finish)

    def flush_aligned(self) -> AlignedChunk:
        """Returns all signals of the remaining samples; resets the stream."""

        def finish() -> AlignedChunk:
            rest = self._restored(self.backend.finish_aligned())
            self.pending_bytes = b""
            return rest

        return self._transaction(finish)

    def reset(self) -> None:
        """Resets the stream; samples not delivered are lost."""

        def restart() -> None:
            self._restart()
            self.pending_bytes = b""

        self._exclusive(restart)

    def move_to(self, loaded: LoadedModel) -> None:
        """Moves the stream to another engine with the same weights; raises `ModelError` if they differ."""
        if loaded.model.digest != self.loaded.model.digest:
            raise ModelError(f"{loaded.model.source} has changed since this stream was started: start a new stream")
        if self.loaded.process_id != os.getpid() and self._is_busy:
            self.after_fork()

        def move() -> None:
            backend = self._open(loaded)
            backend.import_state(self.backend.export_state())
            self.backend, self.loaded = backend, loaded

        self._exclusive(move)

    def after_fork(self) -> None:
        """Resets the stream in a forked child: a call in progress exists only in the parent."""
        self.backend = self._open(self.loaded)
        self.pending_bytes = b""
        self._is_busy = self._is_inconsistent = False

    def copy(self) -> Stream:
        """Returns an independent copy of the stream."""
        state = self.get_state()
        twin = copy(self)
        twin._is_busy = False
        twin.backend = twin._open(self.loaded)
        twin.set_state(state)
        return twin

    def get_state(self) -> StreamState:
        """Returns a copy of the state."""

        def export() -> StreamState:
            return StreamState(self._facts(), self.backend.export_state() | of_stream(self.pending_bytes, self.dtype))

        return self._exclusive(export)

    def set_state(self, state: StreamState) -> None:
        """Restores a state; continues towards the strength that is set here.

        Raises:
            StateError: the state does not fit or is damaged. The stream is unchanged.
        """
        arrays, pending_bytes, dtype = checked_state(state, self._facts(), self.loaded.engine.spec, self._parameters)

        def restore() -> None:
            self.backend.import_state(arrays)
            self.pending_bytes, self.dtype = pending_bytes, dtype

        self._transaction(restore)

    def _process(self, samples: F32, dtype: np.dtype[Any]) -> Samples:
        self.dtype = dtype
        return restore_type(self.backend.push(samples), dtype)

    def _restart(self) -> None:
        """Resets the stream atomically: an interrupt happens before or after."""
        self.backend.reset()
        self._is_inconsistent = False

    def _open(self, loaded: LoadedModel) -> StreamBackend:
        engine, settings = loaded.engine, (self._parameters, self._strength)
        if isinstance(engine, NativeEngine):
            return NativeBackend(engine, *settings, bypass=self._bypass)
        return PythonBackend(engine, *settings, bypass=self._bypass)

    def _restored(self, aligned: AlignedChunk) -> AlignedChunk:
        start, *signals = aligned
        return AlignedChunk(start, *(restore_type(signal, self.dtype) for signal in signals))

    def _facts(self) -> dict[str, Any]:
        return stream_facts(self.loaded.model.digest, self.loaded.engine.spec, self._parameters)
