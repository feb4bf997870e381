"""Enhancement for SpeechBrain's `StreamingASR`: chunks of any size in, blocks of the required size out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torchaudio
from speechbrain.inference.ASR import ASRStreamingContext
from speechbrain.utils.streaming import split_fixed_chunks
from torch import Tensor

from gtcrn_frontend.adapters.speechbrain.frontend import EnhanceFrontend
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.errors import AudioFormatError, ConfigError, StateError
from gtcrn_frontend.streaming.stream import Stream

Block = tuple[Tensor, Tensor]
"""Samples `(lanes, size)` and relative lengths `(lanes,)`."""


class Lanes:
    """Enhancers of a batch of streams, with the enhanced samples of an incomplete block.

    Args:
        frontend: source of the settings, which are fixed here except for the strength.
        count: number of streams ("lanes") in the batch.
    """

    def __init__(self, frontend: EnhanceFrontend, count: int) -> None:
        self._frontend = frontend
        self._streams = [frontend.engine.new_stream(frontend.strength) for _ in range(count)]
        self._waiting = [np.empty(0, np.float32) for _ in range(count)]
        self._ended = [False] * count

    @property
    def finished(self) -> bool:
        """Whether all lanes have ended."""
        return all(self._ended)

    def push(self, chunk: Tensor, lengths: Tensor | None = None) -> None:
        """Takes the next samples `(lanes, n)`; a lane with a relative length below 1 ends.

        Raises:
            AudioFormatError: the chunk has a wrong shape or invalid samples.
            StateError: samples for a lane that has ended.
        """
        samples: F32 = chunk.detach().to("cpu", torch.float32).numpy()
        if samples.ndim != 2 or len(samples) != len(self._streams):
            raise AudioFormatError(f"expected a chunk ({len(self._streams)}, n), got shape {samples.shape}")
        counts = [samples.shape[1]] * len(samples)
        if lengths is not None:
            counts = (lengths.to("cpu", torch.float64) * samples.shape[1]).round().long().tolist()
        late = [lane for lane, count in enumerate(counts) if count and self._ended[lane]]
        if late:
            raise StateError(f"expected no more samples in lane {late[0]}, it has ended: start a new stream")
        self._collect(range(len(counts)), [row[:count] for row, count in zip(samples, counts, strict=True)])
        self.finish([lane for lane, count in enumerate(counts) if count < samples.shape[1]])

    def finish(self, lanes: Iterable[int] | None = None) -> None:
        """Ends lanes, all by default; lanes that have ended are unchanged."""
        ending = [lane for lane in (range(len(self._streams)) if lanes is None else lanes) if not self._ended[lane]]
        tails = self._frontend.engine.finish([self._streams[lane] for lane in ending])
        for lane, tail in zip(ending, tails, strict=True):
            self._waiting[lane] = np.concatenate([self._waiting[lane], tail])
            self._ended[lane] = True

    def take(self, size: int) -> Iterator[Block]:
        """Returns complete blocks; after the end of all lanes also the last one, zero-padded."""
        running = [len(w) for w, ended in zip(self._waiting, self._ended, strict=True) if not ended]
        longest = max(len(w) for w in self._waiting)
        for _ in range(min(running) // size if running else -(-longest // size)):
            yield self._block(size)

    def rest(self, size: int) -> Iterator[Block]:
        """Ends all lanes; returns the remaining blocks, of which the last may be shorter."""
        self.finish()
        while longest := max(len(w) for w in self._waiting):
            yield self._block(min(size, longest))

    def __deepcopy__(self, memo: dict[int, Any]) -> Lanes:
        twin = object.__new__(type(self))
        twin._frontend = self._frontend
        twin._streams = [stream.copy() for stream in self._streams]
        twin._waiting, twin._ended = list(self._waiting), list(self._ended)
        return twin

    def _collect(self, lanes: Sequence[int], chunks: Sequence[F32]) -> None:
        streams: list[Stream] = [self._streams[lane] for lane in lanes]
        for stream in streams:
            stream.strength = self._frontend.strength
        for lane, enhanced in zip(lanes, self._frontend.engine.push(streams, chunks), strict=True):
            self._waiting[lane] = np.concatenate([self._waiting[lane], enhanced])

    def _block(self, size: int) -> Block:
        block = np.zeros((len(self._waiting), size), np.float32)
        counts = []
        for lane, waiting in enumerate(self._waiting):
            count = min(size, len(waiting))
            block[lane, :count] = waiting[:count]
            self._waiting[lane] = waiting[count:]
            counts.append(count / size)
        return torch.from_numpy(block), torch.tensor(counts)


@dataclasses.dataclass
class EnhancedStreamingContext(ASRStreamingContext):  # type: ignore[misc]  # SpeechBrain has no types
    """SpeechBrain's streaming context with the enhancers of the streams; `copy.deepcopy` copies both."""

    lanes: Lanes | None = None
    """None until the first chunk, which determines the number of streams."""


