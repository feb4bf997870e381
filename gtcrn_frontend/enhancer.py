"""`Enhancer`: one stream of audio through one model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.engines.base import Engine
from gtcrn_frontend.engines.loading import LoadedModel, load
from gtcrn_frontend.errors import AudioFormatError, StateError
from gtcrn_frontend.spec import ModelSpec
from gtcrn_frontend.stages.channels import join_channels, split_channels
from gtcrn_frontend.stages.check import check_chunk, restore_type
from gtcrn_frontend.stages.mixer import AlignedChunk
from gtcrn_frontend.stages.path import SignalPath
from gtcrn_frontend.state import StreamState
from gtcrn_frontend.weights.parameters import F32

Samples = npt.NDArray[Any]


class Enhancer:
    """Enhances one stream, chunk by chunk: noisy speech in, enhanced speech out, sample by sample aligned.

    >>> enhancer = Enhancer()
    >>> noise = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    >>> pieces = [enhancer.process_chunk(chunk) for chunk in np.split(noise, 100)]
    >>> len(np.concatenate([*pieces, enhancer.flush()]))
    16000

    One object is one stream, for one thread at a time; the loaded model behind it is shared by all with the same settings.
    It can be pickled and copied at any moment, and goes on where it was, also after `fork`.

    Args:
        model: name of a registered model, or path of a checkpoint or streaming ONNX file.
        engine: `auto` (the fastest present), `onnx` or `torch`.
        sample_rate: rate of the input in Hz, 8,000 to 192,000; None is the model's.
        output_sample_rate: rate of the output in Hz; None is that of the input.
        channels: 1 for chunks of shape `(n,)`; 2 to 16 for `(n, channels)`, each enhanced on its own.
        downmix: average the channels first; the output is mono, `(n,)`.
        strength: 0 (input unchanged) to 1 (full enhancement).
        max_attenuation_db: the same knob as the most that noise is lowered, > 0 dB.
        bypass: deliver the aligned input while the network keeps running.
        num_threads: threads of ONNX Runtime within one operator.
        providers: ONNX Runtime execution providers in order of preference.

    Raises:
        ConfigError: a setting is out of range.
        ModelError: the model or the engine cannot be loaded.
    """

    def __init__(
        self,
        model: str | Path = EnhancerConfig.model,
        engine: str = EnhancerConfig.engine,
        *,
        sample_rate: int | None = None,
        output_sample_rate: int | None = None,
        channels: int = 1,
        downmix: bool = False,
        strength: float = 1.0,
        max_attenuation_db: float | None = None,
        bypass: bool = False,
        num_threads: int = 1,
        providers: Sequence[str] = (),
    ) -> None:
        self._config = EnhancerConfig(
            model=str(model),
            engine=engine,
            sample_rate=sample_rate,
            output_sample_rate=output_sample_rate,
            channels=channels,
            downmix=downmix,
            strength=strength,
            max_attenuation_db=max_attenuation_db,
            bypass=bypass,
            num_threads=num_threads,
            providers=tuple(providers),
        )
        self._strength = self._config.effective_strength
        self._bypass = bypass
        self._dtype: np.dtype[Any] = np.dtype(np.float32)  # of the last chunk: the tail comes in it
        self._loaded = self._load()
        self._paths = self._new_paths()
        self._states = self._new_states()

    @classmethod
    def from_config(cls, config: EnhancerConfig) -> Enhancer:
        """Returns an enhancer with the settings of a config."""
        return cls(**config.to_dict())

    @property
    def config(self) -> EnhancerConfig:
        """The settings it was made with."""
        return self._config

    @property
    def spec(self) -> ModelSpec:
        """The facts of the model."""
        return self._engine().spec

    @property
    def engine(self) -> str:
        """Name of the engine that runs."""
        return self._engine().name

    @property
    def sample_rate(self) -> int:
        """Rate of the input in Hz."""
        return self._config.sample_rate or self._loaded.model.spec.sample_rate

    @property
    def output_sample_rate(self) -> int:
        """Rate of the output in Hz."""
        return self._config.output_sample_rate or self.sample_rate

    @property
    def hop_length(self) -> int:
        """Samples at the model's rate that the network takes at a time."""
        return self._loaded.model.spec.hop_length

    @property
    def latency_samples(self) -> int:
        """The longest time that a sample waits until it comes out, in samples of the input."""
        return self._paths[0].latency_samples

    @property
    def latency_ms(self) -> float:
        """The longest time that a sample waits until it comes out, in milliseconds; computing not counted."""
        return 1000 * self.latency_samples / self.sample_rate

    @property
    def lag_samples(self) -> int:
        """The most samples of the output that are missing behind the input."""
        return self._paths[0].lag_samples

    @property
    def samples_in(self) -> int:
        """Samples per channel that the stream has taken."""
        return self._paths[0].samples_in

    @property
    def samples_out(self) -> int:
        """Samples per channel that the stream has delivered."""
        return self._paths[0].samples_out

    @property
    def strength(self) -> float:
        """0 (input unchanged) to 1 (full enhancement). May be set at any time; takes effect over one hop."""
        return self._strength

    @strength.setter
    def strength(self, strength: float) -> None:
        self._strength = EnhancerConfig(strength=strength).effective_strength
        self._update_paths()

    @property
    def bypass(self) -> bool:
        """Whether the aligned input is delivered. May be set at any time, also back: the network keeps running."""
        return self._bypass

    @bypass.setter
    def bypass(self, bypass: bool) -> None:
        self._bypass = EnhancerConfig(bypass=bypass).bypass
        self._update_paths()

    def process_chunk(self, chunk: npt.ArrayLike) -> Samples:
        """Returns the enhanced samples that are complete, in the type of the chunk; may be empty.

        Output sample i belongs to input sample i. The output trails by at most `lag_samples`; `flush` delivers the rest.

        Args:
            chunk: `(n,)`, or `(n, channels)`, n >= 0: float32 or float64 in [-1, 1], or int16.

        Raises:
            AudioFormatError: wrong shape or type, NaN, infinity, or floats beyond +-8. The stream is unchanged.
        """
        samples, dtype = check_chunk(chunk, self._config.channels)
        self._dtype = dtype
        mixed = [aligned.mixed for aligned in self._advance(samples)]
        return restore_type(join_channels(mixed), dtype)

    def process_aligned(self, chunk: npt.ArrayLike) -> AlignedChunk:
        """Returns the samples that are complete as input, at full strength, and mixed; see `process_chunk`."""
        samples, dtype = check_chunk(chunk, self._config.channels)
        self._dtype = dtype
        return _join(self._advance(samples), dtype)

    def flush(self) -> Samples:
        """Returns the rest of the stream, in the type of its last chunk; then the enhancer is as new.

        Samples out now equal samples in; at another output rate, ceil(samples in * output rate / input rate).
        """
        return self.flush_aligned().mixed

    def flush_aligned(self) -> AlignedChunk:
        """Returns the rest of the stream as `process_aligned` does; then the enhancer is as new."""
        engine = self._engine()
        hops = [path.finish() for path in self._paths]
        enhanced = engine.process_many(list(zip(hops, self._states, strict=True)))
        aligned = [path.pull(e, last=True) for path, e in zip(self._paths, enhanced, strict=True)]
        self._states = self._new_states()
        return _join(aligned, self._dtype)

    def reset(self) -> None:
        """Begins a new stream; what was not delivered is lost."""
        self._paths = self._new_paths()
        self._states = self._new_states()

    def enhance(self, samples: npt.ArrayLike) -> Samples:
        """Returns a whole signal enhanced, in its type; the running stream is not touched.

        Args:
            samples: as in `process_chunk`.

        Raises:
            AudioFormatError: as in `process_chunk`.
        """
        stream = self.__copy__()
        stream.reset()
        return np.concatenate([stream.process_chunk(samples), stream.flush()])

    def get_state(self) -> StreamState:
        """Returns the state of the stream: a copy, fit for `to_bytes`."""
        engine = self._engine()
        arrays: dict[str, Samples] = {}
        for channel, (path, state) in enumerate(zip(self._paths, self._states, strict=True)):
            arrays |= {f"{channel}.engine.{name}": array for name, array in engine.export_state(state).items()}
            arrays |= {f"{channel}.path.{name}": array for name, array in path.state.items()}
        return StreamState(self._facts(), arrays)

    def set_state(self, state: StreamState) -> None:
        """Goes on where `state` was taken, with any engine; strength and bypass stay those of this enhancer.

        Raises:
            StateError: the state is of another model, of other rates or channels, or damaged. The stream is unchanged.
        """
        facts = self._facts()
        differing = [f"{name} {facts[name]}, got {state.facts.get(name)}" for name in facts if state.facts.get(name) != facts[name]]
        if differing:
            raise StateError(f"expected a state of {'; '.join(differing)}")
        engine = self._engine()
        paths, states = self._new_paths(), []
        for channel, path in enumerate(paths):
            states.append(engine.import_state(_of_part(state, f"{channel}.engine.")))
            path.load_state(_of_part(state, f"{channel}.path."))
        self._paths, self._states = paths, states

    def __copy__(self) -> Enhancer:
        return self.__deepcopy__({})

    def __deepcopy__(self, memo: dict[int, Any]) -> Enhancer:
        twin = object.__new__(type(self))
        twin.__dict__ |= self.__dict__
        twin._paths, twin._states = twin._new_paths(), twin._new_states()
        twin.set_state(self.get_state())
        return twin

    def __getstate__(self) -> dict[str, Any]:
        return {
            "config": self._config,
            "strength": self._strength,
            "bypass": self._bypass,
            "dtype": self._dtype,
            "stream": self.get_state(),
        }

    def __setstate__(self, saved: dict[str, Any]) -> None:
        self._config, self._strength, self._bypass = saved["config"], saved["strength"], saved["bypass"]
        self._dtype = saved["dtype"]
        self._loaded = self._load()
        self._paths, self._states = self._new_paths(), self._new_states()
        self.set_state(saved["stream"])

    def _load(self) -> LoadedModel:
        config = self._config
        return load(config.model, config.engine, config.num_threads, config.providers)

    def _engine(self) -> Engine[Any]:
        """The engine of this process: after `fork`, the parent's cannot be used."""
        if self._loaded.process_id != os.getpid():
            exported = [self._loaded.engine.export_state(state) for state in self._states]
            self._loaded = self._load()
            self._states = [self._loaded.engine.import_state(arrays) for arrays in exported]
        return self._loaded.engine

    def _new_paths(self) -> list[SignalPath]:
        count = 1 if self._config.downmix else self._config.channels
        strength = 0.0 if self._bypass else self._strength
        spec = self._loaded.model.spec
        return [SignalPath(spec, self.sample_rate, self.output_sample_rate, strength) for _ in range(count)]

    def _new_states(self) -> list[Any]:
        return [self._engine().new_state() for _ in self._paths]

    def _update_paths(self) -> None:
        for path in self._paths:
            path.set_strength(0.0 if self._bypass else self._strength)

    def _advance(self, samples: F32) -> list[AlignedChunk]:
        """Moves checked samples through the stream; one result per channel."""
        engine = self._engine()
        if len(self._paths) == 1:
            path = self._paths[0]
            mono = samples.mean(axis=1) if samples.ndim == 2 else samples
            return [path.pull(engine.process(path.push(mono), self._states[0]))]
        hops = [path.push(channel) for path, channel in zip(self._paths, split_channels(samples), strict=True)]
        enhanced = engine.process_many(list(zip(hops, self._states, strict=True)))
        return [path.pull(each) for path, each in zip(self._paths, enhanced, strict=True)]

    def _facts(self) -> dict[str, Any]:
        return {
            "model": self._loaded.model.digest,
            "sample_rate": self.sample_rate,
            "output_sample_rate": self.output_sample_rate,
            "channels": len(self._paths),
        }


def _join(channels: list[AlignedChunk], dtype: np.dtype[Any]) -> AlignedChunk:
    joined = (join_channels([getattr(c, name) for c in channels]) for name in ("dry", "enhanced", "mixed"))
    return AlignedChunk(channels[0].start_sample, *(restore_type(samples, dtype) for samples in joined))


def _of_part(state: StreamState, prefix: str) -> dict[str, Samples]:
    return {name.removeprefix(prefix): array for name, array in state.arrays.items() if name.startswith(prefix)}
