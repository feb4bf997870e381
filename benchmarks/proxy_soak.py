"""The soak: clients that come, speak, misbehave and go for as long as asked; every sample is counted.

    python benchmarks/proxy_soak.py --seconds 480 --clients 160

Each client does one thing after another, chosen at random from a seed: speaks one or two utterances in messages of
random sizes, as fast as it is read; is cut in mid-utterance; sends garbage; connects and says nothing; sends empty
messages only. All traffic stays on 127.0.0.1. It ends in counts: samples sent and samples that the upstream answered
for, close codes, the proxy's errors, its memory and its file descriptors. The exit code is 1 if a sample of a complete
utterance is missing, if the proxy had an internal error, or if descriptors are left open.
"""

import argparse
import asyncio
import collections
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from _proxy_clients import NO_CLOSE_FRAME, RATE, Child, metrics, run_proxy, run_upstream
from proxy import INVALID
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from gtcrn_frontend.adapters.servers import ProxySettings
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.evaluation.environment import environment
from gtcrn_frontend.evaluation.report.tables import markdown_table, write_json

MAX_SECONDS = 3600.0
IDLE_S = 2.0
ERRORS = "gtcrn_proxy_errors_total"


@dataclass
class Counts:
    """What the clients have done and seen."""

    done: collections.Counter[str] = field(default_factory=collections.Counter)
    codes: collections.Counter[int] = field(default_factory=collections.Counter)
    sent: int = 0
    answered: int = 0
    failed: list[str] = field(default_factory=list)