class EnhancesStreams:
    """Mixin for `StreamingASR`: accepts chunks of any size and enhances them.

    The recogniser needs blocks of exactly `get_chunk_size_frames` samples. A call encodes all complete blocks, possibly
        none: with chunks of that size, the first call encodes nothing because of the enhancer's latency of 32 ms. Pass
        smaller chunks to reduce the delay. At the end of the audio call `transcribe_rest` (or `encode_rest`); later
        chunks (silence for the recogniser) are not enhanced.
    """

    frontend: EnhanceFrontend
    device: Any
    hparams: Any
    _width: int | None = None  # per encoded frame

    def make_streaming_context(self, dynchunktrain_config: Any) -> EnhancedStreamingContext:
        """Returns the context of a new stream, see `StreamingASR`."""
        context = super().make_streaming_context(dynchunktrain_config)  # type: ignore[misc]
        names = [field.name for field in dataclasses.fields(ASRStreamingContext)]
        return EnhancedStreamingContext(**{name: getattr(context, name) for name in names})

    @torch.no_grad()
    def encode_chunk(self, context: Any, chunk: Tensor, chunk_len: Tensor | None = None) -> Tensor:
        """Encodes all complete blocks, `(batch, frames, ...)`; frames may be 0.

        Args:
            context: created by this recogniser.
            chunk: `(batch, n)` samples, n of any size.
            chunk_len: `(batch,)`, relative length of the chunk; below 1 it ends the stream.
        """
        if not isinstance(context, EnhancedStreamingContext):
            raise StateError(
                f"expected a context from make_streaming_context of this recogniser, got {type(context).__name__}"
            )
        if context.lanes is None:
            context.lanes = Lanes(self.frontend, len(chunk))
        if context.lanes.finished:
            encoded: Tensor = super().encode_chunk(context, chunk, chunk_len)  # type: ignore[misc]
            return encoded
        context.lanes.push(chunk, chunk_len)
        return self._encode_blocks(context, context.lanes.take(self._block_size(context)), len(chunk))

    @torch.no_grad()
    def encode_rest(self, context: Any) -> Tensor:
        """Encodes the samples left in the enhancer, and ends the stream; see `encode_chunk`."""
        if not isinstance(context, EnhancedStreamingContext) or context.lanes is None:
            raise StateError("expected a context that has received a chunk, got a new one: there is nothing to flush")
        lanes = context.lanes
        return self._encode_blocks(context, lanes.rest(self._block_size(context)), len(lanes._streams))

    @torch.no_grad()
    def decode_chunk(self, context: Any, x: Tensor) -> tuple[list[str], list[Any]]:
        """Returns words and tokens per stream, see `StreamingASR`; empty for an encoding without frames."""
        if x.shape[1] == 0:
            return [""] * len(x), [[] for _ in range(len(x))]
        words, tokens = super().decode_chunk(context, x)  # type: ignore[misc]
        return words, tokens

    def transcribe_rest(self, context: Any) -> list[str]:
        """Transcribes the samples left in the enhancer, per stream; ends the stream."""
        return self.decode_chunk(context, self.encode_rest(context))[0]

    def transcribe_file_streaming(
        self, path: Any, dynchunktrain_config: Any, use_torchaudio_streaming: bool = True, **kwargs: Any
    ) -> Iterator[str]:
        """Yields the transcript of a file in chunks, see `StreamingASR`.

        Raises:
            ConfigError: torchaudio has no StreamReader (any more): pass `use_torchaudio_streaming=False`.
        """
        size = self.get_chunk_size_frames(dynchunktrain_config)  # type: ignore[attr-defined]
        if use_torchaudio_streaming:
            if not hasattr(torchaudio, "io"):
                raise ConfigError("this torchaudio has no StreamReader: pass use_torchaudio_streaming=False")
            chunks = self._get_audio_stream(torchaudio.io.StreamReader(path), size)  # type: ignore[attr-defined]
        else:
            chunks = split_fixed_chunks(self.load_audio(path, **kwargs)[None], size)  # type: ignore[attr-defined]
        context = self.make_streaming_context(dynchunktrain_config)
        for chunk in chunks:
            yield self.transcribe_chunk(context, chunk)[0]  # type: ignore[attr-defined]
        yield self.transcribe_rest(context)[0]
        for _ in range(self.hparams.fea_streaming_extractor.get_recommended_final_chunk_count(size)):
            silence = torch.zeros((1, size), device=self.device)
            yield self.transcribe_chunk(context, silence)[0]  # type: ignore[attr-defined]

    def _block_size(self, context: EnhancedStreamingContext) -> int:
        return int(self.get_chunk_size_frames(context.config))  # type: ignore[attr-defined]

    def _encode_blocks(self, context: EnhancedStreamingContext, blocks: Iterable[Block], batch: int) -> Tensor:
        encode = super().encode_chunk  # type: ignore[misc]
        encoded = [encode(context, samples, lengths) for samples, lengths in blocks]
        if encoded:
            return torch.cat(encoded, dim=1)
        if self._width is None:  # known only to the layers, without a common interface
            size = self._block_size(context)
            fresh = super().make_streaming_context(context.config)  # type: ignore[misc]
            self._width = encode(fresh, torch.zeros(1, size), torch.ones(1)).shape[-1]
        return torch.zeros(batch, 0, self._width, device=self.device)
