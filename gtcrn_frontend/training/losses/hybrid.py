"""The hybrid loss of GTCRN's authors, its parts, and the short-time Fourier transform."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from gtcrn_frontend.model_spec import GTCRN_SPEC, ModelSpec

COMPRESSION = 0.3  # exponent of magnitudes
COMPLEX_WEIGHT = 30.0
MAGNITUDE_WEIGHT = 70.0
MAGNITUDE_FLOOR = 1e-12  # added to the power; keeps the gradient of the root finite at zero
RATIO_FLOOR = 1e-8


class Transform:
    """Short-time Fourier transform of a model with its window, zero-padded at both ends and to whole hops.

    For networks on samples, losses use the transform of GTCRN.
    """

    def __init__(self, spec: ModelSpec, device: str | torch.device = "cpu") -> None:
        self.of_samples = spec.domain == "waveform"
        if self.of_samples:
            spec = replace(GTCRN_SPEC, sample_rate=spec.sample_rate)
        self.spec = spec
        self.n_fft = spec.n_fft
        self.hop_length = spec.hop_length
        self.win_length = spec.win_length
        hann = torch.hann_window(spec.win_length, dtype=torch.float32, device=device)
        self.window = hann if spec.window == "hann" else hann.sqrt()

    def forward(self, samples: Tensor) -> Tensor:
        """Returns the spectrum `(B, bins, T, 2)` of samples `(B, n)`."""
        # After a last hop that is not whole there would be samples in one frame only, divided by the end of its window.
        samples = functional.pad(samples, (0, -samples.shape[-1] % self.hop_length))
        spectrum = torch.stft(
            samples,
            self.n_fft,
            self.hop_length,
            self.win_length,
            self.window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        return torch.view_as_real(spectrum)

    def inputs(self, samples: Tensor) -> Tensor:
        """Returns the network's input for samples `(B, n)`: their spectrum, or the samples."""
        return samples if self.of_samples else self.forward(samples)

    def enhanced(self, network: nn.Module, samples: Tensor) -> Tensor:
        """Returns the spectrum `(B, bins, T, 2)` of the network's output for samples `(B, n)`."""
        outputs: Tensor = network(self.inputs(samples))
        return self.forward(outputs) if self.of_samples else outputs

    def inverse(self, spectrum: Tensor, length: int | None = None) -> Tensor:
        """Returns the samples `(B, n)` of a spectrum `(B, bins, T, 2)`."""
        as_complex = torch.view_as_complex(spectrum.contiguous())
        return torch.istft(as_complex, self.n_fft, self.hop_length, self.win_length, self.window, length=length)


class Compressed(NamedTuple):
    """A spectrum X with power-law compressed magnitude."""

    root: Tensor  # |X|^0.3 as (B, bins, T)
    planes: Tensor  # X / |X|^0.7, real and imaginary part, as (B, bins, T, 2)


def compress(spectrum: Tensor) -> Compressed:
    """Returns the compressed form of a spectrum `(B, bins, T, 2)`."""
    magnitude = (spectrum.square().sum(-1) + MAGNITUDE_FLOOR).sqrt()
    root = magnitude.pow(COMPRESSION)
    return Compressed(root, spectrum * (root / magnitude)[..., None])


def hybrid_loss(estimate: Tensor, target: Tensor, transform: Transform) -> Tensor:
    """Returns the mean loss (scalar) of estimated spectra against their targets, both `(B, bins, T, 2)`.

    With the compressed spectrum C = X / |X|^0.7: 30 (MSE of Re C + MSE of Im C) + 70 MSE of |X|^0.3
    - log10(|a s|^2 / |e - a s|^2) on the samples e, s of both spectra with a = <e, s> / <s, s>.
    Source: the training code released with GTCRN (Rong et al., ICASSP 2024).
    """
    spectra = compress(estimate), compress(target)
    return hybrid_loss_of_parts(*spectra, transform.inverse(estimate), transform.inverse(target))


def hybrid_loss_of_parts(
    estimate: Compressed, target: Compressed, e: Tensor, s: Tensor, ratio_weight: float = 1.0
) -> Tensor:
    """Returns `hybrid_loss` from the compressed spectra and the samples `(B, n)` of estimate and target.

    Its last term, the SI-SNR, is weighted by `ratio_weight`.
    """
    magnitude_error = (estimate.root - target.root).square().mean()
    # The mean over real and imaginary part together is half the sum of their means.
    complex_error = 2 * (estimate.planes - target.planes).square().mean()
    return COMPLEX_WEIGHT * complex_error + MAGNITUDE_WEIGHT * magnitude_error - ratio_weight * si_snr(e, s)


def si_snr(e: Tensor, s: Tensor) -> Tensor:
    """Returns the mean scale-invariant signal-to-noise ratio (scalar) of samples `(B, n)` against their target, in bel.

    log10(|a s|^2 / |e - a s|^2) with a = <e, s> / <s, s>; -8 where the target is silence. Source: Le Roux et al.,
    "SDR - half-baked or well done?", ICASSP 2019.
    """
    scaled = (e * s).sum(-1, keepdim=True) * s / (s.square().sum(-1, keepdim=True) + RATIO_FLOOR)
    ratio = scaled.square().sum(-1) / ((e - scaled).square().sum(-1) + RATIO_FLOOR)
    return torch.log10(ratio + RATIO_FLOOR).mean()


def spectral_error(estimate: Compressed, target: Compressed) -> Tensor:
    """Returns the first two terms of `hybrid_loss` for each item, `(B,)`."""
    magnitude_error = (estimate.root - target.root).square().mean((1, 2))
    complex_error = 2 * (estimate.planes - target.planes).square().mean((1, 2, 3))
    return COMPLEX_WEIGHT * complex_error + MAGNITUDE_WEIGHT * magnitude_error


def over_suppression(estimate: Compressed, target: Compressed) -> Tensor:
    """Returns the mean (scalar) of max(0, |S|^0.3 - |E|^0.3)^2: the energy that estimate E lacks against target S.

    Residual noise is not penalised. Source: the asymmetric loss of VoiceFilter-Lite (Wang et al., Interspeech
    2020, section 2.2), whose factor alpha on such errors is this term with the weight alpha^2 - 1 beside a
    symmetric one.
    """
    return (target.root - estimate.root).relu().square().mean()