class Client:
    """One client: `run` does one thing after another."""

    def __init__(self, address: str, counts: Counts, seed: int) -> None:
        self._address, self._counts = address, counts
        self._rng = np.random.default_rng(seed)
        self._audio = self._rng.normal(0, 0.1, 4 * RATE).astype("<f4")

    async def run(self, end_s: float) -> None:
        acts: list[tuple[float, Callable[[], Awaitable[None]]]] = [
            (0.7, self.speak),
            (0.1, self.be_cut),
            (0.1, self.send_garbage),
            (0.05, self.say_nothing),
            (0.05, self.send_empty),
        ]
        weights = [weight for weight, _ in acts]
        while time.monotonic() < end_s:
            _, act = acts[self._rng.choice(len(acts), p=weights)]
            try:
                await act()
                self._counts.done[act.__name__] += 1
            except (OSError, ConnectionClosed, InvalidHandshake) as error:
                self._counts.failed.append(f"{act.__name__}: {error!r}"[:200])

    async def speak(self) -> None:
        async with self._connected() as client:
            before = 0  # the upstream counts over a connection
            for _ in range(self._rng.integers(1, 3)):
                samples = int(self._rng.integers(1, len(self._audio)))
                listening = asyncio.create_task(_answers(client))
                try:
                    await self._send(client, samples)
                    await client.send("Done")
                    answered = await listening
                finally:
                    listening.cancel()
                self._counts.sent += samples
                self._counts.answered += answered - before
                before = answered

    async def be_cut(self) -> None:
        async with self._connected() as client:
            await self._send(client, int(self._rng.integers(1, RATE)))
            client.transport.abort()

    async def send_garbage(self) -> None:
        message = list(INVALID.values())[self._rng.integers(len(INVALID))]
        async with self._connected() as client:
            await client.send(message)
            await self._until_closed(client)

    async def say_nothing(self) -> None:
        async with self._connected() as client:
            await self._until_closed(client)

    async def send_empty(self) -> None:
        async with self._connected() as client:
            with suppress(ConnectionClosed):
                while True:
                    await client.send(b"")
                    await asyncio.sleep(0.2)
            await self._until_closed(client)

    def _connected(self) -> connect:
        return connect(
            self._address, compression=None, ping_interval=None, open_timeout=60, close_timeout=5, proxy=None
        )

    async def _send(self, client: ClientConnection, samples: int) -> None:
        start = 0
        while start < samples:
            end = min(samples, start + int(self._rng.choice([1, 160, 333, 1600, 8000, 40_000])))
            await client.send(self._audio[start:end].tobytes())
            start = end

    async def _until_closed(self, client: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            while True:
                await client.recv()
        self._counts.codes[client.close_code or NO_CLOSE_FRAME] += 1


async def _answers(client: ClientConnection) -> int:
    """The last count before `Done!`."""
    counted = 0
    while (answer := await client.recv()) != "Done!":
        counted = int(answer)
    return counted


def descriptors(child: Child) -> int:
    return len(list(Path(f"/proc/{child.process.pid}/fd").iterdir()))


async def soak(proxy: Child, args: argparse.Namespace) -> tuple[Counts, list[float]]:
    counts, rss_mb = Counts(), []
    end_s = time.monotonic() + args.seconds

    async def watch() -> None:
        while True:
            rss_mb.append(proxy.rss_mb())
            await asyncio.sleep(min(1.0, args.seconds / 20))

    watching = asyncio.create_task(watch())
    clients = [Client(proxy.ready, counts, args.seed + number) for number in range(args.clients)]
    async with asyncio.timeout(args.seconds + 60):  # an utterance that has begun may end
        await asyncio.gather(*(client.run(end_s) for client in clients))
    watching.cancel()
    return counts, rss_mb


async def settled(proxy: Child, before: int) -> int:
    """The descriptors that the proxy has once its connections have ended."""
    for _ in range(100):
        if descriptors(proxy) <= before:
            break
        await asyncio.sleep(0.1)
    return descriptors(proxy)


def report(counts: Counts, rss_mb: list[float], errors: dict[str, int], files: tuple[int, int]) -> dict[str, Any]:
    quarter = max(1, len(rss_mb) // 4)
    rows = {
        **{name.replace("_", " "): times for name, times in sorted(counts.done.items())},
        "samples sent in complete utterances": counts.sent,
        "samples answered for": counts.answered,
        "close codes": ", ".join(f"{code}: {times}" for code, times in sorted(counts.codes.items())),
        "errors counted by the proxy": ", ".join(f"{kind}: {times}" for kind, times in errors.items()),
        "clients that failed": len(counts.failed),
        "first failure": counts.failed[0] if counts.failed else "-",
        "MB, first and last quarter": f"{np.median(rss_mb[:quarter]):.1f}, {np.median(rss_mb[-quarter:]):.1f}",
        "file descriptors before and after": f"{files[0]}, {files[1]}",
    }
    print(markdown_table([{"what": name, "count": value} for name, value in rows.items()], {}))
    ok = (
        counts.sent == counts.answered > 0 and not errors.get("internal") and files[1] <= files[0] and not counts.failed
    )
    return {"counts": rows, "ok": ok}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help=f"at most {MAX_SECONDS:g} (default: %(default)g)")
    parser.add_argument("--clients", type=int, default=40, help="at a time, at most 1000 (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    if not 0 < args.seconds <= MAX_SECONDS or not 0 < args.clients <= 1000:
        parser.error(f"expected at most {MAX_SECONDS:g} seconds and 1000 clients")
    machine = environment()
    upstream = Child(run_upstream, 0)
    settings = ProxySettings(
        upstream=f"ws://127.0.0.1:{upstream.ready}",
        port=0,
        enhancer=EnhancerConfig(engine=args.engine),
        max_connections=2 * args.clients + 10,
        idle_seconds=IDLE_S,
    )
    proxy = Child(run_proxy, settings)
    try:
        metrics(proxy)  # opens what stays open
        before = descriptors(proxy)
        counts, rss_mb = asyncio.run(soak(proxy, args))
        files = before, asyncio.run(settled(proxy, before))
        errors = {
            name.split('"')[1]: int(value)
            for name, value in metrics(proxy).items()
            if name.startswith(ERRORS) and value
        }
    finally:
        for child in (proxy, upstream):
            child.signal(signal.SIGKILL)
    result = report(counts, rss_mb, errors, files)
    if args.json:
        write_json(args.json, {"environment": machine, **result})
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
