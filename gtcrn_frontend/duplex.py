"""`DuplexEnhancer`: as many samples out as in, for sound-card callbacks and frame-based pipelines."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.enhancer import Enhancer
from gtcrn_frontend.errors import AudioFormatError, ConfigError
from gtcrn_frontend.streaming.stream import Samples


class DuplexEnhancer:
    """Enhances one stream; each result has the length of its chunk, from the first chunk on.

    The output is that of `Enhancer.process_chunk`, `delay_samples` later, whatever the sizes of the chunks: it begins
        with so many zeros. `Enhancer.process_chunk` itself delivers as early as it can: its results vary in length.

    Examples:
        >>> duplex = DuplexEnhancer(Enhancer(sample_rate=48000))
        >>> len(duplex.process(np.zeros(480, np.float32)))
        480

    Args:
        enhancer: does the work, and belongs to this object from now on: only its settings (`strength`, `bypass`) may be
            changed from outside.

    Raises:
        ConfigError: the enhancer changes the sample rate, or has begun a stream.
    """

    def __init__(self, enhancer: Enhancer) -> None:
        if enhancer.output_sample_rate != enhancer.sample_rate:
            raise ConfigError(
                f"expected an enhancer with one sample rate, got {enhancer.sample_rate} Hz in and "
                f"{enhancer.output_sample_rate} Hz out: resample before or behind it"
            )
        if enhancer.samples_in:
            raise ConfigError(f"expected a new enhancer, got one after {enhancer.samples_in} samples: reset() it first")
        self._enhancer = enhancer
        self._ready: Samples | None = None  # enhanced and not delivered yet; None before the first chunk

    @property
    def enhancer(self) -> Enhancer:
        """The enhancer, for its settings and reports."""
        return self._enhancer

    @property
    def delay_samples(self) -> int:
        """By how many samples the output is later than the input: `Enhancer.lag_samples`."""
        return self._enhancer.lag_samples

    @property
    def delay_ms(self) -> float:
        """The same in milliseconds."""
        return 1000 * self.delay_samples / self._enhancer.sample_rate

    def process(self, chunk: npt.ArrayLike) -> Samples:
        """Returns as many enhanced samples as the chunk has, of its type.

        Args:
            chunk: as for `Enhancer.process_chunk`; all of a stream have one type.

        Raises:
            AudioFormatError: see `Enhancer.process_chunk`, or the type has changed. Nothing has changed then.
        """
        samples = np.asarray(chunk)
        ready = self._ready
        if ready is not None and len(ready) and ready.dtype != samples.dtype:
            expected = f"{ready.dtype} as in the chunks before"
            raise AudioFormatError(f"expected {expected}, got {samples.dtype}: reset() begins a new stream")
        enhanced = self._enhancer.process_chunk(samples)
        if ready is None:
            ready = np.zeros((self.delay_samples, *enhanced.shape[1:]), enhanced.dtype)
        ready = np.concatenate([ready, enhanced])
        missing = len(samples) - len(ready)
        if missing > 0:  # an interrupt has reset the enhancer, which begins anew
            ready = np.concatenate([np.zeros((missing, *ready.shape[1:]), ready.dtype), ready])
        self._ready = ready[len(samples) :]
        return ready[: len(samples)]

    def process_bytes(self, pcm16: bytes | bytearray | memoryview) -> bytes:
        """Returns as many bytes of 16-bit PCM as the argument has, for one channel per channel of the output.

        Args:
            pcm16: little-endian, channels interleaved, whole frames.

        Raises:
            AudioFormatError: not bytes, or not a whole number of frames. Nothing has changed then.
        """
        if not isinstance(pcm16, (bytes, bytearray, memoryview)):
            raise AudioFormatError(f"expected bytes, got {type(pcm16).__name__}: pass samples to process")
        channels, size = self._enhancer.config.channels, len(bytes(pcm16))
        if size % (2 * channels):
            raise AudioFormatError(f"expected whole frames of {2 * channels} bytes, got {size} bytes")
        samples = np.frombuffer(bytes(pcm16), "<i2").astype(np.int16)
        frames = samples.reshape(-1, channels) if channels > 1 else samples
        return self.process(frames).astype("<i2").tobytes()

    def flush(self) -> Samples:
        """Returns the last samples, at most `delay_samples`, and begins a new stream."""
        ready, self._ready = self._ready, None
        rest = self._enhancer.flush()
        return rest if ready is None else np.concatenate([ready, rest])

    def reset(self) -> None:
        """Begins a new stream; samples not delivered are lost."""
        self._ready = None
        self._enhancer.reset()
