"""Training settings from YAML files."""

from __future__ import annotations

from pathlib import Path

from gtcrn_frontend.settings import settings_from_yaml
from gtcrn_frontend.training.config import TrainConfig


def load_config(path: str | Path) -> TrainConfig:
    """Returns the settings in a YAML file; relative paths in it start at the file's folder.

    A model is a path if it contains a slash or names a file in that folder, and otherwise a registered name.

    Raises:
        ConfigError: no such file, not YAML, unknown or missing settings, or values of a wrong type or out of range.
    """
    return settings_from_yaml(TrainConfig, path)
