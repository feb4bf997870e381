"""`ProxySettings`: addresses, protocol, limits and TLS of the proxy."""

from __future__ import annotations

import dataclasses
import difflib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from websockets.exceptions import InvalidURI
from websockets.typing import Origin
from websockets.uri import parse_uri

from gtcrn_frontend.adapters.relay_settings import RecognizerRelaySettings
from gtcrn_frontend.adapters.servers.protocols import PROTOCOLS
from gtcrn_frontend.adapters.servers.protocols.base import Framing
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.settings import document_settings, parse_value, setting


@document_settings
@dataclass(frozen=True)
class ProxySettings(RecognizerRelaySettings):
    """All settings of a proxy in front of a server of one of `PROTOCOLS`.

    Raises:
        ConfigError: a value is out of range, or two do not go together.
    """

    upstream: str = setting(
        help="address of the recogniser's server, ws://HOST:PORT or wss://...; for the protocol openai also http://..."
    )
    port: int = setting(6005, low=0, high=65_535, help="port to listen on; 0 takes a free one, see `Proxy.address`")
    enhancer: EnhancerConfig = setting(
        factory=EnhancerConfig,
        help="model, engine, strength and so on. sample_rate and output_sample_rate are those of the clients and of "
        "the recogniser, each the protocol's or the model's unless given; in most protocols, messages name the rate",
    )
    admin_port: int | None = setting(
        None,
        low=0,
        high=65_535,
        default_text="the clients' port",
        help="port for /metrics, /healthz and /readyz, which are then not on the clients' port",
    )
    protocol: str = setting("online", choices=tuple(PROTOCOLS), help="protocol of clients and server")
    allow_origin: Sequence[str] = setting(
        (),
        help="web pages that may connect, by their origin, such as https://example.org, or *; clients that are no "
        "browsers send none and are not affected",
    )
    token_file: Path | None = setting(
        None, default_text="no token", help="file with a token that clients must send, as bearer token or as ?token="
    )
    tls_cert: Path | None = setting(None, help="PEM file with the certificate chain; clients then connect by wss://")
    tls_key: Path | None = setting(
        None, default_text="in the certificate's file", help="PEM file with the key of the certificate"
    )
    upstream_ca: Path | None = setting(
        None, default_text="the system's", help="PEM file with the authorities to trust for a wss:// upstream"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _is_websocket_uri(self.websocket_upstream):
            raise ConfigError(
                f"upstream: expected an address such as ws://127.0.0.1:6006 or wss://example.org, got {self.upstream!r}"
            )
        if self.enhancer.channels != 1:
            raise ConfigError(f"channels: expected 1, as recognition servers do, got {self.enhancer.channels}")
        self._check_rates()
        for origin in self.allow_origin:
            if origin != "*" and not _is_origin(origin):
                raise ConfigError(f"allow_origin: expected an origin such as https://example.org, or *, got {origin!r}")
        if self.tls_key and not self.tls_cert:
            raise ConfigError("tls_key: expected tls_cert beside it, got none")
        if self.upstream_ca and not self.upstream_is_secure:
            raise ConfigError(f"upstream_ca: expected an upstream with wss://, got {self.upstream}")

    def _check_rates(self) -> None:
        rate, output_rate = self.enhancer.sample_rate, self.enhancer.output_sample_rate
        if self.protocol == "offline" and (rate, output_rate) != (None, None):
            raise ConfigError(
                "expected no sample rate for the protocol offline, where each utterance names its own: "
                f"leave out sample_rate and output_sample_rate, got {rate} and {output_rate}"
            )
        if PROTOCOLS[self.protocol].names_rate and output_rate is not None:
            raise ConfigError(
                f"output_sample_rate: expected none for the protocol {self.protocol}, in which clients tell the server "
                f"the rate of what they send, got {output_rate}: leave it out"
            )

    @property
    def handshake_limits(self) -> tuple[int, int]:
        """How many handshakes may be incomplete, of all addresses and of each one."""
        total = self.max_connections if self.max_handshakes is None else self.max_handshakes
        own = self.max_handshakes_per_address
        return total, max(1, total // 2) if own is None else own

    @property
    def origins(self) -> list[Origin | None] | None:
        """The origins that are allowed; None in it for clients without one, None instead of it for all."""
        if "*" in self.allow_origin:
            return None
        return [None, *(Origin(origin.lower()) for origin in self.allow_origin)]

    @property
    def websocket_upstream(self) -> str:
        """The address of the recogniser as a WebSocket's; that of HTTP's where the protocol has both."""
        scheme, colon, rest = self.upstream.partition("://")
        is_http = self.protocol == "openai" and scheme in ("http", "https")
        return f"{scheme.replace('http', 'ws')}{colon}{rest}" if is_http else self.upstream

    @property
    def upstream_is_secure(self) -> bool:
        """Whether the upstream connection uses TLS."""
        return parse_uri(self.websocket_upstream).secure

    @property
    def upstream_shown(self) -> str:
        """The address of the recogniser without name and password, for logs."""
        uri = parse_uri(self.websocket_upstream)
        host = f"[{uri.host}]" if ":" in uri.host else uri.host
        return f"{self.upstream.partition('://')[0].lower()}://{host}:{uri.port}"

    def enhancer_for(self, path: str) -> EnhancerConfig:
        """Returns the settings for a client from its request path: `/?strength=0.7` sets its strength.

        Raises:
            ConfigError: the strength is invalid, or its name misspelt. Other query parameters, such as tokens, are
                ignored.
        """
        query = parse_qs(urlsplit(path).query)
        asked = query.get("strength")
        if not asked and (near := difflib.get_close_matches("strength", query, n=1)):
            raise ConfigError(f"expected strength=, got {near[0]}=: did you mean 'strength'?")
        if not asked:
            return self.enhancer
        strength = parse_value(EnhancerConfig, "strength", asked[-1])
        return dataclasses.replace(self.enhancer, strength=strength, max_attenuation_db=None)

    def new_framing(self) -> Framing:
        """Returns a message parser for one connection."""
        return PROTOCOLS[self.protocol]()

    def server_tls(self) -> ssl.SSLContext | None:
        """Returns the TLS context for clients; raises `ConfigError` if certificate or key are invalid."""
        if self.tls_cert is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.tls_cert, self.tls_key)
        except OSError as error:  # includes ssl.SSLError
            files = " and ".join(str(path) for path in (self.tls_cert, self.tls_key) if path)
            raise ConfigError(f"expected a certificate and its key as PEM in {files}: {error}") from error
        return context

    def upstream_tls(self) -> ssl.SSLContext | None:
        """Returns the TLS context for the upstream; raises `ConfigError` if `upstream_ca` is invalid."""
        if not self.upstream_is_secure:
            return None
        try:
            return ssl.create_default_context(cafile=self.upstream_ca)
        except OSError as error:
            raise ConfigError(f"expected certificates as PEM in {self.upstream_ca}: {error}") from error


def _is_origin(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return (
            bool(parts.scheme and parts.hostname) and value == f"{parts.scheme}://{parts.netloc}" and "@" not in value
        )
    except ValueError:
        return False


def _is_websocket_uri(value: str) -> bool:
    try:
        parse_uri(value)
    except (InvalidURI, ValueError):
        return False
    return True
