"""Loads models from disk: a spec with either parameters or a complete ONNX graph."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.model_spec import ModelSpec
from gtcrn_frontend.weights.checkpoint import read_architecture, read_checkpoint
from gtcrn_frontend.weights.networks import NETWORKS, recognise
from gtcrn_frontend.weights.random import random_network, random_parameters
from gtcrn_frontend.weights.registry import Registry


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model, before it runs in an engine.

    Attributes:
        spec: spec of a checkpoint's network; None for an ONNX graph, whose spec the engine reads (`Engine.spec`).
        source: file it was read from.
        digest: identifies the weights: equal digests mean equal outputs. Stored in saved states.
        parameters: the validated state dict, float32 arrays by released name; None for an ONNX graph.
        graph: the bytes of a self-contained streaming ONNX file; None for a checkpoint.
    """

    spec: ModelSpec | None
    source: Path
    digest: str
    parameters: dict[str, F32] | None = field(default=None, repr=False)
    graph: bytes | None = field(default=None, repr=False)

    @property
    def engines(self) -> tuple[str, ...]:
        """Names of the engines that support it, fastest first."""
        return ("onnx",) if self.spec is None else NETWORKS[self.spec.name].engines

    def weights_for(self, engine: str) -> tuple[ModelSpec, dict[str, F32]]:
        """Returns spec and parameters, for engines that are built from a checkpoint.

        Raises:
            ModelError: it is an ONNX graph, or the engine does not support this network; the message names those that
                do.
        """
        if self.spec is None or self.parameters is None:
            kind = "an ONNX graph"
        elif engine not in self.engines:
            kind = self.spec.name
        else:
            return self.spec, self.parameters
        able = " or ".join(f"engine={name!r}" for name in self.engines)
        raise ModelError(f"{self.source}: {kind} runs with {able} only, got engine={engine!r}")


@lru_cache(maxsize=1)
def installed_registry() -> Registry:
    """Returns the registry installed with the package."""
    return Registry.from_toml(installed_model_file("registry.toml"))


def model_path(model: str | Path) -> Path:
    """Returns the file of a model given by name or path; downloads it on first use if necessary.

    Registered names take precedence over files in the working directory: write `./gtcrn-dns3` for a file of that name.
        `random:NETWORK` is returned unchanged; anything else is a path.

    Raises:
        ModelError: neither a model nor a file of this name exists, or the download failed, see `Registry.fetch`.
    """
    registry, name = installed_registry(), str(model)
    if name in registry.models:
        return registry.fetch(name)
    path = Path(model)
    if random_network(name):
        return path
    try:
        if path.is_file():
            # Keep the name of a symbolic link: its suffix tells the format.
            return path.parent.resolve() / path.name
        is_folder = bool(name) and path.is_dir()
    except OSError as error:  # for example a name that is too long
        raise ModelError(f"cannot look for the model {name!r}: {error.strerror}") from error
    hint = registry.hint(name) if len(path.parts) == 1 else ""
    raise ModelError(
        f"expected a model name ({', '.join(registry.models)}) or the path of a checkpoint (.safetensors, .tar) "
        f"or of a streaming ONNX file, got {name!r}: {'a folder' if is_folder else 'no such file'}{hint}"
    )


def load_model(path: Path, network: str = "") -> Model:
    """Loads a checkpoint or a streaming ONNX file (suffix `.onnx`).

    Args:
        path: the file, or `random:NETWORK` for random weights.
        network: network of the checkpoint; if empty, it is read from the metadata or inferred from the tensors.

    Raises:
        ModelError: the file cannot be read, is damaged, or of an unknown network.
    """
    if path.suffix == ".onnx":
        try:
            graph = path.read_bytes()
        except OSError as error:
            raise ModelError(f"cannot read {path}: {error.strerror or error}") from error
        return Model(None, path, hashlib.sha256(graph).hexdigest(), graph=graph)
    if random := random_network(str(path)):
        spec, parameters = NETWORKS[random].spec, random_parameters(NETWORKS[random].parameters())
    else:
        arrays = read_checkpoint(path)
        try:
            spec, parameters = recognise(arrays, network or read_architecture(path))
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error
    digest = hashlib.sha256()
    for name in sorted(parameters):
        digest.update(name.encode())
        digest.update(parameters[name].tobytes())
    return Model(spec, path, digest.hexdigest(), parameters=parameters)


def installed_model_file(name: str) -> Path:
    """Returns the path of a file installed with the package.

    Raises:
        ModelError: the file is missing: the installation is incomplete.
    """
    with as_file(files("gtcrn_frontend.models") / name) as path:
        if not path.is_file():
            raise ModelError(f"expected {name} among the installed models at {path}: install the package again")
        return path
