"""`with_frontend`: adds speech enhancement to SpeechBrain's inference classes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache, partial
from typing import Any

from speechbrain.inference.ASR import StreamingASR, WhisperASR
from speechbrain.inference.interfaces import Pretrained
from speechbrain.inference.VAD import VAD
from torch import Tensor

from gtcrn_frontend.adapters.speechbrain.frontend import EnhanceFrontend
from gtcrn_frontend.adapters.speechbrain.normalizer import EnhancingAudioNormalizer
from gtcrn_frontend.adapters.speechbrain.streaming import EnhancesStreams, Lanes
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.enhancer import Enhancer
from gtcrn_frontend.errors import ConfigError


def with_frontend(
    recogniser: Any, frontend: EnhanceFrontend | Enhancer | EnhancerConfig | None = None, **settings: Any
) -> Any:
    """Returns a copy of a recogniser that enhances its input; shares the networks, the original is unchanged.

    Examples:
        >>> asr = with_frontend(EncoderASR.from_hparams("speechbrain/..."), strength=0.8)
        >>> asr.transcribe_file("noisy.wav")

    It is an object of the same class (a subclass), whose attribute `frontend` holds the settings. Files and batches are
    enhanced exactly once, in `encode_batch` (recognisers, speaker recognition), in `get_speech_prob_chunk` (VAD), or
    chunk by chunk (`StreamingASR`, see `EnhancesStreams`); `load_audio` and `audio_normalizer` return unprocessed
    audio. For `WhisperASR`, complete files are enhanced before segmentation.

    Args:
        recogniser: `EncoderASR`, `EncoderDecoderASR`, `WhisperASR`, `StreamingASR`, `SpeakerRecognition`, `VAD`, or any
            other inference class of SpeechBrain with an `encode_batch(wavs, wav_lens)`.
        frontend: a front-end, or an `Enhancer` or its config as settings for one (see `EnhanceFrontend.from_config`);
            None creates one for the recogniser's sample rate.
        settings: of a new front-end, see `EnhanceFrontend`.

    Raises:
        ConfigError: the class is not supported, already enhances, or has another sample rate; or the front-end is of a
            wrong type.
    """
    mixin = _mixin_for(recogniser)
    if isinstance(recogniser.audio_normalizer, EnhancingAudioNormalizer):
        raise ConfigError(
            "expected a recogniser without front-end, got one whose audio_normalizer enhances already: "
            "use either an EnhancingAudioNormalizer or with_frontend"
        )
    sample_rate = int(getattr(recogniser, "sample_rate", recogniser.audio_normalizer.sample_rate))
    if frontend is None:
        frontend = EnhanceFrontend(**{"sample_rate": sample_rate} | settings)
    elif settings:
        raise ConfigError(f"expected a front-end or settings for one, got both ({', '.join(settings)})")
    elif isinstance(frontend, (Enhancer, EnhancerConfig)):
        config = frontend.config if isinstance(frontend, Enhancer) else frontend
        frontend = EnhanceFrontend.from_config(config, sample_rate=config.sample_rate or sample_rate)
    elif not isinstance(frontend, EnhanceFrontend):
        raise ConfigError(
            f"expected an EnhanceFrontend, an Enhancer or an EnhancerConfig as front-end, got {type(frontend).__name__}"
        )
    if frontend.sample_rate != sample_rate:
        raise ConfigError(
            f"expected a front-end for the recogniser's {sample_rate} Hz, got one for {frontend.sample_rate} Hz: "
            f"make it with sample_rate={sample_rate}"
        )
    enhancing = copy.copy(recogniser)
    enhancing._modules = dict(recogniser._modules)  # the copy shares the submodules, and gets one more
    plain: Any = getattr(recogniser, "_plain_class", type(recogniser))
    enhancing.__class__ = _enhancing_class(mixin, plain)
    enhancing.frontend = frontend.eval()
    return enhancing


class _EnhancesBatches:
    """Mixin for classes whose methods all use `encode_batch`."""

    frontend: EnhanceFrontend

    def encode_batch(self, wavs: Tensor, wav_lens: Tensor | None = None, *args: Any, **kwargs: Any) -> Any:
        """Encodes the enhanced batch, see the base class."""
        enhanced = _enhance(self.frontend, wavs, wav_lens)
        return super().encode_batch(enhanced, wav_lens, *args, **kwargs)  # type: ignore[misc]


class _EnhancesSpeechProb:
    """Mixin for `VAD`, which reads files in pieces itself."""

    frontend: EnhanceFrontend

    def get_speech_prob_chunk(self, wavs: Tensor, wav_lens: Tensor | None = None) -> Any:
        """Returns the probabilities of speech in the enhanced batch, see `VAD`."""
        enhanced = _enhance(self.frontend, wavs, wav_lens)
        return super().get_speech_prob_chunk(enhanced, wav_lens)  # type: ignore[misc]


class _EnhancesWhisper(_EnhancesBatches):
    """Mixin for `WhisperASR`, whose file methods bypass `encode_batch`."""

    audio_normalizer: Any
    _plain_class: type

    def detect_language_batch(self, wav: Tensor) -> Any:
        """Returns the languages of the enhanced batch, see `WhisperASR`."""
        return super().detect_language_batch(_enhance(self.frontend, wav, None))  # type: ignore[misc]

    def detect_language_file(self, path: str) -> Any:
        """Returns the language of the enhanced file, see `WhisperASR`."""
        return self._reading_enhanced().detect_language_file(path)

    def transcribe_file_streaming(self, path: str, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Yields the segments of the enhanced file, see `WhisperASR`."""
        yield from self._reading_enhanced().transcribe_file_streaming(path, *args, **kwargs)

    def _reading_enhanced(self) -> Any:
        """Returns a copy of this recogniser that enhances files when reading them, and nothing else."""
        plain: Any = copy.copy(self)
        plain.__class__ = self._plain_class
        plain.audio_normalizer = EnhancingAudioNormalizer.around(self.audio_normalizer, self.frontend)
        plain._get_audio_stream = partial(_enhanced_blocks, self.frontend, plain._get_audio_stream)
        return plain


