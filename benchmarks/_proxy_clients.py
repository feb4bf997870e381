"""Processes and clients of the proxy's load and fault tests: a counting upstream, the proxy, and real-time speakers."""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websocket
from websockets.exceptions import ConnectionClosed

from gtcrn_frontend.adapters.servers import Proxy, ProxySettings, serve
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.model_spec import GTCRN_SPEC

RATE, HOP = GTCRN_SPEC.sample_rate, GTCRN_SPEC.hop_length
NOISE_RMS = 0.1
NO_CLOSE_FRAME = 1006


def run_upstream(ready: Connection, port: int) -> None:
    async def count(client: ServerConnection) -> None:
        samples = 0
        with suppress(ConnectionClosed):
            async for message in client:
                samples += len(message) // 4 if isinstance(message, bytes) else 0
                await client.send("Done!" if message == "Done" else str(samples))

    async def main() -> None:
        async with serve_websocket(
            count, "127.0.0.1", port, compression=None, ping_interval=None, backlog=4096
        ) as server:
            ready.send(server.sockets[0].getsockname()[1])
            await asyncio.Event().wait()

    asyncio.run(main())


def run_proxy(ready: Connection, settings: ProxySettings) -> None:
    def announce(proxy: Proxy) -> None:
        ready.send(proxy.address)

    asyncio.run(serve(settings, announce))


class Child:
    """A child process that has started; `ready` is what it reported then."""

    def __init__(self, function: Callable[..., None], *arguments: object) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self.process = context.Process(target=function, args=(theirs, *arguments), daemon=True)
        self.process.start()
        theirs.close()
        self.ready: Any = ours.recv()

    def signal(self, number: int) -> None:
        if self.process.pid and self.process.is_alive():
            os.kill(self.process.pid, number)

    def exit_code(self) -> int | None:
        self.process.join(30)
        return self.process.exitcode

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self) -> float:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def proxied(args: argparse.Namespace) -> Iterator[tuple[Child, Child]]:
    """Starts the upstream, and the proxy in front of it."""
    upstream = Child(run_upstream, 0)
    settings = ProxySettings(
        upstream=f"ws://127.0.0.1:{upstream.ready}",
        port=0,
        enhancer=EnhancerConfig(engine=args.engine, num_threads=args.threads),
        max_connections=2 * args.streams + 10,
    )
    proxy = Child(run_proxy, settings)
    try:
        yield upstream, proxy
    finally:
        for child in (proxy, upstream):
            child.signal(signal.SIGKILL)


@dataclass
class ClientResult:
    """Counts and delays of one client."""

    delays_s: list[float] = field(default_factory=list)
    sent: int = 0
    counted: int = 0
    miscounted: int = 0
    close_code: int | None = None
    closed_at_s: float = 0.0

    @property
    def lost(self) -> int:
        """Samples that did not reach the upstream, or not in time for the answer."""
        return abs(self.sent - self.counted) + self.miscounted


class Speaker:
    """One client that sends audio in real time."""

    def __init__(self, address: str, message: int, seconds: float, *, enhanced: bool, seed: int) -> None:
        self._address, self._message, self._enhanced = address, message, enhanced
        self._messages = round(seconds * RATE / message)
        rng = np.random.default_rng(seed)
        self._audio: NDArray[np.float32] = rng.normal(0, NOISE_RMS, 8 * message).astype("<f4")
        self._phase_s = rng.uniform(0, message / RATE)
        self._sent_at_s: list[float] = []
        self.result = ClientResult()

    async def run(self, begin: asyncio.Barrier) -> ClientResult:
        async with connect(self._address, compression=None, ping_interval=None, open_timeout=60, proxy=None) as client:
            await begin.wait()
            speaking = asyncio.create_task(self._speak(client))
            try:
                await self._listen(client)
                await speaking
            except ConnectionClosed as closed:
                self.result.close_code = closed.rcvd.code if closed.rcvd else NO_CLOSE_FRAME
                self.result.closed_at_s = time.monotonic()
            finally:
                speaking.cancel()
                await asyncio.wait([speaking])
        return self.result

    async def _speak(self, client: ClientConnection) -> None:
        begin_s = time.monotonic() + self._phase_s
        for number in range(self._messages):
            await asyncio.sleep(begin_s + number * self._message / RATE - time.monotonic())
            start = number % 8 * self._message
            self._sent_at_s.append(time.monotonic())
            self.result.sent += self._message
            await client.send(self._audio[start : start + self._message].tobytes())
        await client.send("Done")

    async def _listen(self, client: ClientConnection) -> None:
        while (answer := await client.recv()) != "Done!":
            self.result.counted = int(answer)
            number = self._answered(self.result.counted)
            if number > self._messages:  # flushed at the end
                continue
            self.result.delays_s.append(time.monotonic() - self._sent_at_s[number - 1])
            self.result.miscounted += abs(self.result.counted - self._ready(number))

    def _ready(self, number: int) -> int:
        """Samples at the upstream after so many messages."""
        spoken = number * self._message
        return spoken // HOP * HOP - HOP if self._enhanced else spoken

    def _answered(self, counted: int) -> int:
        """The message, counted from 1, after which so many samples are at the upstream."""
        return -(-(counted + HOP if self._enhanced else counted) // self._message)


async def speak(address: str, count: int, message: int, seconds: float, *, enhanced: bool = True) -> list[ClientResult]:
    speakers = [Speaker(address, message, seconds, enhanced=enhanced, seed=seed) for seed in range(count)]
    begin = asyncio.Barrier(count)  # begins when all are connected
    return await asyncio.gather(*(speaker.run(begin) for speaker in speakers))


def metrics(proxy: Child) -> dict[str, float]:
    with urllib.request.urlopen(f"{proxy.ready.replace('ws', 'http', 1)}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}
