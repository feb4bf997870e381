"""The native engine: passes hops and states to the C library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.engines.base import Engine, check_canonical
from gtcrn_frontend.model_spec import ModelSpec
from gtcrn_frontend.native.binding import chosen_instruction_set
from gtcrn_frontend.native.model import HopStream, NativeModel
from gtcrn_frontend.weights.model import Model
from gtcrn_frontend.weights.pack import pack_model


class NativeEngine(Engine[HopStream]):
    """GTCRN or UL-UNAS in C; calls release the GIL and allocate only their result.

    Streams of `Enhancer` and `StreamPool` do not come here: they run in C as a whole, see
    `streaming.native_backend.NativeBackend`.

    Args:
        model: a checkpoint.
        num_threads: threads for the streams of a `process_many` call.

    Raises:
        ModelError: the model is an ONNX graph or of another network, or the forced instruction set is not supported.
    """

    name = "native"

    def __init__(self, model: Model, num_threads: int = 1) -> None:
        self.spec, parameters = model.weights_for(self.name)
        self.instruction_set = chosen_instruction_set()
        self.description = f"C, {self.instruction_set}"
        self.num_threads = num_threads
        self.weights = NativeModel(pack_model(self.spec.name, parameters), self.instruction_set)

    def new_state(self) -> HopStream:
        """Returns the initial state of a stream, see `Engine`."""
        return self.weights.new_stream()

    def process(self, hops: F32, state: HopStream) -> F32:
        """Returns the enhanced hops of one stream, see `Engine`."""
        return self.weights.process(hops, state)

    def process_many(self, streams: Sequence[tuple[F32, HopStream]]) -> list[F32]:
        """Returns the enhanced hops of several streams, see `Engine`."""
        return self.weights.process_many(streams, self.num_threads)

    def export_state(self, state: HopStream) -> dict[str, F32]:
        """Returns the canonical arrays, see `Engine`."""
        return _divided(state.export(), self.spec)

    def import_state(self, arrays: Mapping[str, F32]) -> HopStream:
        """Creates a state from canonical arrays, see `Engine`."""
        checked = check_canonical(arrays, self.spec)
        state = self.weights.new_stream()
        state.restore(np.concatenate([checked[name].reshape(-1) for name in self.spec.cache_shapes]))
        return state


def _divided(flat: F32, spec: ModelSpec) -> dict[str, F32]:
    """Returns the canonical arrays of a flat state."""
    arrays, start = {}, 0
    for name, shape in spec.cache_shapes.items():
        size = int(np.prod(shape))
        arrays[name] = flat[start : start + size].reshape(shape).copy()
        start += size
    return arrays
