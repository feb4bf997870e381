"""`FrozenEngine`: runs the weights of a torch module in the fastest engine, without gradients."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from gtcrn_frontend.adapters.speechbrain.network import ReadyGraph, write_weights
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.config import EnhancerConfig, Strength
from gtcrn_frontend.engines.loading import LoadedModel, load
from gtcrn_frontend.streaming.stream import Stream
from gtcrn_frontend.streaming.stream_batch import StreamBatch
from gtcrn_frontend.streaming.thread_pool import ThreadPool


class FrozenEngine:
    """Runs the current weights of a network; reloads the engine after they have changed.

    The engine is created lazily in each process: the object can be copied, pickled, and used after a fork.

    Args:
        net: torch module, see `network.module_for`.
        network: its name.
        config: engine, rate, auto strength and latency of its streams; `num_threads` of them run in parallel.
    """

    def __init__(self, net: nn.Module, network: str, config: EnhancerConfig) -> None:
        self._net = net
        self._network = network
        self._config = config
        self._loaded: LoadedModel | None = None
        self._workers: ThreadPool | None = None
        self._weights: object = None  # identity of the loaded weights

    @property
    def loaded(self) -> LoadedModel:
        """The model in an engine of this process."""
        weights = [
            (tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version)
            for tensor in self._net.state_dict(keep_vars=True).values()
        ]
        if self._loaded is None or self._loaded.process_id != os.getpid() or self._weights != weights:
            self._loaded = self._load()
            self._workers = ThreadPool(self._config.num_threads)
            self._weights = weights
        return self._loaded

    def new_stream(self, strength: Strength) -> Stream:
        """Returns a new mono stream."""
        return Stream(self.loaded, replace(self._config, strength=strength))

    def push(self, streams: Sequence[Stream], chunks: Sequence[F32]) -> list[F32]:
        """Returns the complete samples `(n,)` of each stream; the streams are batched.

        Raises:
            AudioFormatError: a chunk is invalid; the message has the index of its stream. No stream has changed.
        """
        batch = self._batch(streams)
        return batch.process(batch.check(chunks, range(len(chunks)), "signal {} of the batch"))

    def finish(self, streams: Sequence[Stream]) -> list[F32]:
        """Returns the remaining samples `(n,)` of each stream; resets the streams."""
        return self._batch(streams).finish()

    def enhance(self, signals: Sequence[F32], strengths: Sequence[Strength]) -> list[F32]:
        """Enhances complete signals `(n,)`, each with its strength."""
        loaded = self.loaded.for_whole_signals()
        streams = [Stream(loaded, replace(self._config, strength=strength)) for strength in strengths]
        heads, tails = self.push(streams, signals), self.finish(streams)
        return [np.concatenate(parts) for parts in zip(heads, tails, strict=True)]

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_loaded": None, "_workers": None, "_weights": None}

    def _load(self) -> LoadedModel:
        """Loads an engine with the current weights, through a file."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / ("model.onnx" if isinstance(self._net, ReadyGraph) else "model.safetensors")
            write_weights(self._net, path, self._network)
            return load(path, self._config.engine, segment_latency_ms=self._config.segment_latency_ms)

    def _batch(self, streams: Sequence[Stream]) -> StreamBatch:
        """Returns a batch of streams, moved to this process after a fork.

        They keep their weights: new ones are for new streams.
        """
        for stream in streams:
            if stream.loaded.process_id != os.getpid():
                stream.move_to(self.loaded)
        return StreamBatch(streams, self._workers or ThreadPool(self._config.num_threads))
