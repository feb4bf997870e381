"""`FrontendRecognizer`: wraps sherpa-onnx objects that create streams; each stream gets an enhancer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import wraps
from typing import Any

from gtcrn_frontend.adapters.fail_open import OnError
from gtcrn_frontend.adapters.sherpa.streams import FrontendStream, OfflineFrontendStream, OnlineFrontendStream
from gtcrn_frontend.enhancer import Enhancer


class FrontendRecognizer:
    """A recogniser (spotter, extractor, tagger, ...) whose streams enhance their input; otherwise unchanged.

    Args:
        host: the object of sherpa-onnx.
        enhancer: template for the streams' enhancers; holds the loaded model.
        on_error: of the streams, see `FrontendStream`.
    """

    __slots__ = ("__weakref__", "_enhancer", "_host", "_on_error")

    def __init__(self, host: Any, enhancer: Enhancer, on_error: OnError = "raise") -> None:
        self._host = host
        self._enhancer = enhancer
        self._on_error = on_error

    def create_stream(self, *args: Any, **kwargs: Any) -> OnlineFrontendStream | OfflineFrontendStream:
        """Returns a stream of the host with its own enhancer; arguments are passed to the host's method."""
        stream = self._host.create_stream(*args, **kwargs)
        # only online streams have input_finished
        kind = OnlineFrontendStream if hasattr(stream, "input_finished") else OfflineFrontendStream
        return kind(stream, self._enhancer, self._on_error)

    def __getattr__(self, name: str) -> Any:
        """Delegates to the host; wrapped streams are unwrapped in arguments of its methods."""
        if name.startswith("_"):  # own attributes that are not set yet: copying looks them up before `__init__`
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        attribute = getattr(self._host, name)
        return _taking_wrapped_streams(attribute) if callable(attribute) else attribute

    def __repr__(self) -> str:
        return f"<{type(self._host).__name__} with {self._enhancer!r}>"


def _taking_wrapped_streams(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        return method(*map(_unwrapped, args), **{name: _unwrapped(value) for name, value in kwargs.items()})

    return call


def _unwrapped(value: Any) -> Any:
    """Returns the host's stream or streams in place of wrapped ones; other values unchanged."""
    if isinstance(value, FrontendStream):
        return value._stream
    if isinstance(value, Iterator):
        value = list(value)  # sherpa-onnx also accepts generators
    if isinstance(value, Collection) and any(isinstance(each, FrontendStream) for each in value):
        return [each._stream if isinstance(each, FrontendStream) else each for each in value]
    return value
