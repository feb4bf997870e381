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
  gtcrn-frontend proxy --upstream ws://127.0.0.1:6006 --token-file token.txt \\
      --admin 127.0.0.1:9090
  curl http://127.0.0.1:6005/readyz http://127.0.0.1:6005/metrics

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
    limits.add_argument(
        "--max-handshakes", type=int, metavar="N", help="incomplete ones; the oldest goes (default: --max-connections)"
    )
    limits.add_argument(
        "--max-handshakes-per-address", type=int, metavar="N", help="of these (default: half of --max-handshakes)"
    )
    limits.add_argument(
        "--handshake-seconds", type=float, default=10.0, metavar="S", help="of a client (default: %(default)g)"
    )
    limits.add_argument(
        "--max-stream-seconds", type=float, metavar="S", help="of audio in one utterance (default: no limit)"
    )
    limits.add_argument(
        "--max-bytes-per-second", type=int, metavar="N", help="read a client no faster (default: no limit)"
    )
    access = parser.add_argument_group("access")
    access.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="a web page that may connect, such as https://example.org, or * (default: none; may be repeated)",
    )
    access.add_argument("--token-file", type=Path, metavar="FILE", help="token that clients must send (default: none)")
    access.add_argument(
        "--admin", metavar="HOST:PORT", help="for /metrics, /healthz and /readyz (default: the clients' port)"
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
    admin_host, admin_port = split_address(args.admin) if args.admin else (ProxySettings.admin_host, None)
    settings = ProxySettings(
        upstream=args.upstream,
        host=host,
        port=port,
        protocol=args.protocol,
        enhancer=config_of(args),
        max_connections=args.max_connections,
        max_handshakes=args.max_handshakes,
        max_handshakes_per_address=args.max_handshakes_per_address,
        handshake_seconds=args.handshake_seconds,
        max_stream_seconds=args.max_stream_seconds,
        max_bytes_per_second=args.max_bytes_per_second,
        max_message_bytes=args.max_message_bytes,
        idle_seconds=args.idle_seconds,
        connect_seconds=args.connect_seconds,
        drain_seconds=args.drain_seconds,
        allow_origin=args.allow_origin,
        token_file=args.token_file,
        admin_host=admin_host,
        admin_port=admin_port,
        tls_cert=args.tls_cert,
        tls_key=args.tls_key,
        upstream_ca=args.upstream_ca,
    )
    logging.getLogger("gtcrn_frontend").setLevel(logging.INFO)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def announce(proxy: Proxy) -> None:
        print(f"listening on {proxy.address} for {settings.upstream_shown} ({settings.protocol})", flush=True)
        if settings.admin_port is not None:
            print(f"admin port on {proxy.admin_address}", flush=True)

    asyncio.run(serve(settings, announce))
    return 0