def _enhance(frontend: EnhanceFrontend, wavs: Tensor, wav_lens: Tensor | None) -> Tensor:
    batch = wavs.float()[None] if wavs.dim() == 1 else wavs.float()
    return frontend.enhance_batch(batch, wav_lens)


def _enhanced_blocks(frontend: EnhanceFrontend, read: Any, streamer: Any, frames_per_chunk: int) -> Iterator[Tensor]:
    """Yields enhanced blocks of the same size as those read by `_get_audio_stream`."""
    lanes = Lanes(frontend, 1)
    for chunk in read(streamer, frames_per_chunk):
        lanes.push(chunk)
        yield from (samples for samples, _ in lanes.take(frames_per_chunk))
    yield from (samples for samples, _ in lanes.rest(frames_per_chunk))


def _mixin_for(recogniser: Any) -> type:
    if isinstance(recogniser, StreamingASR):
        return EnhancesStreams
    if isinstance(recogniser, WhisperASR):
        return _EnhancesWhisper
    if isinstance(recogniser, VAD):
        return _EnhancesSpeechProb
    if isinstance(recogniser, Pretrained) and hasattr(recogniser, "encode_batch"):
        return _EnhancesBatches
    raise ConfigError(
        "expected EncoderASR, EncoderDecoderASR, WhisperASR, StreamingASR, SpeakerRecognition, VAD or another "
        f"inference class of SpeechBrain with encode_batch, got {type(recogniser).__name__}"
    )


@cache
def _enhancing_class(mixin: type, plain: type) -> type:
    return type(f"Enhancing{plain.__name__}", (mixin, plain), {"_plain_class": plain, "__module__": __name__})
