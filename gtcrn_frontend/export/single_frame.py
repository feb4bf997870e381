"""GTCRN graph for one stream and one frame per run, the layout of sherpa-onnx's denoisers.

    mix         (1, 257, 1, 2)       spectrum, real and imaginary part      enh
    conv_cache  (2, 1, 16, 16, 33)   encoder and decoder; channels, time    conv_cache_out
    tra_cache   (2, 3, 1, 1, 16)     encoder and decoder; blocks            tra_cache_out
    inter_cache (2, 1, 33, 16)       dp1 and dp2; bands                     inter_cache_out

All shapes are static. One frame takes half a million multiplications; the run time is dominated by the overhead of two
hundred operators and by slow ones. Therefore grouped convolutions that ONNX Runtime cannot block by channels are dense
with zeros, channels stay in split order (see `models/build_gtcrn.py`), caches are sliced and concatenated by rows, and
recurrences take the forms in `recurrent.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.engines.onnx.gtcrn_layout import INTERLEAVED_TO_SPLIT, PASSED_OF_SPLIT, TEMPORAL_BLOCKS, onnx_layout
from gtcrn_frontend.export.graph import Graph
from gtcrn_frontend.export.origin import Origin
from gtcrn_frontend.export.recurrent import dual_path, gru_attributes
from gtcrn_frontend.model_spec import ModelSpec

# Opset 17 is the first with LayerNormalization; ONNX Runtime 1.15 reads it.
OPSET, IR_VERSION = 17, 8
CACHES = {"conv_cache": (2, 1, 16, 16, 33), "tra_cache": (2, 3, 1, 1, 16), "inter_cache": (2, 1, 33, 16)}

ENCODER, DECODER = TEMPORAL_BLOCKS[:3], TEMPORAL_BLOCKS[3:]
DILATIONS = dict(zip(TEMPORAL_BLOCKS, (1, 2, 5, 5, 2, 1), strict=True))
_OLDEST = {1: 0, 2: 2, 5: 6}  # first of the 2 * dilation frames on the time axis of `conv_cache`, by dilation
_PARTS, _, _CHANNELS, _TIMES, _BANDS = CACHES["conv_cache"]
_ROWS = np.arange(_PARTS * _CHANNELS * _TIMES).reshape(_PARTS, _CHANNELS, _TIMES)  # of `conv_cache`, 33 bands each
_SPLIT = list(INTERLEAVED_TO_SPLIT)
_EPS = 1e-12  # the network's, inside the root of the magnitude
_EVERY_OTHER: dict[str, Any] = {"strides": [1, 2], "pads": [0, 2, 0, 2]}
_SAME: dict[str, Any] = {"pads": [0, 1, 0, 1]}

# The spectrum as rows re, im, -im, re: times the mask as rows re, re, im, im, and summed, it is their complex product.
_SPECTRUM_ROWS = np.array([[1, 0], [0, 1], [0, -1], [1, 0]], np.float32)
_MASK_ROWS = [0, 0, 1, 1]
_SUMS = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], np.float32)
_POWER = np.array([[1, 1, 0, 0]], np.float32)


def single_frame_graph(folded: Mapping[str, F32], spec: ModelSpec, origin: Origin, strength: float) -> bytes:
    """Returns an ONNX file.

    Args:
        folded: what `weights.fold.fold_gtcrn` returns.
        spec: of the network.
        origin: of the weights.
        strength: 0 (input unchanged) to 1 (full enhancement).
    """
    network = _Network(folded, spec.n_bins)
    network.build(strength)
    inputs = {"mix": (1, spec.n_bins, 1, 2), **CACHES}
    outputs = {"enh": inputs["mix"], **{f"{name}_out": shape for name, shape in CACHES.items()}}
    return network.to_bytes(inputs, outputs, sherpa_metadata(spec, origin, strength), OPSET, IR_VERSION)


def sherpa_metadata(
    spec: ModelSpec, origin: Origin, strength: float, caches: Sequence[Sequence[int]] = tuple(CACHES.values())
) -> dict[str, str]:
    """Returns what sherpa-onnx reads from the file of a GTCRN; it refuses a file that lacks one of these.

    Args:
        spec: of the network.
        origin: of the weights.
        strength: see `single_frame_graph`.
        caches: shapes of the three caches, in order; those of GTCRN unless given.
    """
    shapes = zip(CACHES, caches, strict=True)
    return {
        "model_type": "gtcrn",
        "version": "1",
        "sample_rate": str(spec.sample_rate),
        "n_fft": str(spec.n_fft),
        "hop_length": str(spec.hop_length),
        "window_length": str(spec.win_length),
        "window_type": spec.window,
        **{f"{name}_shape": ",".join(map(str, shape)) for name, shape in shapes},
        "model_url": origin.url,
        "maintainer": "gtcrn_frontend",
        "comment": f"{origin.name}, digest {origin.digest}",
        "comment2": f"strength {strength:g}",
    }


class _Network(Graph):
    """Builds the network; tensors are `(1, channels, 1, bands)` unless noted otherwise."""

    def __init__(self, folded: Mapping[str, F32], n_bins: int) -> None:
        super().__init__()
        self._folded = folded
        self._w = onnx_layout(folded)
        self._n_bins = n_bins
        # Per temporal block: the two past frames it reads, its GRU state, and its part of the new caches.
        self._pasts: dict[str, str] = {}
        self._hiddens: dict[str, str] = {}
        self._frames: dict[str, str] = {}

    def build(self, strength: float) -> None:
        """Adds all nodes, from the inputs to the outputs."""
        w = self._w
        mix = self.add("Reshape", ["mix", [self._n_bins, 2]])
        spectrum = self.add("Gemm", [_SPECTRUM_ROWS, mix], transB=1)  # (4, bins)
        self._read_caches()

        first = self._conv(self._features(spectrum), "en0", w["en0.weight"], w["en0.bias"], **_EVERY_OTHER)
        weight = _dense(w["en1.weight"])[_SPLIT]
        skips = [first, self._conv(first, "en1", weight, w["en1.bias"][_SPLIT], **_EVERY_OTHER)]
        for name in ENCODER:
            skips.append(self._temporal_block(skips[-1], name))
        x = self._dual_paths(skips[-1])
        for name in DECODER:
            x = self._temporal_block(self.add("Add", [x, skips.pop()]), name)
        weight = _dense(w["de3.weight"])[_SPLIT]
        x = self.add("ConvTranspose", [self.add("Add", [x, skips.pop()]), weight, w["de3.bias"]], **_EVERY_OTHER)
        x = self.add("Add", [self._prelu(x, "de3"), skips.pop()])

        product = self.add("Mul", [self._masks(x), spectrum])
        if strength == 1:
            enhanced = self.add("Gemm", [product, _SUMS], transA=1)
        else:  # (s M + (1 - s)) X = s (M X) + (1 - s) X
            enhanced = self.add("Gemm", [product, _SUMS, mix], transA=1, alpha=strength, beta=1 - strength)
        self.add("Reshape", [enhanced, [1, self._n_bins, 1, 2]], "enh")
        self._write_caches()

    def _features(self, spectrum: str) -> str:
        """Adds magnitude, real and imaginary part in bands, each with its neighbours."""
        power = self.add("Gemm", [_POWER, self.add("Mul", [spectrum, spectrum]), np.array([[_EPS]])])
        planes = self.add("Concat", [self.add("Sqrt", [power]), spectrum], axis=0)  # (5, bins): two rows are free
        erb, n_high = self._folded["erb.merge"].shape
        n_low = self._n_bins - n_high
        low, high = self.split(planes, [n_low, n_high], axis=1)
        bands = self.add("Concat", [low, self.add("MatMul", [high, self._folded["erb.merge"].T])], axis=1)
        neighbours = np.zeros((9, 5, 1, 3), np.float32)
        neighbours[np.arange(9), np.arange(9) // 3, 0, np.arange(9) % 3] = 1
        return self.add("Conv", [self.add("Reshape", [bands, [1, 5, 1, n_low + erb]]), neighbours], **_SAME)

    def _masks(self, x: str) -> str:
        """Adds the mask as rows re, re, im, im, `(4, bins)`."""
        weight, bias = self._w["de4.weight"][:, _MASK_ROWS], self._w["de4.bias"][_MASK_ROWS]
        x = self.add("Tanh", [self.add("ConvTranspose", [x, weight, bias], **_EVERY_OTHER)])
        n_high, erb = self._folded["erb.spread"].shape
        n_low = self._n_bins - n_high
        low, high = self.split(self.add("Reshape", [x, [len(_MASK_ROWS), n_low + erb]]), [n_low, erb], axis=1)
        return self.add("Concat", [low, self.add("MatMul", [high, self._folded["erb.spread"].T])], axis=1)

    def _temporal_block(self, x: str, name: str) -> str:
        w = self._w
        h = self._conv(x, f"{name}.point1", w[f"{name}.point1.weight"], w[f"{name}.point1.bias"], **_SAME)
        self._frames[name] = h
        h = self.add("Concat", [self._pasts[name], h], axis=2)  # (1, channels, 3, bands)
        h = self._conv(h, f"{name}.depth", w[f"{name}.depth.weight"], w[f"{name}.depth.bias"], group=_CHANNELS, **_SAME)
        h = self.add("Conv", [h, w[f"{name}.point2.weight"], w[f"{name}.point2.bias"]])

        energy = self.add("ReduceSumSquare", [h], axes=[2, 3], keepdims=0)  # the mean's 1/33 is in the GRU's weights
        inputs = [self.add("Unsqueeze", [energy, [0]]), *(w[f"{name}.gru.{kind}"] for kind in "wrb"), ""]
        _, hidden = self.add_many(
            "GRU", [*inputs, self._hiddens[name]], ["", f"{name}.hidden"], **gru_attributes(_CHANNELS)
        )
        self._hiddens[name] = hidden
        row = self.add("Squeeze", [hidden, [0]])  # (1, 16)
        scores = self.add("Gemm", [w[f"{name}.fc.weight"].T, row, w[f"{name}.fc.bias"][:, None]], transB=1)  # (8, 1)
        attention = self.add("Reshape", [self.add("Sigmoid", [scores]), [len(PASSED_OF_SPLIT), 1, 1]])
        passed = self.add("Gather", [x, list(PASSED_OF_SPLIT)], axis=1)
        return self.add("Concat", [self.add("Mul", [h, attention]), passed], axis=1)

    def _dual_paths(self, x: str) -> str:
        x = self.add("Reshape", [self.add("Transpose", [x], perm=[0, 2, 3, 1]), [_BANDS, _CHANNELS]])
        hiddens = self.split(self.add("Reshape", ["inter_cache", [2 * _BANDS, _CHANNELS]]), [_BANDS, _BANDS], axis=0)
        for i, name in enumerate(("dp1", "dp2")):
            x, hiddens[i] = dual_path(self, x, hiddens[i], name, self._w)
        self.add("Reshape", [self.add("Concat", hiddens, axis=0), CACHES["inter_cache"]], "inter_cache_out")
        return self.add("Transpose", [self.add("Reshape", [x, [1, 1, _BANDS, _CHANNELS]])], perm=[0, 3, 1, 2])

    def _read_caches(self) -> None:
        """Adds the reads of the caches: a dilated convolution uses two past frames, the oldest and the middle one."""
        picked = []
        for name in TEMPORAL_BLOCKS:
            oldest = _OLDEST[DILATIONS[name]]
            picked.append(_ROWS[int(name in DECODER)][:, [oldest, oldest + DILATIONS[name]]])
        rows = self.add("Reshape", ["conv_cache", [_ROWS.size, _BANDS]])
        pasts = self.split(self.add("Gather", [rows, np.array(picked)]), [1] * len(picked), axis=0)
        hiddens = self.split(
            self.add("Reshape", ["tra_cache", [len(TEMPORAL_BLOCKS), 1, _CHANNELS]]), [1] * len(TEMPORAL_BLOCKS), axis=0
        )
        self._pasts = dict(zip(TEMPORAL_BLOCKS, pasts, strict=True))
        self._hiddens = dict(zip(TEMPORAL_BLOCKS, hiddens, strict=True))

    def _write_caches(self) -> None:
        """Adds the new caches: past frames move up by one, and the current frame of each block becomes the newest."""
        source = np.minimum(_ROWS + 1, _ROWS.size - 1)
        for i, name in enumerate(TEMPORAL_BLOCKS):
            newest = _OLDEST[DILATIONS[name]] + 2 * DILATIONS[name] - 1
            source[int(name in DECODER), :, newest] = _ROWS.size + i * _CHANNELS + np.arange(_CHANNELS)
        past = self.add("Reshape", ["conv_cache", [1, _ROWS.size, 1, _BANDS]])
        rows = self.add("Concat", [past, *(self._frames[name] for name in TEMPORAL_BLOCKS)], axis=1)
        rows = self.add("Reshape", [rows, [-1, _BANDS]])
        self.add("Gather", [rows, source[:, None]], "conv_cache_out")
        hiddens = self.add("Concat", [self._hiddens[name] for name in TEMPORAL_BLOCKS], axis=0)
        self.add("Reshape", [hiddens, CACHES["tra_cache"]], "tra_cache_out")

    def _conv(self, x: str, name: str, weight: F32, bias: F32, **attributes: Any) -> str:
        return self._prelu(self.add("Conv", [x, weight, bias], **attributes), name)

    def _prelu(self, x: str, name: str) -> str:
        """Adds a PReLU with one slope as LeakyRelu, which ONNX Runtime fuses into the preceding convolution."""
        return self.add("LeakyRelu", [x], alpha=float(self._folded[f"{name}.slope"][0]))


def _dense(weight: F32) -> F32:
    """Expands the weight of a convolution with two groups to a dense one: `(16, 8, 1, 5)` to `(16, 16, 1, 5)`."""
    whole = np.zeros((_CHANNELS, _CHANNELS, *weight.shape[2:]), np.float32)
    half = _CHANNELS // 2
    whole[:half, :half], whole[half:, half:] = weight[:half], weight[half:]
    return whole
