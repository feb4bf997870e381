"""`WyomingProxy`: enhances audio between Home Assistant and a speech-to-text service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Self

from gtcrn_frontend.adapters.relay_settings import RelaySettings
from gtcrn_frontend.adapters.servers.access import check_descriptors, descriptors_needed
from gtcrn_frontend.adapters.servers.relay import run_until_stopped
from gtcrn_frontend.adapters.servers.tcp_proxy import TcpProtocol, TcpProxy, split_tcp_uri
from gtcrn_frontend.adapters.wyoming.announcement import Announcement
from gtcrn_frontend.adapters.wyoming.framing import WyomingFraming, first_message
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.settings import document_settings, setting

PORT = 10300


@document_settings
@dataclass(frozen=True)
class WyomingSettings(RelaySettings):
    """All settings of a Wyoming proxy.

    Raises:
        ConfigError: a value is out of range, or two do not go together.
    """

    upstream: str = setting(help="address of the speech-to-text service, tcp://HOST:PORT")
    port: int = setting(PORT, low=0, high=65_535, help="port to listen on; 0 takes a free one, see `address`")
    zeroconf: str | None = setting(
        None, default_text="not announced", help="name under which Home Assistant discovers the proxy"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        config = self.enhancer
        given = (config.sample_rate, config.output_sample_rate, config.channels, config.downmix)
        if given != (None, None, 1, False):
            raise ConfigError(
                "expected no sample rates and channels: each audio-chunk names its own, which the service gets, too; "
                f"got sample_rate {given[0]}, output_sample_rate {given[1]}, channels {given[2]}, downmix {given[3]}"
            )


def _new_framing(settings: RelaySettings) -> WyomingFraming:
    return WyomingFraming(f"behind gtcrn-frontend {version('gtcrn-frontend')} ({settings.enhancer.model})")


class WyomingProxy(TcpProxy):
    """Enhances `audio-chunk` on its way to a speech-to-text service, and relays all else; see `TcpProxy`.

    In the service's `info`, `prefers_noise_reduction_enabled` becomes false, and the descriptions name the proxy.

    With `zeroconf`, it is announced from entering the block to leaving it.

    Raises:
        ModelError: `zeroconf` is set, and the package of that name is not installed (on entering the block).
        ConfigError: another service in the network has the name (on entering the block); or see `TcpProxy`.
    """

    def __init__(self, settings: WyomingSettings) -> None:
        super().__init__(settings, TcpProtocol(first_message, _new_framing))
        self._settings = settings
        self._announcement: Announcement | None = None

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        if self._settings.zeroconf is not None:
            try:
                host, port = split_tcp_uri(self.address, "address")
                self._announcement = await Announcement.announce(self._settings.zeroconf, host, port)
            except BaseException:
                await self.close()
                raise
        return self

    async def close(self) -> None:
        """Withdraws the announcement before all else, see `TcpProxy.close`."""
        announcement, self._announcement = self._announcement, None
        if announcement is not None:
            await announcement.withdraw()
        await super().close()


async def serve(settings: WyomingSettings, announce: Callable[[WyomingProxy], None]) -> None:
    """Runs a proxy until SIGTERM or SIGINT, then drains it; a second signal closes all connections."""
    check_descriptors(descriptors_needed(settings.max_connections, 0), raise_limit=True)
    await run_until_stopped(WyomingProxy(settings), announce)
