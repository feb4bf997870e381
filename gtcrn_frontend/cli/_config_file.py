"""The option `--config`: settings of the enhancer from a YAML file, which single options override."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from gtcrn_frontend.config import EnhancerConfig

_SAME_SETTING = {"strength": "max_attenuation_db", "max_attenuation_db": "strength"}


def add_config_arg(parser: argparse.ArgumentParser) -> None:
    """Adds `--config`, after the options of the settings; these no longer have defaults in the parsed arguments."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="YAML file of settings, such as calibrate --write writes; options that are given override it",
    )
    names = {field.name for field in dataclasses.fields(EnhancerConfig)}
    for action in parser._actions:
        if action.dest in names:
            # Only what is given becomes an attribute. The default stays in the help text.
            action.help = (action.help or "").replace("%(default)s", str(action.default))
            action.default = argparse.SUPPRESS


def config_of(args: argparse.Namespace) -> EnhancerConfig:
    """Returns the settings of the file, or the defaults, with the options that are given in place of them.

    Raises:
        ConfigError: the file cannot be used, or a setting is out of range.
    """
    base = EnhancerConfig.from_yaml(args.config) if args.config else EnhancerConfig()
    given = {field.name: getattr(args, field.name) for field in dataclasses.fields(base) if hasattr(args, field.name)}
    defaults = EnhancerConfig()
    for name, other in _SAME_SETTING.items():  # two units of one setting: an option replaces both
        if name in given and other not in given:
            given[other] = getattr(defaults, other)
    return dataclasses.replace(base, **given)
