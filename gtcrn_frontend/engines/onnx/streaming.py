"""Published streaming ONNX models: spectrum and caches of one stream in, enhanced spectrum and caches out.

    mix      (1, bins, T, 2)   real and imaginary part of one frame, or of any number where T is dynamic    enh
    NAME     any fixed shape   cache, zeros at the start; any number of these          NAME_out

A cache may be in parts, `order.0_cache`, `order.1_cache` and so on for `order`: a graph that joins and cuts a large
cache in every run copies it twice.

Everything is float32. GTCRN, its successor UL-UNAS, DPCRN and others are published in this form, and `gtcrn-frontend
export` writes it. The STFT parameters are in the metadata under sherpa-onnx's names. A file without them has those of
the known network whose caches have the same names and sizes; of an unknown network, 16 kHz, 50 % overlap, the square
root of the Hann window, and n_fft from the number of bins.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.engines.onnx.session import OnnxEngine, run_session
from gtcrn_frontend.engines.stft import C64
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.model_spec import GTCRN_SPEC, WINDOWS, ModelSpec
from gtcrn_frontend.weights.networks import NETWORKS

_FLOAT = "tensor(float)"


class StreamingGraphEngine(OnnxEngine):
    """Runs a graph of this form.

    The caches of a stream are a tuple with one entry, its arrays; those of a batch are a longer tuple.
    """

    def __init__(self, spec: ModelSpec, session: onnxruntime.InferenceSession) -> None:
        super().__init__(spec, session)
        mix, caches = _inputs(session)
        self._shapes = {name: tuple(node.shape) for name, node in caches.items()}
        self._parts = _parts(caches)
        self._frames_at_once = 1 if mix.shape[2] == 1 else None
        self._outputs = ["enh", *(f"{name}_out" for name in self._shapes)]

    def _run(self, spectra: C64, caches: tuple[Any, ...]) -> tuple[C64, tuple[Any, ...]]:
        planes = spectra.view(np.float32).reshape(*spectra.shape, 2)
        enhanced = np.empty_like(spectra)
        updated = []
        step = self._frames_at_once or spectra.shape[1]
        for stream, cache in enumerate(caches):
            for frame in range(0, spectra.shape[1], step):
                mix = planes[stream, frame : frame + step].transpose(1, 0, 2)[None]
                feeds = {"mix": _value(np.ascontiguousarray(mix)), **dict(zip(self._shapes, cache, strict=True))}
                # With ONNX Runtime's own values, caches are not copied between runs.
                result, *cache = run_session(self._session.run_with_ort_values, self._outputs, feeds)
                parts = np.ascontiguousarray(result.numpy()[0].transpose(1, 0, 2))
                enhanced[stream, frame : frame + step] = parts.view(np.complex64)[..., 0]
            updated.append(tuple(cache))
        return enhanced, tuple(updated)

    def _stack(self, caches: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
        return tuple(entry for (entry,) in caches)

    def _unstack(self, caches: tuple[Any, ...], streams: int) -> list[tuple[Any, ...]]:
        return [(entry,) for entry in caches]

    def _caches_to_canonical(self, caches: tuple[Any, ...]) -> dict[str, F32]:
        flat = {name: value.numpy().ravel() for name, value in zip(self._shapes, caches[0], strict=True)}
        joined = {name: np.concatenate([flat[part] for part in parts]) for name, parts in self._parts.items()}
        return {name: array.reshape(self.spec.cache_shapes[name]) for name, array in joined.items()}

    def _caches_from_canonical(self, arrays: Mapping[str, F32]) -> tuple[Any, ...]:
        values = {}
        for name, parts in self._parts.items():
            ends = np.cumsum([math.prod(self._shapes[part]) for part in parts])
            for part, piece in zip(parts, np.split(arrays[name].ravel(), ends[:-1]), strict=True):
                values[part] = _value(piece.reshape(self._shapes[part]).copy())
        return (tuple(values[name] for name in self._shapes),)


def streaming_graph_spec(session: onnxruntime.InferenceSession, source: Path) -> ModelSpec:
    """Returns the spec of a streaming graph: that of the known network with caches of these names and sizes, if any.

    Raises:
        ModelError: the graph is not of this form, or its STFT does not have 50 % overlap.
    """
    _check(session, source)
    _try_out(session, source)
    mix, caches = _inputs(session)
    parts = _parts(caches)
    sizes = {name: tuple(caches[name].shape) for name in caches}
    shapes = {
        name: sizes[of[0]] if len(of) == 1 else (sum(math.prod(sizes[part]) for part in of),)
        for name, of in parts.items()
    }
    facts: Mapping[str, str] = session.get_modelmeta().custom_metadata_map
    try:
        n_fft = int(facts.get("n_fft", 2 * (mix.shape[1] - 1)))
        hop_length = int(facts.get("hop_length", n_fft // 2))
        win_length = int(facts.get("window_length", n_fft))
        sample_rate = int(facts.get("sample_rate", GTCRN_SPEC.sample_rate))
    except ValueError as error:
        raise ModelError(f"{source}: expected whole numbers in the graph's metadata: {error}") from error
    window = facts.get("window_type", "")
    half_overlap = 0 < 2 * hop_length == win_length <= n_fft and window in ("", *WINDOWS)
    if n_fft // 2 + 1 != mix.shape[1] or not half_overlap or sample_rate < 1:
        raise ModelError(
            f"{source}: expected {mix.shape[1]} bins, a hop of half a window, a window out of "
            f"{', '.join(WINDOWS)} and a rate, got n_fft {n_fft}, window {win_length}, hop {hop_length}, "
            f"{window or 'no window_type'}, {sample_rate} Hz"
        )
    transform = {"analysis": (win_length - hop_length,), "synthesis": (win_length - hop_length,)}
    if transform.keys() & parts.keys() or not all(map(_are_distinct, parts.values())):
        raise ModelError(f"{source}: expected caches of different names, none of {list(transform)}, got {list(caches)}")
    spec = ModelSpec(
        source.stem,
        sample_rate,
        n_fft,
        win_length,
        hop_length,
        window or GTCRN_SPEC.window,
        True,
        0,
        None,
        "",
        transform | shapes,
    )
    for network in NETWORKS.values():
        if _without_window(network.spec) == _without_window(spec):
            return network.spec if window in ("", network.spec.window) else replace(network.spec, window=window)
    return spec


def _without_window(spec: ModelSpec) -> ModelSpec:
    """Returns a key for matching specs of one network: files may have axes of size one, and another window."""
    sizes = {name: (math.prod(shape),) for name, shape in spec.cache_shapes.items()}
    return replace(spec, name="", window="", parameters=None, licence="", cache_shapes=sizes)


def _parts(caches: Iterable[str]) -> dict[str, list[str]]:
    """Returns the caches by canonical name, the parts of each in order."""
    parts: dict[str, list[str]] = {}
    for name in caches:
        parts.setdefault(_name_and_part(name)[0], []).append(name)
    return {canonical: sorted(names, key=lambda name: _name_and_part(name)[1]) for canonical, names in parts.items()}


def _name_and_part(name: str) -> tuple[str, int]:
    """Returns the canonical name of a cache, and the number of its part; -1 without one."""
    canonical, dot, number = name.removesuffix("_cache").rpartition(".")
    return (canonical, int(number)) if dot and number.isdecimal() else (name.removesuffix("_cache"), -1)


def _are_distinct(names: Sequence[str]) -> bool:
    """Whether the caches of one canonical name are one cache, or numbered parts of it."""
    numbers = {_name_and_part(name)[1] for name in names}
    return len(names) == 1 or (len(numbers) == len(names) and -1 not in numbers)


def _value(array: F32) -> onnxruntime.OrtValue:
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)


def _inputs(session: onnxruntime.InferenceSession) -> tuple[Any, dict[str, Any]]:
    """The spectrum, and the caches by name."""
    inputs = {node.name: node for node in session.get_inputs()}
    return inputs.pop("mix", None), inputs


def _try_out(session: onnxruntime.InferenceSession, source: Path) -> None:
    """Runs one frame, as output shapes are often not declared."""
    mix, caches = _inputs(session)
    feeds = {name: np.zeros(node.shape, np.float32) for name, node in caches.items()}
    feeds["mix"] = np.zeros((1, mix.shape[1], 1, 2), np.float32)
    expected = {"enh" if name == "mix" else f"{name}_out": array.shape for name, array in feeds.items()}
    try:
        outputs = session.run(list(expected), feeds)
    except Exception as error:  # ONNX Runtime's exceptions have no common base but Exception
        raise ModelError(f"{source}: ONNX Runtime failed: {error}") from error
    found = {name: output.shape for name, output in zip(expected, outputs, strict=True)}
    if found != expected or any(output.dtype != np.float32 for output in outputs):
        raise ModelError(f"{source}: expected a streaming graph with the outputs {expected}, all float, got {found}")


def _check(session: onnxruntime.InferenceSession, source: Path) -> None:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    mix, caches = _inputs(session)
    made = {node.name: node for node in outputs}
    fits = (
        mix is not None
        and len(mix.shape) == 4
        and (mix.shape[0], mix.shape[3]) == (1, 2)
        and isinstance(mix.shape[1], int)
        and (mix.shape[2] == 1 or not isinstance(mix.shape[2], int))
        and all(isinstance(size, int) and size > 0 for node in caches.values() for size in node.shape)
        and all(name in made for name in ("enh", *(f"{name}_out" for name in caches)))
        and all(node.type == _FLOAT for node in inputs)
    )
    if not fits:
        found = {node.name: (tuple(node.shape), node.type) for node in inputs}
        raise ModelError(
            f"{source}: expected a streaming graph with the inputs mix (1, bins, 1, 2) and caches of fixed shapes, all "
            f"float, and the outputs enh and CACHE_out for each cache, got the inputs {found} and the outputs "
            f"{sorted(made)}"
        )
