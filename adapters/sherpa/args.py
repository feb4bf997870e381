"""Front-end options for argparse programs in the style of sherpa-onnx's examples."""

from __future__ import annotations

import argparse

from gtcrn_frontend.config import EnhancerConfig, add_enhancer_args
from gtcrn_frontend.errors import ConfigError

PREFIX = "frontend-"
# The rate is that of each stream's samples, and recognisers take one channel.
_WITHOUT = ("sample_rate", "output_sample_rate", "channels", "downmix")


def add_frontend_args(parser: argparse.ArgumentParser) -> None:
    """Adds `--frontend-model`, `--frontend-strength` and so on; no clash with options of sherpa-onnx's examples.

    Examples:
        >>> parser = argparse.ArgumentParser()
        >>> add_frontend_args(parser)
        >>> frontend_from_args(parser.parse_args(["--frontend-strength", "0.7"])).strength
        0.7
    """
    add_enhancer_args(parser, PREFIX, without=_WITHOUT)


def frontend_from_args(args: argparse.Namespace) -> EnhancerConfig:
    """Returns the settings parsed by a parser with `add_frontend_args`, for `with_frontend`.

    Raises:
        ConfigError: a value is out of range.
    """
    try:
        return EnhancerConfig.from_args(args, PREFIX)
    except ConfigError as error:
        raise ConfigError(f"options --{PREFIX}...: {error}") from error
