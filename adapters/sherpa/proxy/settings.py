"""`ProxySettings`: where the proxy listens, what is behind it, and its limits."""

from __future__ import annotations

import dataclasses
import difflib
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.exceptions import InvalidURI
from websockets.uri import parse_uri

from gtcrn_frontend.adapters.sherpa.proxy.framing import Framing, OfflineFraming, OnlineFraming
from gtcrn_frontend.config import EnhancerConfig, is_count, is_number
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.streaming.auto_strength.controller import Strength

PROTOCOLS: dict[str, Callable[[], Framing]] = {"online": OnlineFraming, "offline": OfflineFraming}
MAX_PORT = 65_535


@dataclass(frozen=True)
class ProxySettings:
    """All settings of a proxy.

    Attributes:
        upstream: `ws://` or `wss://` address of the recogniser.
        host: interface to listen on.
        port: 0 takes a free one, see `Proxy.address`.
        protocol: `online` or `offline`, that of the recogniser.
        enhancer: model, engine, strength and so on. `sample_rate` and `output_sample_rate` are those of the clients and
            of the recogniser, each the model's unless given; offline, every utterance names its own.
        max_connections: further clients are turned away with code 1013.
        max_message_bytes: a larger message closes its connection with code 1009. Up to four messages of a client, and
            of the recogniser to it, are held in memory.
        idle_seconds: a connection on which nothing moved for so long is closed with code 1008.
        connect_seconds: time for the recogniser to accept a connection.
        drain_seconds: time for what is in flight when the proxy is told to end.
        tls_cert: PEM file with certificate chain: clients connect by `wss://`.
        tls_key: PEM file with its key; None if the certificate's file holds it.
        upstream_ca: PEM file with the authorities to trust for a `wss://` upstream; None is those of the system.

    Raises:
        ConfigError: a value is out of range, or two do not go together.
    """

    upstream: str
    host: str = "127.0.0.1"
    port: int = 6005
    protocol: str = "online"
    enhancer: EnhancerConfig = field(default_factory=EnhancerConfig)
    max_connections: int = 256
    max_message_bytes: int = 1 << 20
    idle_seconds: float = 60.0
    connect_seconds: float = 5.0
    drain_seconds: float = 10.0
    tls_cert: Path | None = None
    tls_key: Path | None = None
    upstream_ca: Path | None = None

    def __post_init__(self) -> None:
        for name, (valid, expected) in _VALID.items():
            value = getattr(self, name)
            if not valid(value):
                raise ConfigError(f"{name}: expected {expected}, got {value!r}")
        if self.enhancer.channels != 1:
            raise ConfigError(f"channels: expected 1, as sherpa-onnx's servers do, got {self.enhancer.channels}")
        rates = (self.enhancer.sample_rate, self.enhancer.output_sample_rate)
        if self.protocol == "offline" and rates != (None, None):
            raise ConfigError(
                "expected no sample rate for the protocol offline, where each utterance names its own: "
                f"leave out sample_rate and output_sample_rate, got {rates[0]} and {rates[1]}"
            )
        if self.tls_key and not self.tls_cert:
            raise ConfigError("tls_key: expected tls_cert beside it, got none")
        if self.upstream_ca and not self.upstream_is_secure:
            raise ConfigError(f"upstream_ca: expected an upstream with wss://, got {self.upstream}")

    @property
    def upstream_is_secure(self) -> bool:
        """Whether the recogniser is reached by TLS."""
        return parse_uri(self.upstream).secure

    @property
    def upstream_shown(self) -> str:
        """The address of the recogniser without name and password, for logs."""
        uri = parse_uri(self.upstream)
        host = f"[{uri.host}]" if ":" in uri.host else uri.host
        return f"{'wss' if uri.secure else 'ws'}://{host}:{uri.port}"

    def enhancer_for(self, path: str) -> EnhancerConfig:
        """Returns the settings for a client by the path that it connects to: `/?strength=0.7` sets its own strength.

        Raises:
            ConfigError: the strength is neither `auto` nor a number from 0 to 1, or its name is mistyped. Other names
                are no matter of the proxy: a token, say.
        """
        query = parse_qs(urlsplit(path).query)
        asked = query.get("strength")
        if not asked and (near := difflib.get_close_matches("strength", query, n=1)):
            raise ConfigError(f"expected strength=, got {near[0]}=: did you mean 'strength'?")
        if not asked:
            return self.enhancer
        try:
            strength: Strength = "auto" if asked[-1] == "auto" else float(asked[-1])
        except ValueError as error:
            raise ConfigError(f"strength: expected auto, or a number from 0 to 1, got {asked[-1]!r}") from error
        return dataclasses.replace(self.enhancer, strength=strength, max_attenuation_db=None)

    def new_framing(self) -> Framing:
        """Returns the protocol, for one connection."""
        return PROTOCOLS[self.protocol]()

    def server_tls(self) -> ssl.SSLContext | None:
        """Returns what clients are served with; raises `ConfigError` if the files hold no certificate and key."""
        if self.tls_cert is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.tls_cert, self.tls_key)
        except OSError as error:  # an ssl.SSLError is one
            files = " and ".join(str(path) for path in (self.tls_cert, self.tls_key) if path)
            raise ConfigError(f"expected a certificate and its key as PEM in {files}: {error}") from error
        return context

    def upstream_tls(self) -> ssl.SSLContext | None:
        """Returns what checks the recogniser's certificate; raises `ConfigError` if `upstream_ca` holds none."""
        if not self.upstream_is_secure:
            return None
        try:
            return ssl.create_default_context(cafile=self.upstream_ca)
        except OSError as error:
            raise ConfigError(f"expected certificates as PEM in {self.upstream_ca}: {error}") from error


def split_address(text: str) -> tuple[str, int]:
    """Returns host and port of `HOST:PORT`, where an IPv6 host stands in brackets; raises `ConfigError`."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or port is None or parts.netloc != text:
        raise ConfigError(f"expected HOST:PORT, for example 127.0.0.1:6005 or [::1]:6005, got {text!r}")
    return host, port


def _is_websocket_uri(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        parse_uri(value)
    except (InvalidURI, ValueError):
        return False
    return True


def _is_duration(value: Any) -> bool:
    return is_number(value) and value > 0


_DURATION = (_is_duration, "a number of seconds above 0")
_COUNT = (is_count, "a whole number from 1")
_VALID: dict[str, tuple[Callable[[Any], bool], str]] = {
    "upstream": (_is_websocket_uri, "an address such as ws://127.0.0.1:6006 or wss://example.org"),
    "port": (lambda v: v == 0 or (is_count(v) and v <= MAX_PORT), f"a port from 0 to {MAX_PORT}"),
    "protocol": (lambda v: v in PROTOCOLS, " or ".join(PROTOCOLS)),
    "max_connections": _COUNT,
    "max_message_bytes": _COUNT,
    "idle_seconds": _DURATION,
    "connect_seconds": _DURATION,
    "drain_seconds": (lambda v: is_number(v) and v >= 0, "a number of seconds from 0"),
}
