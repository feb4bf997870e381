"""GTCRN graphs in ONNX Runtime: the packaged graph with weights bound at load, and graphs written by `export`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.engines.onnx.session import OnnxEngine
from gtcrn_frontend.engines.stft import C64

# Rows of the decoder's convolution cache: canonical order as in the encoder (dilations 1, 2, 5); the graph uses
# execution order (5, 2, 1).
_ENCODER_ROWS = (slice(0, 2), slice(2, 6), slice(6, 16))
_BANDS = 33


class BoundGraphEngine(OnnxEngine):
    """The packaged graph. Caches: conv `(N, 16, 32, 33)`, tra `(6, N, 16)`, inter `(2, 33 N, 16)`."""

    INPUTS = ("spec", "conv", "tra", "inter")
    _OUTPUTS = ("mask", "new_conv", "new_tra", "new_inter")

    def _run(self, spectra: C64, caches: tuple[Any, ...]) -> tuple[C64, tuple[Any, ...]]:
        planes = spectra.view(np.float32).reshape(*spectra.shape, 2)
        feeds = dict(zip(self.INPUTS, (planes, *caches), strict=True))
        mask, *updated = self._call(self._OUTPUTS, feeds)
        # The mask is complex: interleaved real and imaginary parts are numpy's layout of complex numbers.
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


class SelfContainedGraphEngine(BoundGraphEngine):
    """The graph that `export` writes in the layout `onnx`: weights included, mask applied."""

    _OUTPUTS = ("enh", "new_conv", "new_tra", "new_inter")

    def _run(self, spectra: C64, caches: tuple[Any, ...]) -> tuple[C64, tuple[Any, ...]]:
        planes = spectra.view(np.float32).reshape(*spectra.shape, 2)
        feeds = dict(zip(self.INPUTS, (planes, *caches), strict=True))
        enhanced, *updated = self._call(self._OUTPUTS, feeds)
        return enhanced.view(np.complex64)[..., 0], tuple(updated)
