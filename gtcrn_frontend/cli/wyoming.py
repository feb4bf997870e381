"""The command `wyoming`: a proxy between Home Assistant and a speech-to-text service."""

from __future__ import annotations

import argparse
import asyncio
from urllib.parse import urlsplit

from gtcrn_frontend.cli._help import HelpFormatter
from gtcrn_frontend.cli._relay_args import add_relay_args, log_with_times, relay_settings, split_address
from gtcrn_frontend.errors import ConfigError, ModelError

EXAMPLES = """examples:
  gtcrn-frontend wyoming --uri tcp://0.0.0.0:10300 --upstream tcp://127.0.0.1:10301
  gtcrn-frontend wyoming --uri tcp://0.0.0.0:10300 --upstream tcp://127.0.0.1:10301 --strength 0.6 \\
      --zeroconf gtcrn-whisper

In Home Assistant, add the integration "Wyoming Protocol" with the address of the proxy. Needs
pip install -c constraints.txt '.[wyoming]', in a checkout.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser(
        "wyoming",
        help="enhance audio between Home Assistant and a speech-to-text service",
        description="Runs a proxy for the Wyoming protocol: it enhances the audio on its way to a speech-to-text\n"
        "service, and forwards all else, in both directions.",
        epilog=EXAMPLES,
        formatter_class=HelpFormatter,
    )
    parser.add_argument(
        "--uri", default="tcp://127.0.0.1:10300", metavar="URI", help="address to listen on (default: %(default)s)"
    )
    parser.add_argument("--upstream", required=True, metavar="URI", help="the service, tcp://HOST:PORT")
    parser.add_argument(
        "--zeroconf",
        nargs="?",
        const="gtcrn-frontend",
        metavar="NAME",
        help="let Home Assistant discover it, by this name (default: not announced; without NAME: %(const)s)",
    )
    add_relay_args(parser, without=("channels", "downmix", "sample_rate", "output_sample_rate"))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serves until a signal; prints where on stdout."""
    try:
        from gtcrn_frontend.adapters.wyoming import WyomingSettings, serve
    except ImportError as error:
        raise ModelError(str(error)) from error

    if urlsplit(args.uri).scheme != "tcp":
        raise ConfigError(f"--uri: expected an address such as tcp://0.0.0.0:10300, got {args.uri!r}")
    host, port = split_address(args.uri.removeprefix("tcp://").rstrip("/"))
    settings = WyomingSettings(
        upstream=args.upstream, host=host, port=port, zeroconf=args.zeroconf, **relay_settings(args)
    )
    log_with_times()
    asyncio.run(
        serve(
            settings,
            lambda proxy: print(f"listening on {proxy.address} for {settings.upstream_shown}", flush=True),
        )
    )
    return 0
