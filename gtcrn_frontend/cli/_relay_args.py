"""Options that all proxies have: where to listen, limits, and the admin port."""

from __future__ import annotations

import argparse
import dataclasses
import logging
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from gtcrn_frontend.adapters.relay_settings import NOT_OPTIONS, RelaySettings
from gtcrn_frontend.cli._config_file import add_config_arg, config_of
from gtcrn_frontend.config import add_enhancer_args
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.settings import add_options


def add_limits(parser: argparse.ArgumentParser, cls: type[RelaySettings] = RelaySettings) -> None:
    """Adds the options of a class of settings, but for those that commands take in another form."""
    add_options(parser.add_argument_group("limits"), cls, without=NOT_OPTIONS, shown_as=_metavars(cls))


def _metavars(cls: type[RelaySettings]) -> dict[str, str]:
    names = [item.name for item in dataclasses.fields(cls)]
    return {name: "S" if name.endswith("_seconds") else "N" for name in names} | {"on_error": "{pass,raise}"}


def add_relay_args(parser: argparse.ArgumentParser, without: Collection[str]) -> None:
    """Adds limits, the admin port and the settings of the enhancer, but for those in `without`."""
    add_limits(parser)
    parser.add_argument("--admin", metavar="HOST:PORT", help="for /metrics, /healthz and /readyz (default: none)")
    add_enhancer_args(parser, without=without)
    add_config_arg(parser)


def relay_settings(args: argparse.Namespace, cls: type[RelaySettings] = RelaySettings) -> dict[str, Any]:
    """Returns limits, admin port and enhancer as keyword arguments of a class of settings."""
    names = [item.name for item in dataclasses.fields(cls) if item.name not in NOT_OPTIONS]
    settings = {name: getattr(args, name) for name in names}
    if args.admin:
        settings["admin_host"], settings["admin_port"] = split_address(args.admin)
    return {**settings, "enhancer": config_of(args)}


def log_with_times() -> None:
    """Shows what a proxy logs, with times."""
    logging.getLogger("gtcrn_frontend").setLevel(logging.INFO)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))


def split_address(text: str) -> tuple[str, int]:
    """Splits `HOST:PORT` (IPv6 hosts in brackets); raises `ConfigError`."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or port is None or parts.netloc != text:
        raise ConfigError(f"expected HOST:PORT, for example 127.0.0.1:6005 or [::1]:6005, got {text!r}")
    return host, port
