"""Addresses and limits of proxies: `RelaySettings`, those of all; needs none of their libraries."""

from __future__ import annotations

from dataclasses import dataclass

from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.settings import check_settings, setting


@dataclass(frozen=True)
class RelaySettings:
    """Settings of a proxy of any protocol.

    Raises:
        ConfigError: a value is out of range, or two do not go together.
    """

    upstream: str = setting(help="address of the server behind the proxy")
    host: str = setting("127.0.0.1", help="interface to listen on")
    port: int = setting(0, low=0, high=65_535, help="port to listen on; 0 takes a free one, see `address`")
    enhancer: EnhancerConfig = setting(factory=EnhancerConfig, help="model, engine, strength and so on")
    on_error: str = setting(
        "pass",
        choices=("pass", "raise"),
        help="after an internal error, pass the audio on unfiltered until the stream ends, or raise, which closes the "
        "connection",
    )
    max_connections: int = setting(256, low=1, help="further clients are turned away")
    max_stream_seconds: float | None = setting(
        None,
        above=0,
        unit="s",
        default_text="no limit",
        help="audio of one stream; a client that sends more is disconnected",
    )
    max_bytes_per_second: int | None = setting(
        None,
        low=1,
        unit="bytes/s",
        default_text="no limit",
        help="a client is not read faster; live float32 audio of 16 kHz has 64,000",
    )
    max_message_bytes: int = setting(
        1 << 20,
        low=1,
        unit="bytes",
        help="size of a message in either direction. Up to four messages of a client, and of the server to it, are "
        "held in memory",
    )
    idle_seconds: float = setting(60.0, above=0, unit="s", help="a connection without traffic for this long is closed")
    connect_seconds: float = setting(5.0, above=0, unit="s", help="time limit to connect to the server")
    drain_seconds: float = setting(10.0, low=0, unit="s", help="time for sessions to finish at shutdown")
    admin_host: str = setting("127.0.0.1", help="interface of the admin port")
    admin_port: int | None = setting(
        None, low=0, high=65_535, default_text="none", help="port for /metrics, /healthz and /readyz"
    )

    def __post_init__(self) -> None:
        check_settings(self)
        rate = self.max_bytes_per_second
        lowest = self.max_message_bytes / self.idle_seconds
        if rate is not None and rate < lowest:
            raise ConfigError(
                f"max_bytes_per_second: expected at least {lowest:.0f}, one message of max_message_bytes in "
                f"idle_seconds, got {rate}"
            )

    @property
    def upstream_shown(self) -> str:
        """The address of the server without name and password, for logs."""
        return self.upstream


@dataclass(frozen=True)
class RecognizerRelaySettings(RelaySettings):
    """Settings of a proxy in front of a recognition server, as far as they need no library of it."""

    max_file_bytes: int = setting(
        25 << 20, low=1, unit="bytes", help="size of a request with a file, for the protocol openai (413)"
    )
    max_upload_bytes: int = setting(
        1 << 30,
        low=1,
        unit="bytes",
        help="files of all requests together that are held in memory, as received and as enhanced, for the protocol "
        "openai; a request beyond that is turned away (503)",
    )
    upload_seconds: float = setting(
        300.0, above=0, unit="s", help="time limit for a client to send a file, for the protocol openai (408)"
    )
    answer_seconds: float = setting(
        600.0,
        above=0,
        unit="s",
        help="a server that is silent for so long has failed, for the protocol openai (504)",
    )
    max_handshakes: int | None = setting(
        None,
        low=1,
        default_text="max_connections",
        help="connections whose handshake is not complete, or, for the protocol openai, without a request in progress; "
        "beyond that, the oldest is dropped",
    )
    max_handshakes_per_address: int | None = setting(
        None, low=1, default_text="half of max_handshakes", help="of these, those from one address"
    )
    handshake_seconds: float = setting(10.0, above=0, unit="s", help="time limit of a client's handshake")


NOT_OPTIONS = ("upstream", "host", "port", "enhancer", "admin_host", "admin_port")
"""Settings that commands take in another form, such as `--listen HOST:PORT`."""
