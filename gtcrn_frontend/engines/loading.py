"""Selects and loads engines; equal requests share one loaded model."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from threading import RLock
from typing import Any
from weakref import WeakValueDictionary

from gtcrn_frontend.engines.base import Engine
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.install_hint import install_hint
from gtcrn_frontend.native.binding import why_absent
from gtcrn_frontend.weights.model import Model, load_model, model_path
from gtcrn_frontend.weights.random import random_network

ENGINES = ("native", "onnx", "torch")
"""Engines in order of speed: `auto` takes the first one that is installed and supports the model."""

process_id = os.getpid()
"""Of this process, kept: asking the system takes up to 0.3 us, 3 % of the time of a hop."""

_lock = RLock()
_loaded: WeakValueDictionary[tuple[Any, ...], LoadedModel] = WeakValueDictionary()
_of_parent: list[Any] = []


class LoadedModel:
    """A model and the engine that runs it. Streams keep a reference; it is freed with the last one.

    Args:
        model: the loaded model.
        engine: the engine that runs it.
        origin: the loaded model this one was derived from, sharing its network.
    """

    def __init__(self, model: Model, engine: Engine[Any], origin: LoadedModel | None = None) -> None:
        self.model = model
        self.engine = engine
        self.process_id = os.getpid()
        self._origin = origin  # keeps the original in the cache of loaded models while this one is in use

    def for_whole_signals(self) -> LoadedModel:
        """Returns the model in an engine for complete signals, see `Engine`."""
        engine = self.engine.for_whole_signals()
        return self if engine is self.engine else LoadedModel(self.model, engine, self)

    def with_segment_latency(self, latency_ms: int) -> LoadedModel:
        """Returns the model with another streaming latency; `ConfigError` if its network runs frame by frame."""
        return LoadedModel(self.model, self.engine.with_segment_latency(latency_ms), self)


def absent_engines() -> dict[str, str]:
    """Returns the unavailable engines, by name, each with the reason."""
    reasons = {}
    if (reason := why_absent()) is not None:
        reasons["native"] = reason
    if not _importable("torch"):
        reasons["torch"] = f"torch is not installed: {install_hint('torch')}"
    return reasons


def load(
    model: str | Path,
    engine: str = "auto",
    num_threads: int = 1,
    providers: Sequence[str] = (),
    segment_latency_ms: int | None = None,
) -> LoadedModel:
    """Loads a model into an engine; equal requests return the same object while it is in use.

    Args:
        model: a model name, the path of a checkpoint or streaming ONNX file, or `random:NETWORK` for random weights.
        engine: `auto` or one of `ENGINES`.
        num_threads: see `engines.onnx.load_onnx`.
        providers: ONNX Runtime execution providers; they imply the engine `onnx`.
        segment_latency_ms: see `EnhancerConfig`, which checks its range. Models that differ only in this share their
            weights.

    Raises:
        ConfigError: the engine does not exist or takes no providers, or the network runs frame by frame.
        ModelError: the model cannot be loaded, or the engine is not available.
    """
    if engine not in ("auto", *ENGINES):
        raise ConfigError(f"expected an engine out of {('auto', *ENGINES)}, got {engine!r}")
    if providers and engine not in ("auto", "onnx"):
        raise ConfigError(
            f"expected engine='onnx' or 'auto' with providers, got {engine!r}: providers are ONNX Runtime's"
        )
    path = model_path(model)
    key = (path, *_version(path), engine, num_threads, tuple(providers), segment_latency_ms)
    with _lock:
        loaded = _loaded.get(key)
        if loaded is None:
            if segment_latency_ms is None:
                source = load_model(path)
                loaded = LoadedModel(source, _build(source, engine, num_threads, providers))
            else:
                loaded = load(path, engine, num_threads, providers).with_segment_latency(segment_latency_ms)
            _loaded[key] = loaded
        return loaded


def _version(path: Path) -> tuple[int, ...]:
    """Returns the modification time and size of the file; empty for random weights."""
    if random_network(str(path)):
        return ()
    try:
        stat = path.stat()
    except OSError as error:
        raise ModelError(f"cannot read the model {path}: {error.strerror}") from error
    return stat.st_mtime_ns, stat.st_size


def _build(model: Model, engine: str, num_threads: int, providers: Sequence[str]) -> Engine[Any]:
    absent = absent_engines()
    if engine == "auto":
        able = ("onnx",) if providers else tuple(name for name in ENGINES if name in model.engines)
        engine = next((name for name in able if name not in absent), able[0])
    if engine in absent:
        raise ModelError(f"engine {engine!r} is not available: {absent[engine]}")
    if engine == "native":
        from gtcrn_frontend.engines.native import NativeEngine

        return NativeEngine(model, num_threads)
    if engine == "torch":
        from gtcrn_frontend.engines.torch import load_torch  # takes seconds to import

        return load_torch(model)
    from gtcrn_frontend.engines.onnx.loading import load_onnx

    return load_onnx(model, num_threads, providers)


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # blocked by an import hook, or a placeholder in sys.modules
        return False


def _after_fork_in_child() -> None:
    """Clears the cache: the threads of the parent's engines do not exist in the child.

    The objects stay referenced because destroying them would wait for those threads.
    """
    global _lock, process_id
    process_id = os.getpid()
    _lock = RLock()
    _of_parent.extend(_loaded.values())
    _loaded.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
