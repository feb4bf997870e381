"""Torch modules of the networks, for training, saving and creating engines."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor, nn

from gtcrn_frontend.atomic_write import write_bytes
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.nets import new_net
from gtcrn_frontend.weights.checkpoint import write_safetensors
from gtcrn_frontend.weights.model import Model, installed_registry, model_path


class ReadyGraph(nn.Module):
    """An ONNX graph as a module: not trainable, but part of checkpoints and copies.

    Attributes:
        graph: the bytes of the file, `(n,) uint8`.
    """

    graph: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("graph", torch.empty(0, dtype=torch.uint8))


def module_for(model: Model) -> nn.Module:
    """Returns the torch module of a model's network, with random weights, or a `ReadyGraph` without a graph."""
    return ReadyGraph() if model.spec is None else new_net(model.spec.name)


@torch.no_grad()
def take_weights(module: nn.Module, model: Model) -> None:
    """Loads the weights of a model into a module.

    Raises:
        ModelError: the model is of another network, or only one of model and module is an ONNX graph.
    """
    if isinstance(module, ReadyGraph):
        if model.graph is None:
            raise ModelError(f"{model.source}: expected an ONNX graph, as this front-end was created with one")
        module.graph = torch.frombuffer(bytearray(model.graph), dtype=torch.uint8).to(module.graph.device)
        return
    if model.parameters is None:
        raise ModelError(f"{model.source}: expected a checkpoint with weights (.safetensors, .tar), got an ONNX graph")
    if not model.parameters.keys() <= module.state_dict().keys():
        raise ModelError(f"{model.source}: expected weights of this front-end's network, got others")
    arrays = {name: torch.from_numpy(array) for name, array in model.parameters.items()}
    missing, _ = module.load_state_dict(arrays, strict=False)
    # Batch counters are not part of validated parameters: reset them.
    for name in missing:
        module.get_buffer(name).zero_()


def write_weights(module: nn.Module, path: Path, network: str) -> None:
    """Writes the weights of a module, or its graph, to a file for engines.

    Args:
        module: see `module_for`.
        path: of the file, replaced at the end; its folder must exist.
        network: name of the network, stored with the weights.
    """
    if isinstance(module, ReadyGraph):
        write_bytes(path, module.graph.cpu().numpy().tobytes())
        return
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in module.state_dict().items()}
    write_safetensors(path, arrays, {"architecture": network})


def weights_file(path: Path) -> Path:
    """Resolves a path passed by SpeechBrain's `Pretrainer`.

    It symlinks each file under a name without suffix; for a model name, the link is dangling.
    """
    target = Path(os.path.realpath(path))
    if path.is_file():
        return target if target.suffix == ".onnx" else path
    return model_path(target.name) if target.name in installed_registry().models else path
