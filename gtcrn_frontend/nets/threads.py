"""One OpenMP thread for networks whose layers are too small to divide, without touching the caller's setting."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


@contextmanager
def one_thread() -> Iterator[None]:
    """Runs what is inside with one OpenMP thread; the calling thread has its own number again afterwards.

    Small layers compute for microseconds, and then wait for the slowest thread: on busy cores, several threads take
    many times as long as one. `torch.set_num_threads` would change the setting of the process, and that of other
    threads, which may be reading it. OpenMP's own function changes that of the calling thread only. Where torch was
    built with another runtime (macOS, Windows), nothing is changed.
    """
    limit = _omp_set_num_threads()
    before = torch.get_num_threads()  # also sets up a thread that is new to torch, which would override the limit
    if limit is None or before == 1:
        yield
        return
    limit(1)
    try:
        yield
    finally:
        limit(before)


def run_on_one_thread(function: Callable[[Tensor], Tensor], net: nn.Module, signals: Tensor) -> Tensor:
    """Returns `function(signals)`, computed on one thread of the CPU, and so are its gradients.

    Args:
        function: runs `net`; differentiable once.
        net: the network whose parameters get gradients.
        signals: for the function. On another device than the CPU, threads do not matter, and nothing is changed.
    """
    if signals.device.type != "cpu":
        return function(signals)
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    if not torch.is_grad_enabled() or not (parameters or signals.requires_grad):
        with one_thread():
            return function(signals)
    result: Tensor = _OneThread.apply(function, signals, *parameters)  # type: ignore[no-untyped-call]
    return result


class _OneThread(torch.autograd.Function):
    """A graph within the graph: the backward pass of a part can be given a setting of its own in no other way."""

    @staticmethod
    def forward(ctx: Any, function: Callable[[Tensor], Tensor], signals: Tensor, *parameters: Tensor) -> Tensor:
        with one_thread(), torch.enable_grad():
            inside = signals.detach().requires_grad_(signals.requires_grad)
            outputs = function(inside)
        ctx.graph = inside, parameters, outputs
        return outputs.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inside, parameters, outputs = ctx.graph
        inputs = [tensor for tensor in (inside, *parameters) if tensor.requires_grad]
        with one_thread():  # the graph is kept, as the caller may ask for a second pass; it ends with the outer one
            found = torch.autograd.grad(outputs, inputs, gradient, retain_graph=True, allow_unused=True)
        return (None, *([] if inside.requires_grad else [None]), *found)


@cache
def _omp_set_num_threads() -> Callable[[int], object] | None:
    """Returns the function of the OpenMP runtime that torch has loaded, if it does what it says."""
    try:
        function = ctypes.CDLL(None).omp_set_num_threads
    except (AttributeError, OSError, TypeError):  # TypeError: Windows
        return None
    function.argtypes, function.restype = [ctypes.c_int], None
    before = torch.get_num_threads()
    function(before + 1)
    followed = torch.get_num_threads() == before + 1
    function(before)
    return function if followed else None
