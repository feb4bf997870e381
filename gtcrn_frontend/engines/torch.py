"""The torch engine: the readable reference that the others are measured against."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from gtcrn_frontend.engines.spectral import SpectralEngine
from gtcrn_frontend.engines.stft import C64
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.nets.gtcrn import GTCRN, GTCRNCache
from gtcrn_frontend.weights.model import Model
from gtcrn_frontend.weights.parameters import F32

_IMPORTED_IN_PROCESS = os.getpid()


class TorchEngine(SpectralEngine):
    """GTCRN as a torch module, in evaluation mode, outside of autograd.

    Torch's number of threads belongs to the process; this engine leaves it alone. Only in a forked child it sets it to
    one, as torch's own data loaders do: OpenMP would wait there for threads that stayed behind in the parent.
    """

    name = "torch"

    def __init__(self, model: Model) -> None:
        if model.parameters is None:
            raise ModelError(f"{model.source}: a ready ONNX graph runs with engine='onnx' only, got engine='torch'")
        if os.getpid() != _IMPORTED_IN_PROCESS:
            torch.set_num_threads(1)
        self.spec = model.spec
        self.description = f"torch {torch.__version__}, CPU"
        self._net = GTCRN().eval().requires_grad_(False)
        # The batch counters are absent from checked parameters, and evaluation does not read them.
        self._net.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in model.parameters.items()}, strict=False)

    @torch.inference_mode()
    def _run(self, spectra: C64, caches: tuple[Any, ...]) -> tuple[C64, tuple[Any, ...]]:
        planes = torch.view_as_real(torch.from_numpy(np.ascontiguousarray(spectra))).transpose(1, 2)
        enhanced, cache = self._net.stream(planes, GTCRNCache(*caches))
        return torch.view_as_complex(enhanced.transpose(1, 2).contiguous()).numpy(), tuple(cache)

    def _stack(self, caches: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
        conv, tra, inter = zip(*caches, strict=True)
        return torch.cat(conv, dim=1), torch.cat(tra, dim=2), torch.cat(inter, dim=1)

    def _unstack(self, caches: tuple[Any, ...], streams: int) -> list[tuple[Any, ...]]:
        conv, tra, inter = caches
        return [
            (conv[:, i : i + 1].clone(), tra[:, :, i : i + 1].clone(), inter[:, i : i + 1].clone())
            for i in range(streams)
        ]

    def _caches_to_canonical(self, caches: tuple[Any, ...]) -> dict[str, F32]:
        conv, tra, inter = caches
        return {
            "conv": conv[:, 0].numpy().copy(),
            "tra": tra[:, :, 0].numpy().copy(),
            "inter": inter[:, 0].numpy().copy(),
        }

    def _caches_from_canonical(self, arrays: Mapping[str, F32]) -> tuple[Any, ...]:
        conv, tra, inter = (torch.from_numpy(arrays[name].copy()) for name in ("conv", "tra", "inter"))
        return conv[:, None], tra[:, :, None], inter[:, None]
