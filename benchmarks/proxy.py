"""Load and faults: many real-time streams through the proxy, with everything on this machine.

    python benchmarks/proxy.py load --streams 200 --seconds 60 --json proxy.json
    python benchmarks/proxy.py faults --streams 50

Three processes: the clients (this one), the proxy as the command `proxy` runs it, and an upstream that answers every
message with the number of samples that it has got so far.

`load`: clients send messages of 100 ms in real time, each at a phase of its own, first straight to the upstream and
then through the proxy, and measure the time until the answer to each message. The answers come for what the algorithmic
latency lets through, so it is not in them: what the proxy adds is the difference. Every answer's count is checked.

`faults`: clients that are cut and clients that send garbage, while others speak; an upstream that is killed while all
speak, and started again; SIGTERM while all speak.
"""

import argparse
import asyncio
import collections
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

from gtcrn_frontend.adapters.sherpa.proxy import Proxy, ProxySettings, serve
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.evaluation.environment import environment
from gtcrn_frontend.evaluation.report.tables import Value, markdown_table, write_json
from gtcrn_frontend.model_spec import GTCRN_SPEC

RATE, HOP = GTCRN_SPEC.sample_rate, GTCRN_SPEC.hop_length
NOISE_RMS = 0.1
WARM_UP_S = 2.0
STRAIGHT_S = 10.0
FAULT_S = 8.0
LOST = 1006  # no close frame came
PERCENTILES = {"median_ms": 50, "p95_ms": 95, "p99_ms": 99, "max_ms": 100}


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
    """A process, when it is ready; `ready` is what it has said then."""

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
    """The upstream, and the proxy in front of it."""
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
class Seen:
    """What one client has seen."""

    delays_s: list[float] = field(default_factory=list)
    sent: int = 0
    counted: int = 0
    miscounted: int = 0
    close_code: int | None = None
    closed_at_s: float = 0.0

    @property
    def lost(self) -> int:
        """Samples that the upstream did not get, or not in time for the answer."""
        return abs(self.sent - self.counted) + self.miscounted


