"""Load and faults: many real-time streams through the proxy, with everything on this machine.

    python benchmarks/proxy.py load --streams 200 --seconds 60 --json proxy.json
    python benchmarks/proxy.py faults --streams 50

Three processes: the clients (this one), the proxy as the command `proxy` runs it, and an upstream that answers every
message with the number of samples received so far.

`load`: clients send messages of 100 ms in real time, each with its own phase, first directly to the upstream and then
through the proxy, and measure the time until the answer to each message. The delay excludes the algorithmic latency, so
that the difference is what the proxy adds. The count in every answer is checked.

`faults`: clients that disconnect and clients that send invalid messages while others send audio; an upstream that is
killed while all send audio, and restarted; SIGTERM while all send audio.
"""

import argparse
import asyncio
import collections
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from _proxy_clients import NO_CLOSE_FRAME, RATE, Child, metrics, proxied, run_upstream, speak
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gtcrn_frontend.evaluation.environment import environment
from gtcrn_frontend.evaluation.report.tables import Value, markdown_table, write_json

WARM_UP_S = 2.0
DIRECT_S = 10.0
FAULT_S = 8.0
PERCENTILES = {"median_ms": 50, "p95_ms": 95, "p99_ms": 99, "max_ms": 100}


# Load


async def measure(path: str, address: str, proxy: Child | None, args: argparse.Namespace) -> dict[str, Value]:
    message = RATE * args.message_ms // 1000
    seconds = args.seconds if proxy else min(args.seconds, DIRECT_S)
    rss_mb: list[float] = []

    async def watch() -> None:
        while proxy:
            rss_mb.append(proxy.rss_mb())
            await asyncio.sleep(0.5)

    watching = asyncio.create_task(watch())
    cpu_s, started_s = proxy.cpu_s() if proxy else 0.0, time.monotonic()
    results = await speak(address, args.streams, message, seconds, enhanced=proxy is not None)
    cores = (proxy.cpu_s() - cpu_s) / (time.monotonic() - started_s) if proxy else None
    watching.cancel()

    skip = round(WARM_UP_S * 1000 / args.message_ms)
    delays_ms = 1000 * np.concatenate([one.delays_s[skip:] for one in results])
    quarter = len(rss_mb) // 4
    return {
        "path": path,
        "streams": args.streams,
        "message ms": args.message_ms,
        "seconds": seconds,
        **{name: float(np.percentile(delays_ms, q)) for name, q in PERCENTILES.items()},
        "samples lost": sum(one.lost for one in results),
        "proxy's cores": cores,
        "MB, 1st quarter": float(np.median(rss_mb[quarter // 2 : quarter])) if quarter else None,
        "MB, last quarter": float(np.median(rss_mb[-quarter:])) if quarter else None,
    }


def load(args: argparse.Namespace) -> dict[str, Any]:
    with proxied(args) as (upstream, proxy):
        rows = [
            asyncio.run(measure("direct", f"ws://127.0.0.1:{upstream.ready}", None, args)),
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
    return client.close_code or NO_CLOSE_FRAME


INVALID: dict[str, str | bytes] = {
    "text for audio": "hello",
    "7 bytes": b"\0" * 7,
    "NaN": np.full(400, np.nan, "<f4").tobytes(),
    "2 MiB in a message": b"\0" * (2 << 20),
}


async def with_faulty_clients(proxy: Child, args: argparse.Namespace) -> list[dict[str, Value]]:
    """Other clients disconnect and send invalid messages while these send audio."""
    sending = asyncio.create_task(speak(proxy.ready, args.streams, RATE // 10, FAULT_S))
    codes: dict[str, collections.Counter[int]] = collections.defaultdict(collections.Counter)
    cuts = 0
    while not sending.done():
        await cut(proxy.ready)
        cuts += 1
        for name, message in INVALID.items():
            codes[name][await send(proxy.ready, message)] += 1
    lost = sum(one.lost for one in await sending)
    rows = [_row(name, sum(of.values()), _listed(of), args.streams, lost) for name, of in codes.items()]
    return [_row("client disconnects", cuts, "-", args.streams, lost), *rows]


async def upstream_killed(upstream: Child, proxy: Child, args: argparse.Namespace) -> list[dict[str, Value]]:
    sending = asyncio.create_task(speak(proxy.ready, args.streams, RATE // 10, 60))
    await asyncio.sleep(3)
    upstream.signal(signal.SIGKILL)
    killed_s = time.monotonic()
    results = await sending
    codes = collections.Counter(one.close_code or 0 for one in results)
    slowest_ms = 1000 * (max(one.closed_at_s for one in results) - killed_s)
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
    sending = asyncio.create_task(speak(proxy.ready, args.streams, RATE // 10, 5))
    await asyncio.sleep(2)
    proxy.signal(signal.SIGTERM)
    lost = sum(one.lost for one in await sending)
    exit_code = await asyncio.to_thread(proxy.exit_code)
    return [_row(f"SIGTERM (exit code {exit_code})", 1, "-", args.streams, lost)]


def _row(fault: str, times: int, close_codes: str, others: int, lost: int | None) -> dict[str, Value]:
    return {
        "fault": fault,
        "times": times,
        "close codes": close_codes,
        "other streams": others,
        "their samples lost": lost,
    }


def _listed(codes: collections.Counter[int]) -> str:
    return ", ".join(f"{code}: {times}" for code, times in codes.items())


def faults(args: argparse.Namespace) -> dict[str, Any]:
    rows: list[dict[str, Value]] = []
    with proxied(args) as (upstream, proxy):
        rows += asyncio.run(with_faulty_clients(proxy, args))
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
