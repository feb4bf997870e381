"""`Enhancer`: speech enhancement of one audio stream."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.pcm import checked_bytes, pcm_bytes, recoded
from gtcrn_frontend.config import EnhancerConfig, EnhancerSettings, Strength, attenuation_of_strength
from gtcrn_frontend.deprecation import renamed_arguments, renamed_attribute
from gtcrn_frontend.engines import loading
from gtcrn_frontend.engines.loading import LoadedModel, load
from gtcrn_frontend.model_spec import ModelSpec
from gtcrn_frontend.settings import check_keywords, check_value
from gtcrn_frontend.state import StreamState
from gtcrn_frontend.streaming.auto_strength.controller import AutoStrengthReport
from gtcrn_frontend.streaming.mixer import AlignedChunk
from gtcrn_frontend.streaming.stream import Samples, Stream


class Enhancer:
    """Enhances one stream chunk by chunk: noisy speech in, enhanced speech out, aligned to the sample.

    Examples:
        >>> enhancer = Enhancer()
        >>> noise = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
        >>> pieces = [enhancer.process_chunk(chunk) for chunk in np.split(noise, 100)]
        >>> len(np.concatenate([*pieces, enhancer.flush()]))
        16000

    One object is one stream, for one thread at a time: a second call while one is running raises `StreamBusyError`.
        Enhancers with the same settings share the loaded model. Between calls they can be pickled and copied, and they
        continue after `fork`. A call that is interrupted, for example by Ctrl-C, resets the stream.

    Args:
        model: name of a registered model, or path of a checkpoint or streaming ONNX file.
        engine: `auto` (the fastest available), `native`, `onnx` or `torch`.
        **settings: sample rates, channels, strength and so on, see `EnhancerConfig`.

    Raises:
        ConfigError: a setting is invalid, or does not apply to the model (segment latency, providers).
        ModelError: the model or the engine cannot be loaded.
    """

    __slots__ = ("_config", "_stream", "_whole")  # assigning to a misspelt setting is an error

    @renamed_arguments(guard="auto_strength")
    def __init__(
        self,
        model: str | Path = EnhancerConfig.model,
        engine: str = EnhancerConfig.engine,
        **settings: Unpack[EnhancerSettings],
    ) -> None:
        check_keywords(settings, EnhancerSettings.__annotations__, "Enhancer")
        self._config = EnhancerConfig(model, engine, **settings)
        self._whole = False
        self._stream = Stream(self._load(), self._config)

    @classmethod
    def from_config(cls, config: EnhancerConfig) -> Enhancer:
        """Creates an enhancer from a config."""
        return cls(**config.to_dict())

    @property
    def config(self) -> EnhancerConfig:
        """The settings it was created with."""
        return self._config

    @property
    def spec(self) -> ModelSpec:
        """Properties of the model."""
        return self._stream.loaded.engine.spec

    @property
    def engine(self) -> str:
        """Name of the engine in use."""
        return self._stream.loaded.engine.name

    @property
    def sample_rate(self) -> int:
        """Rate of the input in Hz."""
        return self._stream.sample_rate

    @property
    def output_sample_rate(self) -> int:
        """Rate of the output in Hz."""
        return self._stream.output_sample_rate

    @property
    def hop_length(self) -> int:
        """Samples per network step, at the model's rate."""
        return self.spec.hop_length

    @property
    def latency_samples(self) -> int:
        """Worst-case algorithmic latency in samples of the input."""
        return self._stream.latency_samples

    @property
    def latency_ms(self) -> float:
        """Worst-case algorithmic latency in milliseconds, without computing time."""
        return 1000 * self.latency_samples / self.sample_rate

    @property
    def lag_samples(self) -> int:
        """Maximum number of output samples by which the output trails the input."""
        return self._stream.lag_samples

    @property
    def samples_in(self) -> int:
        """Input samples per channel so far."""
        return self._stream.samples_in

    @property
    def samples_out(self) -> int:
        """Output samples per channel so far."""
        return self._stream.samples_out

    @property
    def strength(self) -> Strength:
        """Weight of the enhanced signal, 0 to 1, or `auto`. Settable at any time; ramps over one hop."""
        return self._stream.strength

    @strength.setter
    def strength(self, strength: Strength) -> None:
        self._stream.strength = check_value(EnhancerConfig, "strength", strength)

    @property
    def auto_strength_report(self) -> AutoStrengthReport | None:
        """State of `strength="auto"` for the first channel; None while it is off."""
        return next(iter(self._stream.auto_strength_reports), None)

    @property
    def auto_strength_reports(self) -> tuple[AutoStrengthReport, ...]:
        """State of `strength="auto"` per channel; empty while it is off."""
        return self._stream.auto_strength_reports

    guard = renamed_attribute("guard", "auto_strength_report")
    guards = renamed_attribute("guards", "auto_strength_reports")

    @property
    def max_attenuation_db(self) -> float:
        """The strength as maximum noise attenuation in dB; infinite at strength 1. Settable at any time.

        With `auto` it is the value for `max_strength`.
        """
        strength = self.strength
        return attenuation_of_strength(
            self._config.auto_strength_config.max_strength if strength == "auto" else strength
        )

    @max_attenuation_db.setter
    def max_attenuation_db(self, max_attenuation_db: float) -> None:
        self._stream.strength = EnhancerConfig(max_attenuation_db=max_attenuation_db).effective_strength

    @property
    def bypass(self) -> bool:
        """Whether the aligned input is delivered instead. Settable at any time: the network keeps running."""
        return self._stream.bypass

    @bypass.setter
    def bypass(self, bypass: bool) -> None:
        self._stream.bypass = check_value(EnhancerConfig, "bypass", bypass)

    def process_chunk(self, chunk: npt.ArrayLike) -> Samples:
        """Returns the complete enhanced samples, in the type of the chunk; may be empty.

        Output sample i corresponds to input sample i. The output trails by at most `lag_samples`; `flush` returns the
        rest.

        Args:
            chunk: `(n,)`, or `(n, channels)`, n >= 0: float32 or float64 in [-1, 1], or int16.

        Raises:
            AudioFormatError: wrong shape or type, NaN, infinity, or floats beyond +-8. The stream is unchanged.
        """
        stream = self._current_stream()
        samples, dtype = stream.check(chunk)  # plain call below: interrupts cannot follow it
        return stream.process(samples, dtype)

    def process_bytes(self, data: bytes | bytearray | memoryview, encoding: str = "s16le") -> bytes:
        """Returns the complete enhanced samples in the encoding of the data; `flush_bytes` returns the rest.

        Args:
            data: interleaved samples, any number of bytes; those of an incomplete frame are kept for the next call.
            encoding: `s16le` (16-bit PCM), or G.711's `mulaw` or `alaw`.

        Raises:
            AudioFormatError: not a bytes-like object, or an unknown encoding. The stream is unchanged.
        """
        stream, data = self._current_stream(), checked_bytes(data, encoding)
        if encoding == "s16le":
            return stream.process_bytes(data)
        return recoded(stream.process_bytes(recoded(data, encoding, "s16le")), "s16le", encoding)

    def flush_bytes(self, encoding: str = "s16le") -> bytes:
        """Returns the remaining samples as `process_bytes` does, and resets the stream."""
        return checked_bytes(b"", encoding) + pcm_bytes(self.flush(), encoding)

    def process_aligned(self, chunk: npt.ArrayLike) -> AlignedChunk:
        """Returns the complete samples as input, at full strength, and mixed; see `process_chunk`."""
        stream = self._current_stream()
        samples, dtype = stream.check(chunk)
        return stream.process_aligned(samples, dtype)

    def flush(self) -> Samples:
        """Returns the remaining samples, in the type of the last chunk, and resets the stream.

        In total, samples out equal samples in; at another output rate, ceil(samples in * output rate / input rate).
        """
        return self._current_stream().flush()

    def flush_aligned(self) -> AlignedChunk:
        """Returns the remaining samples as `process_aligned` does, and resets the stream."""
        return self._current_stream().flush_aligned()

    def reset(self) -> None:
        """Resets the stream; samples not delivered are lost."""
        self._current_stream().reset()

    def enhance(self, samples: npt.ArrayLike) -> Samples:
        """Enhances a complete signal, in its type; the stream is not affected.

        Non-causal networks run on longer segments than in a stream: the output differs slightly from that of
        `process_chunk` and costs less. Arguments and errors are those of `process_chunk`.
        """
        twin = self.for_whole_signal()
        return np.concatenate([twin.process_chunk(samples), twin.flush()])

    def for_whole_signal(self) -> Enhancer:
        """Returns a new enhancer with these settings for a complete signal, such as a file.

        Non-causal networks run on longer segments in it: more latency, less computing. For other networks there is no
        difference.
        """
        twin = object.__new__(type(self))
        twin._config, twin._whole = self._config, True
        twin._stream = Stream(twin._load(), self._config)
        twin._stream.strength, twin._stream.bypass = self.strength, self.bypass
        return twin

    def get_state(self) -> StreamState:
        """Returns a copy of the stream's state, which `to_bytes` serialises."""
        return self._current_stream().get_state()

    def set_state(self, state: StreamState) -> None:
        """Restores a state, also of another engine; strength and bypass remain those of this enhancer.

        Raises:
            StateError: the state is of another model, of other rates, channels or segment latency, or damaged. The
                stream is unchanged.
        """
        self._current_stream().set_state(state)

    def __repr__(self) -> str:
        return (
            f"<Enhancer {self._config.model}, {self.engine}, {self.sample_rate} Hz to {self.output_sample_rate} Hz, "
            f"strength {self.strength}{', bypassed' if self.bypass else ''}>"
        )

    def __copy__(self) -> Enhancer:
        return self.__deepcopy__({})

    def __deepcopy__(self, memo: dict[int, Any]) -> Enhancer:
        twin = object.__new__(type(self))
        twin._config, twin._whole = self._config, self._whole
        twin._stream = self._current_stream().copy()
        return twin

    def __getstate__(self) -> dict[str, Any]:
        stream = self._current_stream()
        return {
            "config": self._config,
            "whole": self._whole,
            "strength": stream.strength,
            "bypass": stream.bypass,
            "stream": stream.get_state(),
        }

    def __setstate__(self, saved: dict[str, Any]) -> None:
        self._config, self._whole = saved["config"], saved["whole"]
        self._stream = Stream(self._load(), self._config)
        self._stream.strength, self._stream.bypass = saved["strength"], saved["bypass"]
        self._stream.set_state(saved["stream"])

    def _load(self) -> LoadedModel:
        config = self._config
        loaded = load(config.model, config.engine, config.num_threads, config.providers, config.segment_latency_ms)
        return loaded.for_whole_signals() if self._whole else loaded

    def _current_stream(self) -> Stream:
        """Returns the stream, moved to an engine of this process after a fork."""
        stream = self._stream
        if stream.loaded.process_id != loading.process_id:
            stream.move_to(self._load())
        return stream
