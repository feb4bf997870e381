"""The command `audiosocket`: a proxy between Asterisk and an application."""

from __future__ import annotations

import argparse
import asyncio

from gtcrn_frontend.cli._help import HelpFormatter
from gtcrn_frontend.cli._relay_args import add_relay_args, log_with_times, relay_settings, split_address
from gtcrn_frontend.errors import ModelError

EXAMPLES = """examples:
  gtcrn-frontend audiosocket --listen 0.0.0.0:9092 --upstream tcp://127.0.0.1:9093
  gtcrn-frontend audiosocket --listen 0.0.0.0:9092 --upstream tcp://127.0.0.1:9093 --strength auto \\
      --max-connections 200 --admin 127.0.0.1:9090

In Asterisk's dialplan: AudioSocket(${UUID},proxy.example.org:9092). Needs the extra proxy:
pip install -c constraints.txt '.[proxy]', in a checkout. After SIGTERM or Ctrl-C, calls are
finished within --drain-seconds.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser(
        "audiosocket",
        help="enhance the callers' voices between Asterisk and an application",
        description="Runs a proxy for Asterisk's AudioSocket: it enhances what the caller says on its way to an\n"
        "application, and forwards all else, in both directions.",
        epilog=EXAMPLES,
        formatter_class=HelpFormatter,
    )
    parser.add_argument(
        "--listen", default="127.0.0.1:9092", metavar="HOST:PORT", help="address to listen on (default: %(default)s)"
    )
    parser.add_argument("--upstream", required=True, metavar="URI", help="the application, tcp://HOST:PORT")
    add_relay_args(parser, without=("channels", "downmix", "sample_rate", "output_sample_rate"))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serves until a signal; prints where on stdout."""
    try:
        from gtcrn_frontend.adapters.servers.audiosocket import AudioSocketSettings, serve
    except ImportError as error:
        raise ModelError(str(error)) from error

    host, port = split_address(args.listen)
    settings = AudioSocketSettings(upstream=args.upstream, host=host, port=port, **relay_settings(args))
    log_with_times()
    asyncio.run(
        serve(
            settings,
            lambda proxy: print(f"listening on {proxy.address} for {settings.upstream_shown}", flush=True),
        )
    )
    return 0
