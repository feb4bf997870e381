"""`NativeEnhancer`: one stream in C, from the samples of its input to those of its output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.errors import AudioFormatError, ConfigError, StateError, StreamBusyError
from gtcrn_frontend.native.binding import FLOATS, ffi, for_c, lib
from gtcrn_frontend.native.model import NativeModel
from gtcrn_frontend.native.sections import pack_sections, unpack_sections

_CHUNKS = ffi and ffi.typeof("gtcrn_chunk[]")
_CHUNK = np.dtype([(name, np.uintp) for name in ("enhancer", "input", "output", "frames", "room")])
"""numpy dtype of `gtcrn_chunk`, to fill many at once; a test compares the layouts."""


class NativeEnhancer:
    """One stream; calls are atomic, release the GIL and allocate only their result.

    Args:
        model: the weights, shared.
        settings: fields of `gtcrn_settings` in gtcrn.h; the strength is 0 to 1, or -1 for automatic.

    Raises:
        ConfigError: a setting is out of range.
    """

    __slots__ = ("_handle", "_last_due", "_model", "address", "channels", "paths")

    def __init__(self, model: NativeModel, settings: Mapping[str, Any]) -> None:
        fields, error = ffi.new("gtcrn_settings *", settings), ffi.new("const char **")
        handle = lib.gtcrn_enhancer_new(model.handle, fields, error)
        if handle == ffi.NULL:
            message = ffi.string(error[0]).decode()
            raise MemoryError(message) if "memory" in message else ConfigError(message)
        self._handle = ffi.gc(handle, lib.gtcrn_enhancer_free, 100_000)
        self._model = model
        self._last_due = 0
        self.channels: int = settings["channels"]
        self.paths: int = 1 if settings["downmix"] else self.channels
        self.address = int(ffi.cast("uintptr_t", handle))

    @property
    def frames_in(self) -> int:
        """Input samples per channel so far."""
        return int(lib.gtcrn_enhancer_frames_in(self._handle))

    @property
    def frames_out(self) -> int:
        """Output samples per channel so far."""
        return int(lib.gtcrn_enhancer_frames_out(self._handle))

    @property
    def latency(self) -> int:
        """Worst-case latency in samples of the input."""
        return int(lib.gtcrn_enhancer_latency(self._handle))

    def push(self, samples: F32) -> F32:
        """Returns the complete mixed samples, in new memory; samples are `(n,)`, or `(n, channels)`."""
        samples = for_c(samples)
        due = self._last_due  # often the same again, which saves a call of C
        output = np.empty(due if self.paths == 1 else (due, self.paths), np.float32)
        source, target = ffi.from_buffer(FLOATS, samples), ffi.from_buffer(FLOATS, output)
        written = lib.gtcrn_enhancer_push(self._handle, source, len(samples), target, due)
        if written == due:
            return output
        if written >= 0:
            self._last_due = written
            return output[:written].copy()
        if written != lib.GTCRN_ROOM:
            _raise_for(written)
        self._last_due = lib.gtcrn_enhancer_due(self._handle, len(samples))
        if self._last_due <= due:  # another thread is in this stream
            raise StreamBusyError
        return self.push(samples)

    def push_aligned(self, samples: F32) -> tuple[F32, F32, F32]:
        """Returns the complete samples as input, enhanced and mixed."""
        samples = for_c(samples)
        outputs, fields = self._outputs(lib.gtcrn_enhancer_due(self._handle, len(samples)))
        source = ffi.from_buffer(FLOATS, samples)
        _check(
            lib.gtcrn_enhancer_push_aligned(self._handle, source, len(samples), fields, len(outputs[0])),
            len(outputs[0]),
        )
        return outputs

    def finish(self) -> F32:
        """Returns the remaining mixed samples; resets the stream."""
        return self.finish_aligned()[2]

    def finish_aligned(self) -> tuple[F32, F32, F32]:
        """Returns the remaining samples as input, enhanced and mixed; resets the stream."""
        outputs, fields = self._outputs(lib.gtcrn_enhancer_rest(self._handle))
        _check(lib.gtcrn_enhancer_finish_aligned(self._handle, fields, len(outputs[0])), len(outputs[0]))
        return outputs

    def reset(self) -> None:
        """Resets the stream."""
        _check(lib.gtcrn_enhancer_reset(self._handle), 0)

    def set_strength(self, strength: float, *, bypass: bool) -> None:
        """Sets strength, 0 to 1 or -1 for automatic, and bypass from the next samples on."""
        _check(lib.gtcrn_enhancer_set_strength(self._handle, strength), 0)
        lib.gtcrn_enhancer_set_bypass(self._handle, bypass)

    def report(self, channel: int) -> tuple[float, float, float, int, int, int] | None:
        """Returns the fields of `AutoStrengthReport`; None while the strength is not automatic."""
        report = ffi.new("gtcrn_report *")
        if lib.gtcrn_enhancer_report(self._handle, channel, report):
            return None
        return (
            report.snr_db,
            report.strength,
            report.doubt,
            report.hops,
            report.speech_hops,
            report.lost_hops,
        )

    def export_state(self) -> dict[str, npt.NDArray[Any]]:
        """Returns copies of the arrays of the state by name, each `(n,)`."""
        size = lib.gtcrn_enhancer_export_state(self._handle, ffi.NULL, 0)
        if size < 0:
            _raise_for(size)
        state = np.empty(size, np.uint8)
        _check(lib.gtcrn_enhancer_export_state(self._handle, ffi.from_buffer(state), len(state)), len(state))
        return unpack_sections(state.tobytes())

    def import_state(self, arrays: Mapping[str, npt.NDArray[Any]], sample_rate: int, output_sample_rate: int) -> None:
        """Restores a state of these rates; the arrays may have any shape.

        Raises:
            StateError: C rejects it. The stream is unchanged.
        """
        state = pack_sections(arrays, sample_rate, output_sample_rate, self.paths)
        status = lib.gtcrn_enhancer_import_state(self._handle, ffi.from_buffer(state), len(state))
        if status == lib.GTCRN_REFUSED:
            raise StateError("expected the arrays of a stream with these settings, got others or damaged ones")
        _check(status, 0)

    def _outputs(self, due: int) -> tuple[tuple[F32, F32, F32], Any]:
        shape = due if self.paths == 1 else (due, self.paths)
        dry, enhanced, mixed = (np.empty(shape, np.float32) for _ in range(3))
        pointers = [ffi.from_buffer(FLOATS, array) for array in (dry, enhanced, mixed)]
        return (dry, enhanced, mixed), ffi.new("gtcrn_outputs *", pointers)


class NativeBatch:
    """Pushes the chunks of many streams in one call of C.

    Args:
        enhancers: without duplicates.
        num_threads: most threads, including the caller's.
    """

    def __init__(self, enhancers: Sequence[NativeEnhancer], num_threads: int) -> None:
        self._enhancers = enhancers  # keep alive: C holds their addresses
        self._num_threads = num_threads
        self._chunks = np.zeros(len(enhancers), _CHUNK)
        self._chunks["enhancer"] = [enhancer.address for enhancer in enhancers]
        self._pointer = ffi.from_buffer(_CHUNKS, self._chunks)
        self._channels = np.array([enhancer.channels for enhancer in enhancers], np.uintp)
        self._paths = np.array([enhancer.paths for enhancer in enhancers], np.uintp)

    def push(self, samples: F32, counts: Sequence[int]) -> tuple[F32, list[int]]:
        """Returns the complete mixed samples of all streams, one behind the other, and how many frames each has.

        Args:
            samples: the next samples of all streams, one behind the other, flat.
            counts: number of frames of each stream.
        """
        chunks = self._chunks
        chunks["frames"] = counts
        chunks["input"] = _addresses(samples, chunks["frames"] * self._channels)
        if int((chunks["frames"] * self._channels).sum()) != len(samples):
            raise ValueError(f"expected as many samples as the streams' chunks have, got {len(samples)}")
        output = np.empty(lib.gtcrn_set_room(self._pointer, len(chunks)), np.float32)
        chunks["output"] = _addresses(output, chunks["room"] * self._paths)
        _check(lib.gtcrn_push_many(self._pointer, len(chunks), self._num_threads), 0)
        return output, chunks["room"].tolist()


def _addresses(samples: F32, counts: npt.NDArray[np.uintp]) -> npt.NDArray[np.uintp]:
    """Returns the address of each stream's part, given `counts` samples each."""
    begins = np.cumsum(counts, dtype=np.uintp) - counts
    return np.uintp(samples.ctypes.data) + np.uintp(samples.itemsize) * begins


def _check(status: int, expected: int) -> None:
    if status != expected:
        _raise_for(status)


def _raise_for(status: int) -> None:
    """Raises the error of a call of C that did nothing: its stream was in use, had moved on, or refuses the samples."""
    if status == lib.GTCRN_REFUSED:
        raise AudioFormatError("expected finite samples within +-8 and a strength from 0 to 1, got others")
    raise StreamBusyError
