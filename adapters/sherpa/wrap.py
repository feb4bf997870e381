"""`with_frontend`: adds speech enhancement to a sherpa-onnx recogniser or VAD."""

from __future__ import annotations

import difflib
from typing import Any

from gtcrn_frontend.adapters.fail_open import OnError, check_on_error
from gtcrn_frontend.adapters.sherpa.library import sherpa_onnx
from gtcrn_frontend.adapters.sherpa.recognizers import FrontendRecognizer
from gtcrn_frontend.adapters.sherpa.vad import DEFAULT_ROUTE, ROUTES, FrontendVad
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.enhancer import Enhancer
from gtcrn_frontend.errors import ConfigError


def with_frontend(
    host: Any, frontend: Enhancer | EnhancerConfig, *, route: str = DEFAULT_ROUTE, on_error: OnError = "raise"
) -> Any:
    """Returns a drop-in replacement for `host` that enhances the audio passed to it or its streams.

        recognizer = with_frontend(sherpa_onnx.OnlineRecognizer.from_transducer(...), Enhancer())
        stream = recognizer.create_stream()
        stream.accept_waveform(48000, samples)
        while recognizer.is_ready(stream):
            recognizer.decode_stream(stream)

    Its streams (or the wrapped detector) have two more attributes that may be set at any time: `strength` and `bypass`.
    At strength 0 and in bypass, the host gets the caller's samples unchanged, delayed by the enhancer's latency.
    Samples are passed on at their own rate, and sherpa-onnx resamples as usual; with `output_sample_rate=16000` the
    enhancer resamples instead, with 4.5 ms less delay for input at 48,000 Hz and another resampling filter than without
    front-end.

    Args:
        host: an `OnlineRecognizer`, `OfflineRecognizer`, `KeywordSpotter`, `SpokenLanguageIdentification`,
            `SpeakerEmbeddingExtractor` or `AudioTagging`, or any other object with `create_stream`; or a
            `VoiceActivityDetector`. It is not modified.
        frontend: settings of the enhancers; each stream gets its own, and all share the model. An `Enhancer` only
            provides its settings, and its strength and bypass at the time a stream is created. `sample_rate` applies to
            detectors only: streams use the rate passed to `accept_waveform`.
        route: for a detector, the signals for detection and for the segments: `enhanced_to_both`,
            `enhanced_to_vad_raw_to_asr`, `raw_to_vad_enhanced_to_asr`, `raw_to_both`, or, with detection at full
            strength and segments at the strength that is set, `enhanced_to_vad_mixed_to_asr`.
        on_error: after an internal error of the front-end, `raise` it, or `pass`: log it, and hand the input over, as
            late as before and without a gap, until the stream ends; its attribute `failed` tells so. The front-end then
            must not change the sample rate.

    Raises:
        ImportError: sherpa-onnx is not installed.
        ConfigError: host, frontend or route is invalid, or the settings do not fit.
        ModelError: the model cannot be loaded.
    """
    vad_class = sherpa_onnx().VoiceActivityDetector
    enhancer = Enhancer.from_config(frontend) if isinstance(frontend, EnhancerConfig) else frontend
    if not isinstance(enhancer, Enhancer):
        raise ConfigError(f"expected an Enhancer or an EnhancerConfig, got {_kind(frontend)}")
    if enhancer.config.channels > 1 and not enhancer.config.downmix:
        raise ConfigError(
            f"expected one channel, as recognisers take, got channels={enhancer.config.channels}: set downmix=True"
        )
    if check_on_error(on_error) == "pass" and enhancer.config.output_sample_rate is not None:
        raise ConfigError(
            f"expected no output_sample_rate with on_error='pass', got {enhancer.config.output_sample_rate} Hz: leave "
            "it out, since the input must be able to take the output's place"
        )
    if route not in ROUTES:
        near = difflib.get_close_matches(str(route), ROUTES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(ROUTES)}"
        raise ConfigError(f"expected the name of a route, got {route!r}: {hint}")
    if isinstance(host, (FrontendRecognizer, FrontendVad)):
        raise ConfigError(f"expected an object of sherpa-onnx, got one that already has a front-end: {host!r}")
    if isinstance(host, vad_class):
        return FrontendVad(host, enhancer, route, on_error)
    if isinstance(host, type) or not callable(getattr(host, "create_stream", None)):
        raise ConfigError(
            f"expected a recogniser or another object of sherpa-onnx with create_stream(), or a VoiceActivityDetector, "
            f"got {_kind(host)}"
        )
    if route != DEFAULT_ROUTE:
        raise ConfigError(
            f"expected route={DEFAULT_ROUTE!r} for {_kind(host)}, got {route!r}: routes are for a VoiceActivityDetector"
        )
    return FrontendRecognizer(host, enhancer, on_error)


def _kind(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
