"""Differentiable approximation of PESQ's perceptual model as a loss (ITU-T P.862, wide-band form P.862.2).

Source: Beerends et al., "Perceptual evaluation of speech quality (PESQ), part II", J. Audio Eng. Soc. 50, 2002.
Simplifications: signals are assumed to be aligned in time, filters are applied to the powers of frames, bands are half
a Bark wide (Zwicker and Terhardt, J. Acoust. Soc. Am. 68, 1980), and the threshold of hearing is Terhardt's (Hearing
Research 1, 1979).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

FRAME_MS = 32
BAND_BARK = 0.5
BAND_EDGES_HZ = (50.0, 8000.0)
HIGH_PASS_HZ = 100.0  # of headphones

# Both signals are normalised to this sound pressure level in this band.
LEVEL_BAND_HZ = (325.0, 3250.0)
LEVEL_DB = 83.0

LOUDNESS_EXPONENT = 0.23  # Zwicker's law
LOUDNESS_SCALE = 0.187
DEAD_ZONE = 0.25  # fraction of the lower loudness below which a difference is masked

# Added components disturb more than missing ones: by a power of their ratio, within limits.
ADDED_EXPONENT, ADDED_LEAST, ADDED_MOST = 1.2, 3.0, 12.0

LARGEST = 45.0  # disturbance of a frame
SPURT_FRAMES, SPURT_NORM = 20, 6  # a third of a second, in which the norm emphasises the worst frames
ALL_WEIGHT, ADDED_WEIGHT = 0.1, 0.0309  # of P.862's regression to opinion scores
FLOOR = 1e-12  # keeps gradients of roots finite at zero


class PesqLikeLoss:
    """Amount that P.862 subtracts from its best raw score, 4.5."""

    def __init__(self, sample_rate: int, device: str | torch.device = "cpu") -> None:
        """Precomputes filters.

        Args:
            sample_rate: of the samples in Hz; below 16 kHz, the upper bands are missing.
            device: of the samples.
        """
        self._n_fft = sample_rate * FRAME_MS // 1000
        self._window = torch.hann_window(self._n_fft, device=device)
        hz = torch.arange(self._n_fft // 2 + 1) * sample_rate / self._n_fft
        used = (hz >= BAND_EDGES_HZ[0]) & (hz < BAND_EDGES_HZ[1])
        band = ((_bark(hz) - _bark(hz[used][0])) / BAND_BARK).floor().long().clamp_min(0)
        members = functional.one_hot(band[used]).T.float()
        centres_hz = members @ hz[used] / members.sum(1)
        exponents = LOUDNESS_EXPONENT * (6 / (_bark(centres_hz) + 2)).clamp(1, 2) ** 0.15
        high_pass = hz[used] ** 4 / (hz[used] ** 4 + HIGH_PASS_HZ**4)
        self._level_band = ((hz >= LEVEL_BAND_HZ[0]) & (hz <= LEVEL_BAND_HZ[1])).float().to(device)  # (bins,)
        self._bands = torch.zeros(len(members), len(hz)).masked_scatter(used, members * high_pass).to(device)
        self._thresholds = 10 ** (_threshold_db(centres_hz) / 10).to(device)[:, None]  # (bands, 1), as powers
        self._exponents = exponents.to(device)[:, None]

    def __call__(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Returns the disturbance of each item `(B,)`, 0 or more, for samples `(B, n)`; the level of items is ignored.

        0 where the target is silence, and for items shorter than a frame of 32 ms.
        """
        if target.shape[-1] < self._n_fft:
            return (estimate * 0).sum(-1)
        of_all, of_added = self._of_frames(self._powers(estimate), self._powers(target))
        has_speech = target.square().sum(-1) > 0
        return (ALL_WEIGHT * _over_time(of_all) + ADDED_WEIGHT * _over_time(of_added)) * has_speech

    def _powers(self, samples: Tensor) -> Tensor:
        """Returns the powers in bands, `(B, bands, frames)`, at the same level for all items."""
        spectrum = torch.stft(
            samples, self._n_fft, self._n_fft // 2, window=self._window, center=False, return_complex=True
        )
        powers = torch.view_as_real(spectrum).square().sum(-1)
        level = (self._level_band @ powers).mean(-1)
        gain = 10 ** (LEVEL_DB / 10) / (level + FLOOR)
        return (self._bands @ powers) * gain[:, None, None]

    def _of_frames(self, estimate: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the disturbance by all differences and that by added components, `(B, frames)` each."""
        target = target * self._response(estimate, target)
        total = self._audible(target).sum(1)
        estimate = estimate * _gain(self._audible(estimate).sum(1), total)[:, None]

        loudness, reference = self._loudness(estimate), self._loudness(target)
        masked = DEAD_ZONE * torch.minimum(loudness, reference)
        difference = ((loudness - reference).abs() - masked).relu()
        ratio = ((estimate + 50) / (target + 50)) ** ADDED_EXPONENT
        factor = ratio.clamp(max=ADDED_MOST) * (ratio >= ADDED_LEAST)

        emphasis = ((total + 1e5) / 1e7) ** 0.04  # of loud frames, which are weighted less
        norm = (difference.square().sum(1) * len(self._bands) + FLOOR).sqrt()
        of_all, of_added = (each * BAND_BARK / emphasis for each in (norm, (difference * factor).sum(1)))
        return of_all.clamp(max=LARGEST), of_added.clamp(max=LARGEST)

    def _response(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Returns the frequency response `(B, bands, 1)` of the estimate against the target, which P.862 ignores."""
        silent = self._audible(target, 100).sum(1, keepdim=True) < 1e7
        means = [(self._audible(each, 100) * ~silent).mean(-1, keepdim=True) for each in (estimate, target)]
        return ((means[0] + 1e3) / (means[1] + 1e3)).clamp(0.01, 100)

    def _audible(self, powers: Tensor, times: float = 1.0) -> Tensor:
        """Returns the powers above `times` the threshold of hearing, and 0 for the others."""
        return powers * (powers > times * self._thresholds)

    def _loudness(self, powers: Tensor) -> Tensor:
        """Returns the loudness in bands, sone per Bark: 0 below the threshold of hearing."""
        above = (0.5 + 0.5 * powers / self._thresholds) ** self._exponents - 1
        return LOUDNESS_SCALE * (2 * self._thresholds) ** self._exponents * above.relu()


def _gain(audible: Tensor, reference: Tensor) -> Tensor:
    """Returns the gain `(B, frames)` that compensates level changes, from the total powers of frames."""
    gain = (reference + 5e3) / (audible + 5e3)
    return torch.cat([gain[:, :1], 0.8 * gain[:, 1:] + 0.2 * gain[:, :-1]], 1).clamp(3e-4, 5)


def _over_time(frames: Tensor) -> Tensor:
    """Returns the root mean square over spurts `(B,)` of the disturbances of frames `(B, frames)`."""
    spurts = frames.unfold(-1, min(SPURT_FRAMES, frames.shape[-1]), SPURT_FRAMES // 2)
    squares = (spurts.pow(SPURT_NORM).mean(-1) + FLOOR).pow(2 / SPURT_NORM)
    return squares.mean(-1).sqrt()


def _bark(hz: Tensor) -> Tensor:
    return 13 * torch.atan(0.00076 * hz) + 3.5 * torch.atan((hz / 7500) ** 2)


def _threshold_db(hz: Tensor) -> Tensor:
    """Returns the threshold of hearing, sound pressure level in dB."""
    khz = hz / 1000
    return 3.64 * khz**-0.8 - 6.5 * torch.exp(-0.6 * (khz - 3.3) ** 2) + 0.001 * khz**4
