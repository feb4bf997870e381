"""The ONNX Runtime engine: always there, and the way to CUDA, TensorRT or CoreML.

Checkpoints run in the package's own graph, to which their folded weights are bound at load; a ready-made streaming file
in the layout of the released `gtcrn_simple.onnx` runs as it is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Before the import: ONNX Runtime would write a device id into the user's home and start a thread to report usage, in
# whose absence a forked child hangs when it ends.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

from gtcrn_frontend.engines.onnx_weights import onnx_layout, with_slopes
from gtcrn_frontend.engines.spectral import SpectralEngine
from gtcrn_frontend.engines.stft import C64
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.weights.fold import fold_gtcrn
from gtcrn_frontend.weights.model import Model, installed_model_file
from gtcrn_frontend.weights.parameters import F32

_CPU = "CPUExecutionProvider"
# Rows of the decoder's convolution cache: the canonical order is that of the encoder (dilations 1, 2, 5), the graph's
# is that of execution (5, 2, 1).
_ENCODER_ROWS = (slice(0, 2), slice(2, 6), slice(6, 16))
_BANDS = 33


def load_onnx(model: Model, num_threads: int = 1, providers: Sequence[str] = ()) -> OnnxEngine:
    """Returns an engine that runs the model in ONNX Runtime.

    Args:
        model: a checkpoint or a ready graph.
        num_threads: threads within an operator; more than one seldom pays for a network this small.
        providers: names of ONNX Runtime's execution providers in order of preference; the CPU comes last by itself.

    Raises:
        ModelError: a provider is not in the installed ONNX Runtime, or the graph cannot be loaded.
    """
    if model.graph is not None:
        session = _session(model.graph, num_threads, providers, {})
        if {node.name for node in session.get_inputs()} == set(_BoundGraphEngine._INPUTS):
            return _SelfContainedGraphEngine(model, session)
        return _ReadyGraphEngine(model, session)
    if model.parameters is None:
        raise ModelError(f"{model.source}: expected weights or a graph, got neither")
    folded = fold_gtcrn(model.parameters)
    graph = with_slopes(installed_model_file("gtcrn.onnx").read_bytes(), folded)
    return _BoundGraphEngine(model, _session(graph, num_threads, providers, onnx_layout(folded)))


def _session(
    graph: bytes, num_threads: int, providers: Sequence[str], weights: Mapping[str, F32]
) -> onnxruntime.InferenceSession:
    available = onnxruntime.get_available_providers()
    missing = [name for name in providers if name not in available]
    if missing:
        raise ModelError(
            f"expected providers out of {available}, got {missing}: install the matching onnxruntime build"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    # A spinning thread would burn the core that the recogniser needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    if weights:
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
        options.add_external_initializers(list(weights), values)
    chosen = [name for name in providers if name != _CPU] + [_CPU]
    try:
        return onnxruntime.InferenceSession(graph, options, providers=chosen)
    except Exception as error:  # ONNX Runtime's exceptions have no common base but Exception
        raise ModelError(f"ONNX Runtime cannot load the model: {error}") from error


class OnnxEngine(SpectralEngine):
    """What both kinds of graph share."""

    name = "onnx"

    def __init__(self, model: Model, session: onnxruntime.InferenceSession) -> None:
        self.spec = model.spec
        self.description = f"ONNX Runtime {onnxruntime.__version__}, {session.get_providers()[0]}"
        self._session = session

    def _call(self, outputs: Sequence[str], feeds: dict[str, Any]) -> list[Any]:
        try:
            return list(self._session.run(outputs, feeds))
        except Exception as error:  # ONNX Runtime's exceptions have no common base but Exception
            raise ModelError(f"ONNX Runtime failed: {error}") from error


class _BoundGraphEngine(OnnxEngine):
    """The package's own graph. Caches: conv `(N, 16, 32, 33)`, tra `(6, N, 16)`, inter `(2, 33 N, 16)`."""

    _INPUTS = ("spec", "conv", "tra", "inter")
    _OUTPUTS = ("mask", "new_conv", "new_tra", "new_inter")

    def _run(self, spectra: C64, caches: tuple[Any, ...]) -> tuple[C64, tuple[Any, ...]]:
        planes = spectra.view(np.float32).reshape(*spectra.shape, 2)
        feeds = dict(zip(self._INPUTS, (planes, *caches), strict=True))
        mask, *updated = self._call(self._OUTPUTS, feeds)
        # The mask is complex: real and imaginary part side by side are numpy's own layout of complex numbers.
        return mask.view(np.complex64)[..., 0] * spectra, tuple(updated)

    def _stack(self, caches: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
        conv, tra, inter = zip(*caches, strict=True)
        return np.concatenate(conv), np.concatenate(tra, axis=1), np.concatenate(inter, axis=1)

    def _unstack(self, caches: tuple[Any, ...], streams: int) -> list[tuple[Any, ...]]:
        conv, tra, inter = caches
        return [
            (
                conv[i : i + 1].copy(),
                tra[:, i : i + 1].copy(),
                inter[:, _BANDS * i : _BANDS * (i + 1)].copy(),
            )
            for i in range(streams)
        ]

    def _caches_to_canonical(self, caches: tuple[Any, ...]) -> dict[str, F32]:
        conv, tra, inter = caches
        encoder, decoder = conv[0, :, :16], conv[0, :, 16:]
        # 10, 4, 2 rows of the dilations 5, 2, 1
        decoder = np.concatenate([decoder[:, 14:16], decoder[:, 10:14], decoder[:, :10]], axis=1)
        return {
            "conv": np.stack([encoder, decoder]),
            "tra": tra.reshape(2, 3, 16).copy(),
            "inter": inter.reshape(2, _BANDS, 16).copy(),
        }

    def _caches_from_canonical(self, arrays: Mapping[str, F32]) -> tuple[Any, ...]:
        encoder, decoder = arrays["conv"]
        rows = [encoder, *(decoder[:, rows] for rows in reversed(_ENCODER_ROWS))]
        return (
            np.concatenate(rows, axis=1)[None],
            arrays["tra"].reshape(6, 1, 16).copy(),
            arrays["inter"].reshape(2, _BANDS, 16).copy(),
        )


class _SelfContainedGraphEngine(_BoundGraphEngine):
    """The package's own graph as it is exported in the layout `onnx`: weights inside, mask applied."""

    _OUTPUTS = ("enh", "new_conv", "new_tra", "new_inter")

    def _run(self, spectra: C64, caches: tuple[Any, ...]) -> tuple[C64, tuple[Any, ...]]:
        planes = spectra.view(np.float32).reshape(*spectra.shape, 2)
        feeds = dict(zip(self._INPUTS, (planes, *caches), strict=True))
        enhanced, *updated = self._call(self._OUTPUTS, feeds)
        return enhanced.view(np.complex64)[..., 0], tuple(updated)


class _ReadyGraphEngine(OnnxEngine):
    """A file in the layout of `gtcrn_simple.onnx`: one stream and one frame per run, caches with batch axes of one."""

    _INPUTS = ("mix", "conv_cache", "tra_cache", "inter_cache")
    _SHAPES = ((2, 1, 16, 16, 33), (2, 3, 1, 1, 16), (2, 1, 33, 16))
    _OUTPUTS = ("enh", "conv_cache_out", "tra_cache_out", "inter_cache_out")

    def __init__(self, model: Model, session: onnxruntime.InferenceSession) -> None:
        super().__init__(model, session)
        shapes = ((1, model.spec.n_bins, 1, 2), *self._SHAPES)
        expected = {name: (shape, "tensor(float)") for name, shape in zip(self._INPUTS, shapes, strict=True)}
        found = {node.name: (tuple(node.shape), node.type) for node in session.get_inputs()}
        outputs = {node.name for node in session.get_outputs()}
        if found != expected or not outputs.issuperset(self._OUTPUTS):
            raise ModelError(
                f"{model.source}: expected a streaming GTCRN with the inputs {expected} and the outputs "
                f"{list(self._OUTPUTS)}, got {found} and {sorted(outputs)}"
            )

    def _run(self, spectra: C64, caches: tuple[Any, ...]) -> tuple[C64, tuple[Any, ...]]:
        planes = spectra.view(np.float32).reshape(*spectra.shape, 2)
        enhanced = np.empty_like(spectra)
        updated = []
        for stream, cache in enumerate(caches):
            for frame in range(spectra.shape[1]):
                mix = planes[stream, frame][None, :, None]
                feeds = dict(zip(self._INPUTS, (mix, *cache), strict=True))
                result, *cache = self._call(self._OUTPUTS, feeds)
                enhanced[stream, frame] = result.view(np.complex64)[0, :, 0, 0]
            updated.append(tuple(cache))
        return enhanced, tuple(updated)

    # One stream's caches are a tuple with one entry, that stream's arrays: so a batch is a longer tuple.
    def _stack(self, caches: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
        return tuple(entry for (entry,) in caches)

    def _unstack(self, caches: tuple[Any, ...], streams: int) -> list[tuple[Any, ...]]:
        return [(entry,) for entry in caches]

    def _caches_to_canonical(self, caches: tuple[Any, ...]) -> dict[str, F32]:
        arrays = dict(zip(("conv", "tra", "inter"), caches[0], strict=True))
        return {name: array.reshape(self.spec.cache_shapes[name]).copy() for name, array in arrays.items()}

    def _caches_from_canonical(self, arrays: Mapping[str, F32]) -> tuple[Any, ...]:
        names = ("conv", "tra", "inter")
        return (tuple(arrays[name].reshape(shape).copy() for name, shape in zip(names, self._SHAPES, strict=True)),)
