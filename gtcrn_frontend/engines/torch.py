"""The torch engine: the reference implementation for the other engines."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.engines.base import Engine
from gtcrn_frontend.engines.overlap_add import SegmentEngine
from gtcrn_frontend.engines.stft import C64
from gtcrn_frontend.engines.stft_engine import SpectralEngine
from gtcrn_frontend.model_spec import WHOLE_SEGMENTS
from gtcrn_frontend.nets import SpectralNet, WholeSignalNet, new_net
from gtcrn_frontend.nets.threads import one_thread
from gtcrn_frontend.weights.model import Model

_IMPORTED_IN_PROCESS = os.getpid()


def load_torch(model: Model) -> Engine[Any]:
    """Returns an engine that runs the model in torch, in evaluation mode, outside of autograd.

    Networks that run hop by hop compute on one thread, see `nets.threads`; those that take segments, on torch's number
    of threads. That is left unchanged, except in a forked child, where it is set to one (as torch's own data loaders
    do): OpenMP would wait for threads that exist only in the parent.

    Raises:
        ModelError: the model is a ready graph.
    """
    spec, _ = model.weights_for(TorchEngine.name)
    if spec.segments is None:
        return TorchEngine(model)
    net = cast(WholeSignalNet, _load_net(model))

    @torch.inference_mode()
    def enhance(samples: F32) -> F32:
        enhanced: F32 = net.enhance(torch.from_numpy(samples)[None])[0].numpy()
        return enhanced

    return SegmentEngine(TorchEngine.name, TorchEngine.description, spec, enhance, WHOLE_SEGMENTS)


class TorchEngine(SpectralEngine):
    """Runs any `nets.SpectralNet`. Caches are those of the network with batch size one."""

    name = "torch"
    description = f"torch {torch.__version__}, CPU"

    def __init__(self, model: Model) -> None:
        self.spec, _ = model.weights_for(self.name)
        self._net = cast(SpectralNet, _load_net(model))
        self._cache_type = type(self._net.new_cache())

    @one_thread()
    @torch.inference_mode()
    def _run(self, spectra: C64, caches: tuple[Any, ...]) -> tuple[C64, tuple[Any, ...]]:
        planes = torch.view_as_real(torch.from_numpy(np.ascontiguousarray(spectra))).transpose(1, 2)
        enhanced, cache = self._net.stream(planes, self._cache_type(*caches))
        return torch.view_as_complex(enhanced.transpose(1, 2).contiguous()).numpy(), tuple(cache)

    def _stack(self, caches: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
        return tuple(torch.cat(each) for each in zip(*caches, strict=True))

    def _unstack(self, caches: tuple[Any, ...], streams: int) -> list[tuple[Any, ...]]:
        return [tuple(each[i : i + 1].clone() for each in caches) for i in range(streams)]

    def _caches_to_canonical(self, caches: tuple[Any, ...]) -> dict[str, F32]:
        named = zip(self._cache_type._fields, caches, strict=True)
        return {name: each[0].numpy().copy() for name, each in named}

    def _caches_from_canonical(self, arrays: Mapping[str, F32]) -> tuple[Any, ...]:
        return tuple(torch.from_numpy(arrays[name].copy())[None] for name in self._cache_type._fields)


def _load_net(model: Model) -> nn.Module:
    spec, parameters = model.weights_for(TorchEngine.name)
    if os.getpid() != _IMPORTED_IN_PROCESS:
        torch.set_num_threads(1)
    net = new_net(spec.name).eval().requires_grad_(False)
    # Checked parameters lack the batch counters, which evaluation does not use.
    net.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in parameters.items()}, strict=False)
    return net
