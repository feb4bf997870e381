"""Calls through `gtcrn-frontend audiosocket` in real time: samples lost, delay of the proxy, and what it costs.

    python benchmarks/hosts/audiosocket.py --calls 200 --seconds 20

Callers send 20 ms at a time, each from a moment of its own, as Asterisk does; the application counts what comes. Both
run in one process beside the proxy. The delay of a message is the time from the one that completes it until the
application has it, without the algorithmic latency of the enhancer. Fails if a sample is lost.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import socket
import struct
import subprocess
import sys
import time
import urllib.request

import numpy as np

from gtcrn_frontend import Enhancer

MESSAGE_MS = 20
KINDS = {8000: 0x10, 16_000: 0x12, 48_000: 0x16}
HEADER = struct.Struct(">BH")
HANG_UP = HEADER.pack(0, 0)


class Call:
    """When messages were sent and what came of them."""

    def __init__(self, number: int) -> None:
        self.id = HEADER.pack(1, 16) + number.to_bytes(16, "big")
        self.sent_s: list[float] = []
        self.received_s: list[float] = []
        self.received_bytes = 0


class Application:
    def __init__(self, calls: list[Call]) -> None:
        self._calls = {call.id[HEADER.size :]: call for call in calls}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = None
        data = b""
        ended = False
        while not ended and (piece := await reader.read(65_536)):
            now_s = time.perf_counter()
            data += piece
            start = 0
            while len(data) - start >= HEADER.size:
                kind, length = HEADER.unpack_from(data, start)
                end = start + HEADER.size + length
                if end > len(data):
                    break
                if kind == 1:
                    call = self._calls[data[start + HEADER.size : end]]
                elif kind == 0:
                    ended = True
                elif call:
                    call.received_s.append(now_s)
                    call.received_bytes += length
                start = end
            data = data[start:]
        writer.close()


async def speak(call: Call, address: tuple[str, int], message: bytes, count: int, begin_s: float) -> None:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(call.id)
    for number in range(count):
        await asyncio.sleep(begin_s + number * MESSAGE_MS / 1000 - time.perf_counter())
        call.sent_s.append(time.perf_counter())
        writer.write(message)
        await writer.drain()
    writer.write(HANG_UP)
    await reader.read()
    writer.close()


def completing_messages(rate: int, size: int, count: int) -> list[int]:
    """For each message of the output, the index of the message of the input that completes it.

    Those that only the hang-up completes are left out.
    """
    enhancer = Enhancer(sample_rate=rate)
    completing: list[int] = []
    for number in range(count):
        enhancer.process_chunk(np.zeros(size, np.int16))
        completing += [number] * (enhancer.samples_out // size - len(completing))
    return completing


def delays_ms(call: Call, completing: list[int]) -> list[float]:
    return [1000 * (came_s - call.sent_s[sent]) for came_s, sent in zip(call.received_s, completing, strict=False)]


async def measure(args: argparse.Namespace, *, through_proxy: bool) -> int:
    """Prints a line; returns the number of samples that were lost."""
    calls = [Call(number) for number in range(args.calls)]
    server = await asyncio.start_server(Application(calls).serve, "127.0.0.1", 0, backlog=1024)
    address = server.sockets[0].getsockname()[:2]
    size = args.rate * MESSAGE_MS // 1000
    noise = (np.random.default_rng(0).normal(0, 0.05, size) * 32767).astype("<i2").tobytes()
    message = HEADER.pack(KINDS[args.rate], len(noise)) + noise
    count = round(args.seconds * 1000 / MESSAGE_MS)
    process, metrics_url, completing = None, "", list(range(count))
    if through_proxy:
        completing = completing_messages(args.rate, size, count)
        port = _free_port()
        command = [sys.executable, "-P", "-m", "gtcrn_frontend.cli.main", "audiosocket", "--listen", "127.0.0.1:0"]
        command += ["--upstream", f"tcp://{address[0]}:{address[1]}", "--max-connections", str(args.calls)]
        process = subprocess.Popen([*command, "--admin", f"127.0.0.1:{port}"], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        host, _, number = process.stdout.readline().split()[2].removeprefix("tcp://").rpartition(":")
        address, metrics_url = (host, int(number)), f"http://127.0.0.1:{port}/metrics"
    begin_s = time.perf_counter() + 1
    before_s = _cpu_s(metrics_url) if process else 0.0
    steps = np.linspace(0, MESSAGE_MS / 1000, args.calls, endpoint=False)
    await asyncio.gather(
        *(speak(call, address, message, count, begin_s + step) for call, step in zip(calls, steps, strict=True))
    )
    lost = sum(count * size - call.received_bytes // 2 for call in calls)
    delays = np.concatenate([delays_ms(call, completing) for call in calls])
    name = "through the proxy" if through_proxy else "straight to the application"
    line = f"{name}: {args.calls} calls of {args.seconds:g} s at {args.rate} Hz, {lost} samples lost, delay "
    line += ", ".join(
        f"{label} {np.percentile(delays, q):.1f}" for label, q in (("median", 50), ("p95", 95), ("p99", 99))
    )
    line += " ms"
    if process:
        cpu_s = (await asyncio.to_thread(_cpu_s, metrics_url)) - before_s
        per_call_ms = 1000 * cpu_s / args.seconds / args.calls
        line += f"; {cpu_s / args.seconds:.2f} cores, {per_call_ms:.2f} ms per second of a call"
        process.terminate()
        process.wait()
    print(line)
    server.close()
    return lost


def _cpu_s(url: str) -> float:
    with urllib.request.urlopen(url) as response:
        found = re.search(r"^process_cpu_seconds_total (\S+)$", response.read().decode(), re.MULTILINE)
    assert found  # on Linux
    return float(found[1])


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=int, choices=KINDS, default=8000)
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    lost = await measure(args, through_proxy=False)
    lost += await measure(args, through_proxy=True)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
