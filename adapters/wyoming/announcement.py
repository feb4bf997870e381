"""`Announcement`: the entry of a Wyoming service in the local network (zeroconf), by which Home Assistant finds it.

Source of the entry: the package wyoming 1.10, wyoming/zeroconf.py, which cannot withdraw it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from typing import TYPE_CHECKING, Self

from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.install_hint import install_hint

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncZeroconf

SERVICE_TYPE = "_wyoming._tcp.local."

_MDNS_ADDRESS = "224.0.0.251", 5353
_WITHDRAW_S = 3.0  # it takes 0.3 s, three messages

logger = logging.getLogger(__name__)


class Announcement:
    """An entry that lasts until `withdraw`; made by `announce`."""

    def __init__(self, zeroconf: AsyncZeroconf) -> None:
        self._zeroconf = zeroconf

    @classmethod
    async def announce(cls, name: str, host: str, port: int) -> Self:
        """Enters a service.

        Args:
            name: shown to users; no other service in the network has it.
            host: its IP address; `0.0.0.0` or `::` is that of the interface to the network.
            port: its port.

        Raises:
            ModelError: the package zeroconf is not installed.
            ConfigError: the name is taken, or is none.
            OSError: there is no network.
        """
        try:
            from zeroconf import Error
            from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf
        except ImportError as error:
            raise ModelError(
                f"--zeroconf needs zeroconf: {install_hint('wyoming')}, and pip install zeroconf"
            ) from error
        address = ipaddress.ip_address(_own_address() if host in ("0.0.0.0", "::") else host)
        zeroconf = AsyncZeroconf()
        try:
            entry = AsyncServiceInfo(SERVICE_TYPE, f"{name}.{SERVICE_TYPE}", addresses=[address.packed], port=port)
            await (await zeroconf.async_register_service(entry))
        except Error as error:
            await zeroconf.async_close()
            why = str(error) or "another service has it"
            raise ConfigError(f"zeroconf: expected a name that is free in the network, got {name!r}: {why}") from error
        except BaseException:
            await zeroconf.async_close()
            raise
        return cls(zeroconf)

    async def withdraw(self) -> None:
        """Takes the entry back, so that nobody looks for the service any more; a failure is only logged."""
        try:
            async with asyncio.timeout(_WITHDRAW_S):
                await self._zeroconf.async_close()
        except (OSError, TimeoutError) as error:  # the network is gone
            logger.warning("cannot withdraw the zeroconf entry: %s", str(error) or "time is up")


def _own_address() -> str:
    """Returns the IP address of the interface that multicasts go to."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(_MDNS_ADDRESS)  # sends nothing
        return str(probe.getsockname()[0])
