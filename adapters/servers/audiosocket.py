"""`AudioSocketProxy`: enhances the callers' voices between Asterisk and an application that speaks AudioSocket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gtcrn_frontend.adapters.relay_settings import RelaySettings
from gtcrn_frontend.adapters.servers.access import check_descriptors, descriptors_needed
from gtcrn_frontend.adapters.servers.protocols.audiosocket import AudioSocketFraming, first_message
from gtcrn_frontend.adapters.servers.relay import run_until_stopped
from gtcrn_frontend.adapters.servers.tcp_proxy import TcpProtocol, TcpProxy
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.settings import document_settings, setting

PORT = 9092
PROTOCOL = TcpProtocol(first_message, lambda settings: AudioSocketFraming())


@document_settings
@dataclass(frozen=True)
class AudioSocketSettings(RelaySettings):
    """All settings of an AudioSocket proxy.

    Raises:
        ConfigError: a value is out of range, or two do not go together.
    """

    upstream: str = setting(help="address of the application, tcp://HOST:PORT")
    port: int = setting(PORT, low=0, high=65_535, help="port to listen on; 0 takes a free one, see `address`")

    def __post_init__(self) -> None:
        super().__post_init__()
        config = self.enhancer
        given = (config.sample_rate, config.output_sample_rate, config.channels)
        if given != (None, None, 1):
            raise ConfigError(
                "expected no sample rate and 1 channel: messages name the rate, which the application gets, too; got "
                f"sample_rate {given[0]}, output_sample_rate {given[1]} and channels {given[2]}"
            )


class AudioSocketProxy(TcpProxy):
    """Enhances what Asterisk sends by AudioSocket, and relays all else in both directions; see `TcpProxy`."""

    def __init__(self, settings: AudioSocketSettings) -> None:
        super().__init__(settings, PROTOCOL)


async def serve(settings: AudioSocketSettings, announce: Callable[[AudioSocketProxy], None]) -> None:
    """Runs a proxy until SIGTERM or SIGINT, then drains it; a second signal closes all connections."""
    check_descriptors(descriptors_needed(settings.max_connections, 0), raise_limit=True)
    await run_until_stopped(AudioSocketProxy(settings), announce)
