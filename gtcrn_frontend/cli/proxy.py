"""The command `proxy`: a WebSocket proxy in front of a running sherpa-onnx server."""

from __future__ import annotations

import argparse
import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from gtcrn_frontend.cli._config_file import add_config_arg, config_of
from gtcrn_frontend.cli._help import HelpFormatter
from gtcrn_frontend.config import add_enhancer_args
from gtcrn_frontend.errors import ModelError

if TYPE_CHECKING:
    from gtcrn_frontend.adapters.sherpa.proxy import Proxy

EXAMPLES = """examples:
  gtcrn-frontend proxy --listen 127.0.0.1:6005 --upstream ws://127.0.0.1:6006
  gtcrn-frontend proxy --listen 127.0.0.1:6005 --upstream ws://127.0.0.1:6006 --protocol offline \\
      --config frontend.yaml
  gtcrn-frontend proxy --listen 0.0.0.0:443 --tls-cert cert.pem --tls-key key.pem \\
      --upstream wss://asr.example.org
  curl http://127.0.0.1:6005/healthz http://127.0.0.1:6005/metrics

Clients of sherpa-onnx-online-websocket-server (--protocol online) and
sherpa-onnx-offline-websocket-server (--protocol offline) connect here instead. After SIGTERM or
Ctrl-C, open connections are finished within --drain-seconds.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser(
        "proxy",
        help="enhance audio on its way to a running sherpa-onnx server",
        description="Runs a WebSocket proxy in front of a sherpa-onnx server: it enhances the audio of clients and\n"
        "forwards the server's answers.",
        epilog=EXAMPLES,
        formatter_class=HelpFormatter,
    )
    parser.add_argument(
        "--listen", default="127.0.0.1:6005", metavar="HOST:PORT", help="address to listen on (default: %(default)s)"
    )
    parser.add_argument("--upstream", required=True, metavar="URI", help="the server, ws://HOST:PORT or wss://...")
    parser.add_argument(
        "--protocol",
        choices=("online", "offline"),
        default="online",
        help="of clients and server (default: %(default)s)",
    )
    limits = parser.add_argument_group("limits")
    limits.add_argument(
        "--max-connections", type=int, default=256, metavar="N", help="clients at a time (default: %(default)s)"
    )
    limits.add_argument(
        "--max-message-bytes",
        type=int,
        default=1 << 20,
        metavar="N",
        help="size of a message in either direction (default: %(default)s, 16 s of audio)",
    )
    limits.add_argument(
        "--idle-seconds",
        type=float,
        default=60.0,
        metavar="S",
        help="close a connection without messages for so long (default: %(default)g)",
    )
    limits.add_argument(
        "--connect-seconds",
        type=float,
        default=5.0,
        metavar="S",
        help="time limit to connect to the server (default: %(default)g)",
    )
    limits.add_argument(
        "--drain-seconds",
        type=float,
        default=10.0,
        metavar="S",
        help="time to finish open connections after SIGTERM (default: %(default)g)",
    )
    tls = parser.add_argument_group("TLS")
    tls.add_argument("--tls-cert", type=Path, metavar="PEM", help="certificate chain: clients connect by wss://")
    tls.add_argument("--tls-key", type=Path, metavar="PEM", help="its key, unless the certificate's file holds it")
    tls.add_argument("--upstream-ca", type=Path, metavar="PEM", help="authorities to trust (default: the system's)")
    add_enhancer_args(parser, without=("channels", "downmix"))
    add_config_arg(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serves until a signal; prints where on stdout."""
    try:
        from gtcrn_frontend.adapters.sherpa.proxy import ProxySettings, serve
        from gtcrn_frontend.adapters.sherpa.proxy.settings import split_address
    except ImportError as error:
        raise ModelError(str(error)) from error

    host, port = split_address(args.listen)
    settings = ProxySettings(
        upstream=args.upstream,
        host=host,
        port=port,
        protocol=args.protocol,
        enhancer=config_of(args),
        max_connections=args.max_connections,
        max_message_bytes=args.max_message_bytes,
        idle_seconds=args.idle_seconds,
        connect_seconds=args.connect_seconds,
        drain_seconds=args.drain_seconds,
        tls_cert=args.tls_cert,
        tls_key=args.tls_key,
        upstream_ca=args.upstream_ca,
    )
    logging.getLogger("gtcrn_frontend").setLevel(logging.INFO)

    def announce(proxy: Proxy) -> None:
        print(f"listening on {proxy.address} for {settings.upstream_shown} ({settings.protocol})", flush=True)

    asyncio.run(serve(settings, announce))
    return 0
