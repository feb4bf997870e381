"""DNSMOS P.835 as a differentiable loss.

Source: Reddy et al., "DNSMOS P.835: A non-intrusive perceptual objective speech quality metric to evaluate noise
suppressors", ICASSP 2022. The network is that of `evaluation.quality.dnsmos`, with weights from the user's folder. For
a model trained with it, DNSMOS P.835 is no longer an independent metric; P.808 still is.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.evaluation.quality.dnsmos import OVRL_POLYNOMIAL, P835_FILE, SAMPLE_RATE_HZ
from gtcrn_frontend.install_hint import install_hint

FRAME, HOP = 320, 160
CONVOLUTIONS = ("conv2d", *(f"conv2d_{number}" for number in range(1, 7)))
POOLED = ("conv2d_3", "conv2d_4", "conv2d_5")  # layers with max pooling after them
DENSE = ("dense", "dense_1", "dense_3")
OVRL = 2  # of the scores SIG, BAK, OVRL
BEST = 5.0

# The network's own floor is 1e-12. This one is still far below microphone noise, and bounds the gradient.
FLOOR = 1e-9
LEVEL = 0.05  # root mean square that speech is normalised to, -26 dB full scale: scores depend on the level
SILENT = 1e-6
SHORTEST = 1600  # samples; the network halves its frames three times


class DnsmosLoss:
    """Gap to the best overall score: 5 - OVRL."""

    def __init__(self, folder: Path, sample_rate: int, device: str | torch.device = "cpu") -> None:
        """Loads the network.

        Args:
            folder: with `sig_bak_ovr.onnx`.
            sample_rate: of the samples in Hz.
            device: of the samples.

        Raises:
            ModelError: the file is absent or of another network, or the rate is not 16 kHz.
        """
        if sample_rate != SAMPLE_RATE_HZ:
            raise ModelError(f"loss: dnsmos_ovrl expects a network at {SAMPLE_RATE_HZ} Hz, got {sample_rate} Hz")
        weights = _weights(folder / P835_FILE)
        try:
            stft = [weights[f"time2freq/stft-{part}/kernel:0"][..., 0] for part in ("real", "imag")]
            self._stft = torch.cat(stft).T.to(device)  # (frame, 2 * bins)
            self._convolutions = [
                tuple(weights[f"{name}/{part}:0"].to(device, torch.bfloat16) for part in ("kernel", "bias"))
                for name in CONVOLUTIONS
            ]
            prefix = "mos_estimator_logpow"
            self._dense = [
                tuple(
                    weights[f"{prefix}/{name}/{part}/ReadVariableOp/resource:0"].to(device)
                    for part in ("MatMul", "BiasAdd")
                )
                for name in DENSE
            ]
        except KeyError as error:
            raise ModelError(f"{folder / P835_FILE} is not DNSMOS P.835: it has no {error}") from error

    def __call__(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Returns 5 - OVRL of each item `(B,)` for samples `(B, n)`.

        0 where the target is silence, and for items shorter than 0.1 s.
        """
        if target.shape[-1] < SHORTEST:
            return (estimate * 0).sum(-1)
        level = target.square().mean(-1, keepdim=True).sqrt()
        score = self._overall(estimate * (LEVEL / level.clamp_min(SILENT)))
        return (BEST - score) * (level[:, 0] > SILENT)

    def _overall(self, samples: Tensor) -> Tensor:
        real, imaginary = (samples.unfold(-1, FRAME, HOP) @ self._stft).chunk(2, -1)
        # Half precision suffices for gradients, and takes two fifths of the time on a CPU that supports it.
        hidden = (real.square() + imaginary.square() + FLOOR).log10()[:, None].to(torch.bfloat16)
        for name, (kernel, bias) in zip(CONVOLUTIONS, self._convolutions, strict=True):
            hidden = functional.conv2d(hidden, kernel, bias, padding=1).relu()
            if name in POOLED:
                hidden = functional.max_pool2d(hidden, 2)
        scores = hidden.amax((2, 3)).float()
        for matrix, bias in self._dense[:-1]:
            scores = (scores @ matrix + bias).relu()
        raw = (scores @ self._dense[-1][0] + self._dense[-1][1])[:, OVRL]
        square, linear, constant = OVRL_POLYNOMIAL
        return square * raw.square() + linear * raw + constant


def _weights(path: Path) -> dict[str, Tensor]:
    try:
        import onnx
        from google.protobuf.message import DecodeError  # comes with onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise ModelError(f"loss: dnsmos_ovrl reads an ONNX file: {install_hint('train')}") from error
    try:
        graph = onnx.load(path).graph
    except (OSError, DecodeError) as error:
        raise ModelError(f"{path}: {error}: dnsmos expects a folder with this file of DNSMOS P.835") from error
    return {each.name: torch.from_numpy(numpy_helper.to_array(each).copy()) for each in graph.initializer}
