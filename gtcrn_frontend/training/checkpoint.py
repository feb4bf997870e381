"""Checkpoints of a run and files of weights, written atomically."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gtcrn_frontend.atomic_write import replaced_at_end
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.weights.checkpoint import write_safetensors


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Writes `content` (tensors and plain values) to `path`; the old file stays until the new one is complete."""
    # Not into the file: of a full disk torch would say "enforce fail at inline_container".
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with replaced_at_end(path) as part, part.open("wb") as file:
        file.write(buffer.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Returns the content of a checkpoint.

    Raises:
        ConfigError: no such file, or not a checkpoint.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ConfigError(
            f"nothing to resume: cannot read {path} ({error.strerror}); start without --resume"
        ) from error
    except Exception as error:  # torch.load raises many types for damaged files
        raise ConfigError(f"{path} is not a training checkpoint: {error}") from error
    return content


def save_weights(path: Path, network: nn.Module, metadata: dict[str, str]) -> None:
    """Writes the state dict of `network` as safetensors; the old file stays until the new one is complete."""
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in network.state_dict().items()}
    write_safetensors(path, arrays, metadata)
