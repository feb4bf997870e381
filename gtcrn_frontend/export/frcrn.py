"""FRCRN as an ONNX graph from waveform to waveform: whole signals or segments of any length, any number at once.

A complex tensor is real and imaginary part one after the other among the channels, `(N, 2C, F, T)`. A layer with
complex weights is then one layer with real ones, of the same cost: [[Re, -Im], [Im, Re]]. Batch norms are folded in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gtcrn_frontend.export.graph import Graph
from gtcrn_frontend.export.origin import Origin
from gtcrn_frontend.spec import ModelSpec
from gtcrn_frontend.weights.parameters import F32

DOCUMENTATION = """{name}, speech enhancement of whole signals: samples in, enhanced samples out.

    wav (N, samples)   N signals of any length, full scale 1, {sample_rate} Hz    enhanced

Everything is float32. The network averages over the whole signal: a stream is run in segments that overlap.
"""
OPSET, IR_VERSION = 17, 8
INPUT, OUTPUT = "wav", "enhanced"

_DEPTH = 7
_NORM_EPS = 1e-5
_LEAK = 0.01
_CONV: dict[str, Any] = {"strides": [2, 1], "pads": [0, 1, 0, 1]}


def frcrn_graph(parameters: Mapping[str, F32], spec: ModelSpec, origin: Origin, strength: float) -> bytes:
    """Returns an ONNX file that computes `nets.frcrn.FRCRN.enhance`; `DOCUMENTATION` describes it, and is in it.

    Args:
        parameters: the state dict; batch counters are not needed.
        spec: of the network.
        origin: of the weights.
        strength: 0 (input unchanged) to 1 (full enhancement).
    """
    network = _Network(parameters, spec)
    network.build(strength)
    metadata = {"network": spec.name, "model": origin.name, "strength": f"{strength:g}"}
    metadata |= {"sample_rate": str(spec.sample_rate)} | origin.to_metadata()
    shape = ("N", "samples")
    documentation = DOCUMENTATION.format(name=spec.name, sample_rate=spec.sample_rate)
    return network.to_bytes({INPUT: shape}, {OUTPUT: shape}, metadata, OPSET, IR_VERSION, documentation, name=spec.name)


class _Network(Graph):
    def __init__(self, parameters: Mapping[str, F32], spec: ModelSpec) -> None:
        super().__init__()
        self._parameters = parameters
        self._spec = spec

    def build(self, strength: float) -> None:
        """Adds all nodes."""
        hop, analysis = self._spec.hop_length, self._parameters["stft.weight"]
        bins = analysis.shape[0] // 2
        length = self.add("Gather", [self.add("Shape", [INPUT]), [1]], axis=0)
        rest = self.add("Mod", [self.add("Neg", [length]), hop])
        behind = self.add("Add", [rest, hop])
        pads = self.add("Concat", [[0, hop, 0], behind], axis=0)
        padded = self.add("Unsqueeze", [self.add("Pad", [INPUT, pads]), [1]])
        spectrum = self.add("Conv", [padded, analysis], strides=[hop])
        spectrum = self.add("Reshape", [spectrum, [0, 2, bins, -1]])

        first = self._unet("unet", spectrum)
        masks = [self.add("Tanh", [first]), self.add("Tanh", [self._unet("unet2", first)])]
        (re, im), (mask_re, mask_im) = self._parts(spectrum), self._parts(self.add("Add", masks))
        enhanced_re = self.add("Sub", [self.add("Mul", [re, mask_re]), self.add("Mul", [im, mask_im])])
        enhanced_im = self.add("Add", [self.add("Mul", [re, mask_im]), self.add("Mul", [im, mask_re])])
        enhanced = self.add("Squeeze", [self.add("Concat", [enhanced_re, enhanced_im], axis=2), [1]])
        samples = self.add("ConvTranspose", [enhanced, self._parameters["istft.weight"]], strides=[hop])
        samples = self.add("Squeeze", [samples, [1]])
        end = self.add("Add", [length, hop])
        if strength == 1:
            self.add("Slice", [samples, [hop], end, [1]], OUTPUT)
            return
        samples = self.add("Slice", [samples, [hop], end, [1]])
        wet = self.add("Mul", [samples, np.float32(strength)])
        self.add("Add", [wet, self.add("Mul", [INPUT, np.float32(1 - strength)])], OUTPUT)

    def _unet(self, path: str, x: str) -> str:
        """The spectrum `(N, 2, F, T)` to one of the same shape."""
        skips = []
        for level in range(_DEPTH):
            if level:
                x = self._memory(f"{path}.fsmn_enc.{level}", 1, x, along_time=False)
            x = self._conv(f"{path}.encoders.{level}", x)
            if level < _DEPTH - 1:
                skips.append(self._scaled(f"{path}.se_layers_enc.{level}", x))
        for layer in (1, 2):
            x = self._memory(f"{path}.fsmn", layer, x, along_time=True)
        for level in range(_DEPTH):
            x = self._conv_transposed(f"{path}.decoders.{level}", x, with_skip=level > 0)
            if level < _DEPTH - 1:
                x = self._memory(f"{path}.fsmn_dec.{level}", 1, x, along_time=False)
                if level < _DEPTH - 2:
                    x = self._scaled(f"{path}.se_layers_dec.{level}", x)
                x = self.add("Concat", [x, skips.pop()], axis=1)
        re, im = (self._parameters[f"{path}.linear.conv_{part}.weight"] for part in ("re", "im"))
        return self.add("Conv", [x, self._as_real(re, im), self._complex_bias(f"{path}.linear.conv")])

    def _conv(self, path: str, x: str) -> str:
        re, im = (self._parameters[f"{path}.conv.conv_{part}.weight"] for part in ("re", "im"))
        scale, shift = self._norm(f"{path}.bn.bn")
        weight = self.add("Mul", [self._as_real(re, im), scale[:, None, None, None]])
        bias = self._complex_bias(f"{path}.conv.conv") * scale + shift
        return self.add("LeakyRelu", [self.add("Conv", [x, weight, bias], **_CONV)], alpha=_LEAK)

    def _conv_transposed(self, path: str, x: str, *, with_skip: bool) -> str:
        parts = [self._parameters[f"{path}.transconv.tconv_{part}.weight"] for part in ("re", "im")]
        # Below a skip the channels are those of x, real and imaginary, and then those of the skip.
        halves = [np.split(part, 2) if with_skip else [part] for part in parts]
        turned = [self._as_real(re, -im) for re, im in zip(*halves, strict=True)]  # inputs are the first axis here
        scale, shift = self._norm(f"{path}.bn.bn")
        weight = self.add("Concat", turned, axis=0) if with_skip else turned[0]
        weight = self.add("Mul", [weight, scale[:, None, None]])
        bias = self._complex_bias(f"{path}.transconv.tconv") * scale + shift
        return self.add("LeakyRelu", [self.add("ConvTranspose", [x, weight, bias], **_CONV)], alpha=_LEAK)

    def _memory(self, path: str, layer: int, x: str, *, along_time: bool) -> str:
        """Sequential memory: both modules, of real and imaginary weights, on both parts of x."""
        modules = [f"{path}.fsmn_{part}_L{layer}" for part in ("re", "im")]
        linear, biases, project, memory = (
            [self._parameters[f"{module}.{name}"] for module in modules]
            for name in ("linear.weight", "linear.bias", "project.weight", "conv1.weight")
        )
        # Grouped convolutions over re, im; then over (re, Re), (re, Im), (im, Re), (im, Im).
        inner = self.add("Conv", [x, _tall(linear * 2)[..., None, None], _tall(biases * 2)], group=2)
        projected = self.add("Conv", [self.add("Relu", [inner]), _tall(project * 2)[..., None, None]], group=4)
        taps = _tall(memory * 2).copy()
        taps[:, 0, -1] += 1  # the projection itself is added, too
        past = taps.shape[2] - 1
        taps, pads = (taps.swapaxes(2, 3), [0, past, 0, 0]) if along_time else (taps, [past, 0, 0, 0])
        recalled = self.add("Conv", [projected, taps], group=len(taps), pads=pads)
        re, im = self._parts(x)
        re_re, re_im, im_re, im_im = self.split(recalled, [len(taps) // 4] * 4, axis=1)
        own = self.add("Concat", [self.add("Sub", [re, im]), self.add("Add", [im, re])], axis=1)
        added = self.add("Concat", [self.add("Sub", [re_re, im_im]), self.add("Add", [im_re, re_im])], axis=1)
        return self.add("Add", [own, added])

    def _scaled(self, path: str, x: str) -> str:
        """Squeeze and excitation: the same groups as in `_memory`."""
        parameters, parts = self._parameters, ("r", "i")
        mean = self.add("ReduceMean", [x], axes=[2, 3])
        for layer, groups in ((0, 2), (2, 4)):
            weight = _tall([parameters[f"{path}.fc_{part}.{layer}.weight"] for part in parts] * 2)
            bias = _tall([parameters[f"{path}.fc_{part}.{layer}.bias"] for part in parts] * 2)
            mean = self.add("Conv", [mean, weight[..., None, None], bias], group=groups)
            mean = self.add("Relu" if layer == 0 else "Sigmoid", [mean])
        re_re, re_im, im_re, im_im = self.split(mean, [len(weight) // 4] * 4, axis=1)
        scale = self.add("Concat", [self.add("Sub", [re_re, im_im]), self.add("Add", [im_re, re_im])], axis=1)
        return self.add("Mul", [x, scale])

    def _parts(self, x: str) -> tuple[str, str]:
        """Real and imaginary part."""
        re, im = self.add_many("Split", [x], [self._unused("re"), self._unused("im")], axis=1)
        return re, im

    def _as_real(self, re: F32, im: F32) -> str:
        """Complex weights as real ones of four times the size.

        The file holds them once: ONNX Runtime computes what depends on constants alone when it loads a graph.
        """
        rows = [self.add("Concat", [re, self.add("Neg", [im])], axis=1), self.add("Concat", [im, re], axis=1)]
        return self.add("Concat", rows, axis=0)

    def _complex_bias(self, path: str) -> F32:
        re, im = (self._parameters[f"{path}_{part}.bias"] for part in ("re", "im"))
        return np.concatenate([re - im, re + im])

    def _norm(self, path: str) -> tuple[F32, F32]:
        """The batch norm as what it multiplies by and adds, for both parts."""
        parts = []
        for part in ("re", "im"):
            weight, bias, mean, var = (
                self._parameters[f"{path}_{part}.{name}"].astype(np.float64)
                for name in ("weight", "bias", "running_mean", "running_var")
            )
            scale = weight / np.sqrt(var + _NORM_EPS)
            parts.append((scale, bias - scale * mean))
        scales, shifts = zip(*parts, strict=True)
        return np.concatenate(scales).astype(np.float32), np.concatenate(shifts).astype(np.float32)


def _tall(weights: list[F32]) -> F32:
    return np.concatenate(weights)