class Speaker:
    """One client that speaks in real time."""

    def __init__(self, address: str, message: int, seconds: float, *, enhanced: bool, seed: int) -> None:
        self._address, self._message, self._enhanced = address, message, enhanced
        self._messages = round(seconds * RATE / message)
        rng = np.random.default_rng(seed)
        self._audio: NDArray[np.float32] = rng.normal(0, NOISE_RMS, 8 * message).astype("<f4")
        self._phase_s = rng.uniform(0, message / RATE)
        self._sent_at_s: list[float] = []
        self.seen = Seen()

    async def run(self, begin: asyncio.Barrier) -> Seen:
        async with connect(self._address, compression=None, ping_interval=None, open_timeout=60, proxy=None) as client:
            await begin.wait()
            speaking = asyncio.create_task(self._speak(client))
            try:
                await self._listen(client)
                await speaking
            except ConnectionClosed as closed:
                self.seen.close_code = closed.rcvd.code if closed.rcvd else LOST
                self.seen.closed_at_s = time.monotonic()
            finally:
                speaking.cancel()
                await asyncio.wait([speaking])
        return self.seen

    async def _speak(self, client: ClientConnection) -> None:
        begin_s = time.monotonic() + self._phase_s
        for number in range(self._messages):
            await asyncio.sleep(begin_s + number * self._message / RATE - time.monotonic())
            start = number % 8 * self._message
            self._sent_at_s.append(time.monotonic())
            self.seen.sent += self._message
            await client.send(self._audio[start : start + self._message].tobytes())
        await client.send("Done")

    async def _listen(self, client: ClientConnection) -> None:
        while (answer := await client.recv()) != "Done!":
            self.seen.counted = int(answer)
            number = self._answered(self.seen.counted)
            if number > self._messages:  # what was flushed at the end
                continue
            self.seen.delays_s.append(time.monotonic() - self._sent_at_s[number - 1])
            self.seen.miscounted += abs(self.seen.counted - self._ready(number))

    def _ready(self, number: int) -> int:
        """Samples that the upstream has after so many messages."""
        spoken = number * self._message
        return spoken // HOP * HOP - HOP if self._enhanced else spoken

    def _answered(self, counted: int) -> int:
        """The message, counted from 1, after which the upstream has so many samples."""
        return -(-(counted + HOP if self._enhanced else counted) // self._message)


async def speak(address: str, count: int, message: int, seconds: float, *, enhanced: bool = True) -> list[Seen]:
    speakers = [Speaker(address, message, seconds, enhanced=enhanced, seed=seed) for seed in range(count)]
    begin = asyncio.Barrier(count)  # when all are connected
    return await asyncio.gather(*(speaker.run(begin) for speaker in speakers))


def metrics(proxy: Child) -> dict[str, float]:
    with urllib.request.urlopen(f"{proxy.ready.replace('ws', 'http', 1)}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


# Load


async def measure(way: str, address: str, proxy: Child | None, args: argparse.Namespace) -> dict[str, Value]:
    message = RATE * args.message_ms // 1000
    seconds = args.seconds if proxy else min(args.seconds, STRAIGHT_S)
    rss_mb: list[float] = []

    async def watch() -> None:
        while proxy:
            rss_mb.append(proxy.rss_mb())
            await asyncio.sleep(0.5)

    watching = asyncio.create_task(watch())
    cpu_s, started_s = proxy.cpu_s() if proxy else 0.0, time.monotonic()
    seen = await speak(address, args.streams, message, seconds, enhanced=proxy is not None)
    cores = (proxy.cpu_s() - cpu_s) / (time.monotonic() - started_s) if proxy else None
    watching.cancel()

    skip = round(WARM_UP_S * 1000 / args.message_ms)
    delays_ms = 1000 * np.concatenate([one.delays_s[skip:] for one in seen])
    quarter = len(rss_mb) // 4
    return {
        "way": way,
        "streams": args.streams,
        "message ms": args.message_ms,
        "seconds": seconds,
        **{name: float(np.percentile(delays_ms, q)) for name, q in PERCENTILES.items()},
        "samples lost": sum(one.lost for one in seen),
        "proxy's cores": cores,
        "MB, 1st quarter": float(np.median(rss_mb[quarter // 2 : quarter])) if quarter else None,
        "MB, last quarter": float(np.median(rss_mb[-quarter:])) if quarter else None,
    }


def load(args: argparse.Namespace) -> dict[str, Any]:
    with proxied(args) as (upstream, proxy):
        rows = [
            asyncio.run(measure("straight", f"ws://127.0.0.1:{upstream.ready}", None, args)),
            asyncio.run(measure("through the proxy", proxy.ready, proxy, args)),
        ]
        counted = metrics(proxy)
    rtf = counted["gtcrn_proxy_rtf"]
    errors = sum(value for name, value in counted.items() if name.startswith("gtcrn_proxy_errors_total"))
    digits = dict.fromkeys(PERCENTILES, 1) | {
        "seconds": 0,
        "proxy's cores": 2,
        "MB, 1st quarter": 1,
        "MB, last quarter": 1,
    }
    print(markdown_table(rows, digits))
    print(f"\nRTF of enhancing {rtf:.5f}; errors counted by the proxy: {errors:g}")
    return {"rows": rows, "rtf": rtf, "errors": errors, "ok": rows[1]["samples lost"] == 0 and errors == 0}


# Faults


async def cut(address: str) -> None:
    client = await connect(address, compression=None)
    await client.send(np.zeros(1600, "<f4").tobytes())
    await client.recv()
    client.transport.abort()


async def send(address: str, message: str | bytes) -> int:
    async with connect(address, compression=None) as client:
        with suppress(ConnectionClosed):
            await client.send(message)
            while True:
                await client.recv()
    return client.close_code or LOST


GARBAGE: dict[str, str | bytes] = {
    "text for audio": "hello",
    "7 bytes": b"\0" * 7,
    "NaN": np.full(400, np.nan, "<f4").tobytes(),
    "2 MiB in a message": b"\0" * (2 << 20),
}


async def disturbed(proxy: Child, args: argparse.Namespace) -> list[dict[str, Value]]:
    """Others are cut, and send garbage, while these speak."""
    speaking = asyncio.create_task(speak(proxy.ready, args.streams, RATE // 10, FAULT_S))
    codes: dict[str, collections.Counter[int]] = collections.defaultdict(collections.Counter)
    cuts = 0
    while not speaking.done():
        await cut(proxy.ready)
        cuts += 1
        for name, message in GARBAGE.items():
            codes[name][await send(proxy.ready, message)] += 1
    lost = sum(one.lost for one in await speaking)
    rows = [_row(name, sum(of.values()), _listed(of), args.streams, lost) for name, of in codes.items()]
    return [_row("client cut", cuts, "-", args.streams, lost), *rows]


async def upstream_killed(upstream: Child, proxy: Child, args: argparse.Namespace) -> list[dict[str, Value]]:
    speaking = asyncio.create_task(speak(proxy.ready, args.streams, RATE // 10, 60))
    await asyncio.sleep(3)
    upstream.signal(signal.SIGKILL)
    killed_s = time.monotonic()
    seen = await speaking
    codes = collections.Counter(one.close_code or 0 for one in seen)
    slowest_ms = 1000 * (max(one.closed_at_s for one in seen) - killed_s)
    absent = collections.Counter([await send(proxy.ready, "Done")])
    again = await asyncio.to_thread(Child, run_upstream, upstream.ready)
    after = await speak(proxy.ready, args.streams, RATE // 10, 2)
    again.signal(signal.SIGKILL)
    lost = sum(one.lost for one in after)
    return [
        _row("upstream killed", args.streams, f"{_listed(codes)}, all within {slowest_ms:.0f} ms", 0, None),
        _row("upstream absent", 1, _listed(absent), 0, None),
        _row("upstream back", 1, "-", args.streams, lost),
    ]


async def terminated(proxy: Child, args: argparse.Namespace) -> list[dict[str, Value]]:
    speaking = asyncio.create_task(speak(proxy.ready, args.streams, RATE // 10, 5))
    await asyncio.sleep(2)
    proxy.signal(signal.SIGTERM)
    lost = sum(one.lost for one in await speaking)
    exit_code = await asyncio.to_thread(proxy.exit_code)
    return [_row(f"SIGTERM (exit code {exit_code})", 1, "-", args.streams, lost)]


def _row(fault: str, times: int, told: str, others: int, lost: int | None) -> dict[str, Value]:
    return {"fault": fault, "times": times, "clients told": told, "other streams": others, "their samples lost": lost}


def _listed(codes: collections.Counter[int]) -> str:
    return ", ".join(f"{code}: {times}" for code, times in codes.items())


def faults(args: argparse.Namespace) -> dict[str, Any]:
    rows: list[dict[str, Value]] = []
    with proxied(args) as (upstream, proxy):
        rows += asyncio.run(disturbed(proxy, args))
        rows += asyncio.run(upstream_killed(upstream, proxy, args))
    with proxied(args) as (_, proxy):
        rows += asyncio.run(terminated(proxy, args))
    print(markdown_table(rows, {}))
    return {"rows": rows, "ok": not any(row["their samples lost"] for row in rows)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("load", "faults"))
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0, help="of load (default: %(default)g)")
    parser.add_argument("--message-ms", type=int, default=100)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--threads", type=int, default=1, help="of the proxy's pool")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    machine = environment()
    print("\n".join(f"{name}: {value}" for name, value in machine.items()), end="\n\n")
    result = (load if args.what == "load" else faults)(args)
    if args.json:
        write_json(args.json, {"environment": machine, **result})
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
