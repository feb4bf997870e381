"""FRCRN as a waveform-to-waveform ONNX graph: batches of complete signals or segments of any length.

Complex tensors are pairs of real ones `(N, C, F, T)`, real and imaginary part. Three equivalent forms make it fast in
ONNX Runtime:

- A complex convolution takes three real ones instead of four: (a + ib)(c + id) = (k - b(c + d)) + i(k + a(d - c)) with
  k = c(a + b).
- A transposed convolution of stride 2 is split into two ordinary ones, for the even and the odd frequencies.
- Biases of convolutions are folded into the means of the batch norms that follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.export.graph import Graph
from gtcrn_frontend.export.origin import Origin
from gtcrn_frontend.model_spec import ModelSpec

DOCUMENTATION = """{name}, speech enhancement of whole signals: samples in, enhanced samples out.

    wav (N, samples)   N signals of any length, full scale 1, {sample_rate} Hz    enhanced

Everything is float32. The network averages over the whole signal: run streams in overlapping segments.
"""
OPSET, IR_VERSION = 17, 8
INPUT, OUTPUT = "wav", "enhanced"

_DEPTH = 7
_NORM_EPS = 1e-5
_LEAK = 0.01
_STRIDE: dict[str, Any] = {"strides": [2, 1], "pads": [0, 1, 0, 1]}

Pair = tuple[str, str]
"""Tensor names of a real and an imaginary part."""


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

        re, im = self.split(spectrum, [1, 1], axis=1)
        first = self._unet("unet", (re, im))
        both = zip(first, self._unet("unet2", first), strict=True)
        mask_re, mask_im = (self.add("Add", [self.add("Tanh", [part]) for part in parts]) for parts in both)
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

    def _unet(self, path: str, x: Pair) -> Pair:
        """The spectrum `(N, 1, F, T)` to one of the same shape."""
        skips = []
        for level in range(_DEPTH):
            if level:
                x = self._memory(f"{path}.fsmn_enc.{level}", 1, x, along_time=False)
            x = self._encoder(f"{path}.encoders.{level}", x)
            if level < _DEPTH - 1:
                skips.append(self._scaled(f"{path}.se_layers_enc.{level}", x))
        for layer in (1, 2):
            x = self._memory(f"{path}.fsmn", layer, x, along_time=True)
        width = 1
        for level in range(_DEPTH):
            x, width = self._decoder(f"{path}.decoders.{level}", x, width)
            if level < _DEPTH - 1:
                x = self._memory(f"{path}.fsmn_dec.{level}", 1, x, along_time=False)
                if level < _DEPTH - 2:
                    x = self._scaled(f"{path}.se_layers_dec.{level}", x)
                re, im = (self.add("Concat", parts, axis=1) for parts in zip(x, skips.pop(), strict=True))
                x = re, im
        weights = [self._parameters[f"{path}.linear.conv_{part}.weight"] for part in ("re", "im")]
        re, im = self._product(x, weights)
        offset_re, offset_im = self._offsets(f"{path}.linear.conv")
        return self.add("Add", [re, offset_re[:, None, None]]), self.add("Add", [im, offset_im[:, None, None]])

    def _encoder(self, path: str, x: Pair) -> Pair:
        weights = [self._parameters[f"{path}.conv.conv_{part}.weight"] for part in ("re", "im")]
        convolved = self._product(x, weights, **_STRIDE)
        return self._normed(path, "conv.conv", convolved)

    def _decoder(self, path: str, x: Pair, width: int) -> tuple[Pair, int]:
        """The next level up, and its number of frequencies."""
        transposed = [self._parameters[f"{path}.transconv.tconv_{part}.weight"] for part in ("re", "im")]
        if transposed[0].shape[1] == 1:  # slower for a single output
            convolved = self._product(x, transposed, op="ConvTranspose", **_STRIDE)
            return self._normed(path, "transconv.tconv", convolved), 2 * (width - 1) + transposed[0].shape[2]
        # As weights of ordinary convolutions: transposed ones have inputs first and reversed taps.
        turned = [weight.swapaxes(0, 1)[:, :, ::-1, ::-1] for weight in transposed]
        kernel = turned[0].shape[2]
        half = width + (kernel - 1) // 2  # outputs of each parity; the last odd one of an odd kernel is cut off below
        halves = []
        for parity in (0, 1):
            # Output 2m + parity is the sum of inputs m, m - 1, ... times the steps parity, parity + 2, ...
            of_half = [weight[:, :, (kernel - 1 - parity) % 2 :: 2] for weight in turned]
            steps = of_half[0].shape[2]
            convolved = self._product(x, of_half, pads=[steps - 1, 0, half - width, 0])
            halves.append(self._normed(path, "transconv.tconv", convolved))
        width = 2 * half - kernel % 2
        re, im = (self._interleaved(parts, half, width) for parts in zip(*halves, strict=True))
        return (re, im), width

    def _interleaved(self, halves: Sequence[str], half: int, width: int) -> str:
        """Even and odd frequencies `(N, C, half, T)` in order, `(N, C, width, T)`."""
        beside = self.add("Concat", [self.add("Unsqueeze", [each, [3]]) for each in halves], axis=3)
        in_order = self.add("Reshape", [beside, [0, 0, 2 * half, -1]])
        return in_order if width == 2 * half else self.add("Slice", [in_order, [0], [width], [2]])

    def _product(self, x: Pair, weights: Sequence[F32], op: str = "Conv", **conv: Any) -> Pair:
        """Adds a complex convolution, without bias.

        The file stores the weights once: ONNX Runtime folds expressions of constants at load.
        """
        re, im = weights
        both = self.add(op, [self.add("Add", x), re], **conv)
        difference, negative_sum = self.add("Sub", [im, re]), self.add("Neg", [self.add("Add", [re, im])])
        of_re = self.add(op, [x[1], negative_sum], **conv)
        of_im = self.add(op, [x[0], difference], **conv)
        return self.add("Add", [both, of_re]), self.add("Add", [both, of_im])

    def _normed(self, path: str, conv: str, x: Pair) -> Pair:
        """Adds the bias of a convolution, batch norm and activation."""
        parts = []
        for part, name, offset in zip(x, ("re", "im"), self._offsets(f"{path}.{conv}"), strict=True):
            scale, shift, mean, var = (
                self._parameters[f"{path}.bn.bn_{name}.{kind}"]
                for kind in ("weight", "bias", "running_mean", "running_var")
            )
            inputs = [part, scale, shift, mean - offset, var]
            normed = self.add("BatchNormalization", inputs, epsilon=_NORM_EPS)
            parts.append(self.add("LeakyRelu", [normed], alpha=_LEAK))
        return parts[0], parts[1]

    def _memory(self, path: str, layer: int, x: Pair, *, along_time: bool) -> Pair:
        """Adds the sequential memory (FSMN): the modules with real and imaginary weights, on both parts of x."""
        modules = [f"{path}.fsmn_{part}_L{layer}" for part in ("re", "im")]
        linear, biases, project, memory = (
            _tall([self._parameters[f"{module}.{name}"] for module in modules])
            for name in ("linear.weight", "linear.bias", "project.weight", "conv1.weight")
        )
        taps = memory.copy()
        taps[:, 0, -1] += 1  # the projection itself is added as well
        past = taps.shape[2] - 1
        taps, pads = (taps.swapaxes(2, 3), [0, past, 0, 0]) if along_time else (taps, [past, 0, 0, 0])
        recalled = []
        for part in x:
            inner = self.add("Relu", [self.add("Conv", [part, linear[..., None, None], biases])])
            projected = self.add("Conv", [inner, project[..., None, None]], group=2)
            recalled.append(self._halves(self.add("Conv", [projected, taps], group=len(taps), pads=pads), len(taps)))
        (re_re, re_im), (im_re, im_im) = recalled
        re, im = x
        own_re, own_im = self.add("Sub", [re, im]), self.add("Add", [im, re])
        re = self.add("Add", [own_re, self.add("Sub", [re_re, im_im])])
        return re, self.add("Add", [own_im, self.add("Add", [im_re, re_im])])

    def _scaled(self, path: str, x: Pair) -> Pair:
        """Adds squeeze and excitation: both modules on both averages."""
        gates = []
        for part in x:
            mean = self.add("ReduceMean", [part], axes=[2, 3])
            for layer, groups in ((0, 1), (2, 2)):
                weight, bias = (
                    _tall([self._parameters[f"{path}.fc_{module}.{layer}.{kind}"] for module in ("r", "i")])
                    for kind in ("weight", "bias")
                )
                mean = self.add("Conv", [mean, weight[..., None, None], bias], group=groups)
                mean = self.add("Relu" if layer == 0 else "Sigmoid", [mean])
            gates.append(self._halves(mean, len(weight)))
        (re_re, re_im), (im_re, im_im) = gates
        re = self.add("Mul", [x[0], self.add("Sub", [re_re, im_im])])
        return re, self.add("Mul", [x[1], self.add("Add", [im_re, re_im])])

    def _halves(self, x: str, channels: int) -> Pair:
        first, second = self.split(x, [channels // 2] * 2, axis=1)
        return first, second

    def _offsets(self, path: str) -> tuple[F32, F32]:
        """Returns the complex bias of a pair of convolutions."""
        re, im = (self._parameters[f"{path}_{part}.bias"] for part in ("re", "im"))
        return re - im, re + im


def _tall(weights: list[F32]) -> F32:
    return np.concatenate(weights)
