"""The command `proxy`: a proxy in front of a running recognition server."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from gtcrn_frontend.adapters.relay_settings import RecognizerRelaySettings
from gtcrn_frontend.cli._config_file import add_config_arg
from gtcrn_frontend.cli._help import HelpFormatter
from gtcrn_frontend.cli._relay_args import add_limits, log_with_times, relay_settings, split_address
from gtcrn_frontend.config import add_enhancer_args
from gtcrn_frontend.errors import ModelError

if TYPE_CHECKING:
    from gtcrn_frontend.adapters.servers.relay import Relay

PROTOCOLS = ("online", "offline", "vosk", "funasr", "whisperlive", "openai")

EXAMPLES = """examples:
  gtcrn-frontend proxy --listen 127.0.0.1:6005 --upstream ws://127.0.0.1:6006
  gtcrn-frontend proxy --listen 127.0.0.1:6005 --upstream ws://127.0.0.1:6006 --protocol offline \\
      --config frontend.yaml
  gtcrn-frontend proxy --listen 127.0.0.1:2701 --upstream ws://127.0.0.1:2700 --protocol vosk
  gtcrn-frontend proxy --listen 127.0.0.1:8001 --upstream http://127.0.0.1:8000 --protocol openai
  gtcrn-frontend proxy --listen 0.0.0.0:443 --tls-cert cert.pem --tls-key key.pem \\
      --upstream wss://asr.example.org
  gtcrn-frontend proxy --upstream ws://127.0.0.1:6006 --token-file token.txt \\
      --admin 127.0.0.1:9090
  curl http://127.0.0.1:6005/readyz http://127.0.0.1:6005/metrics

Clients connect here instead of to the server. The protocols are those of sherpa-onnx's
online-websocket-server and offline-websocket-server, of vosk-server, FunASR, WhisperLive, and OpenAI's
interface (POST /v1/audio/transcriptions and the WebSocket /v1/realtime). After SIGTERM or Ctrl-C, open
connections are finished within --drain-seconds.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser(
        "proxy",
        help="enhance audio on its way to a running recognition server",
        description="Runs a proxy in front of a recognition server: it enhances the audio of clients and forwards the\n"
        "server's answers.",
        epilog=EXAMPLES,
        formatter_class=HelpFormatter,
    )
    parser.add_argument(
        "--listen", default="127.0.0.1:6005", metavar="HOST:PORT", help="address to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--upstream", required=True, metavar="URI", help="the server, ws://HOST:PORT, wss://... or http://..."
    )
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="online",
        metavar="PROTOCOL",
        help=f"of clients and server: {', '.join(PROTOCOLS)} (default: %(default)s)",
    )
    add_limits(parser, RecognizerRelaySettings)
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
        from gtcrn_frontend.adapters.servers import ProxySettings, serve
    except ImportError as error:
        raise ModelError(str(error)) from error

    host, port = split_address(args.listen)
    settings = ProxySettings(
        upstream=args.upstream,
        host=host,
        port=port,
        protocol=args.protocol,
        allow_origin=args.allow_origin,
        token_file=args.token_file,
        tls_cert=args.tls_cert,
        tls_key=args.tls_key,
        upstream_ca=args.upstream_ca,
        **relay_settings(args, RecognizerRelaySettings),
    )
    log_with_times()

    def announce(proxy: Relay) -> None:
        print(f"listening on {proxy.address} for {settings.upstream_shown} ({settings.protocol})", flush=True)
        if settings.admin_port is not None:
            print(f"admin port on {proxy.admin_address}", flush=True)

    try:
        asyncio.run(serve(settings, announce))
    except ImportError as error:  # the library of one protocol
        raise ModelError(str(error)) from error
    return 0
