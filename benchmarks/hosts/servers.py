"""What a stream costs in each proxy: the CPU time of the proxy's process per second of audio.

    python benchmarks/hosts/servers.py --streams 20 --seconds 10

Streams in real time, messages as the clients of the protocol send them, before a server that only reads (and answers
where clients wait for it). The proxy runs as its command does, with the default settings.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import re
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from wyoming.audio import AudioChunk

from gtcrn_frontend.adapters.wyoming.framing import to_bytes
from gtcrn_frontend.evaluation.environment import environment
from gtcrn_frontend.evaluation.report.tables import Value, markdown_table

WARM_UP_S = 2.0


@dataclass(frozen=True)
class Case:
    """A protocol: the command, how clients begin, and their messages."""

    name: str
    arguments: list[str]
    rate: int
    message_ms: int
    first: list[str | bytes]
    message: Callable[[np.ndarray], str | bytes]  # of samples in float32
    scheme: str = "ws"
    is_answered: bool = False


def pcm16(samples: np.ndarray) -> bytes:
    return (samples * 32767).astype("<i2").tobytes()


def append(samples: np.ndarray) -> str:
    return json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm16(samples)).decode()})


def proxy(protocol: str) -> list[str]:
    return ["proxy", "--protocol", protocol, "--listen", "127.0.0.1:0"]


CASES = [
    Case("sherpa-onnx", proxy("online"), 16_000, 100, [], lambda samples: samples.astype("<f4").tobytes()),
    Case("vosk", proxy("vosk"), 16_000, 200, ['{"config": {"sample_rate": 16000}}'], pcm16, is_answered=True),
    Case("FunASR", proxy("funasr"), 16_000, 60, ['{"is_speaking": true}'], pcm16),
    Case("WhisperLive", proxy("whisperlive"), 16_000, 256, ["{}"], lambda samples: samples.astype("<f4").tobytes()),
    Case("OpenAI, realtime", proxy("openai"), 24_000, 100, [], append),
    Case(
        "Wyoming",
        ["wyoming", "--uri", "tcp://127.0.0.1:0"],
        16_000,
        64,
        [],
        lambda samples: to_bytes(AudioChunk(16_000, 2, 1, pcm16(samples)).event()),
        "tcp",
    ),
    Case(
        "AudioSocket",
        ["audiosocket", "--listen", "127.0.0.1:0"],
        8000,
        20,
        [struct.pack(">BH", 1, 16) + bytes(16)],
        lambda samples: struct.pack(">BH", 0x10, 2 * len(samples)) + pcm16(samples),
        "tcp",
    ),
]


async def stream(case: Case, address: str, message: str | bytes, begin_s: float, seconds: float) -> None:
    count = round(1000 * seconds / case.message_ms)

    async def paced(send: Callable[[Any], Any], wait: Callable[[], Any]) -> None:
        for first in case.first:
            await send(first)
        for number in range(count):
            await asyncio.sleep(begin_s + number * case.message_ms / 1000 - time.perf_counter())
            await send(message)
            if case.is_answered:
                await wait()

    if case.scheme == "ws":
        async with connect(address.replace("http", "ws", 1), compression=None, max_size=None) as client:
            await paced(client.send, client.recv)
        return
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))

    async def send(data: bytes) -> None:
        writer.write(data)
        await writer.drain()

    await paced(send, writer.drain)
    writer.close()


async def measure(case: Case, streams: int, seconds: float) -> dict[str, Value]:
    async def read_websocket(connection: Any) -> None:
        async for message in connection:
            if case.is_answered and isinstance(message, bytes):
                await connection.send("{}")

    async def read_tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # at the end
            while await reader.read(65_536):
                pass
        writer.close()

    server: Any = None
    if case.scheme == "ws":
        server = await serve(read_websocket, "127.0.0.1", 0, compression=None, max_size=None)
    else:
        server = await asyncio.start_server(read_tcp, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        admin = f"127.0.0.1:{listener.getsockname()[1]}"
    command = [sys.executable, "-P", "-m", "gtcrn_frontend.cli.main", *case.arguments, "--admin", admin]
    process = subprocess.Popen(
        [*command, "--upstream", f"{case.scheme}://{host}:{port}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    address = process.stdout.readline().split()[2]
    samples = np.random.default_rng(0).normal(0, 0.05, case.rate * case.message_ms // 1000).clip(-1, 1)
    message = case.message(samples)
    begin_s = time.perf_counter() + 0.5
    steps = np.linspace(0, case.message_ms / 1000, streams, endpoint=False)
    running = asyncio.gather(*(stream(case, address, message, begin_s + step, WARM_UP_S + seconds) for step in steps))
    await asyncio.sleep(begin_s + WARM_UP_S - time.perf_counter())
    before_s = await asyncio.to_thread(cpu_s, admin)
    await running
    used_s = await asyncio.to_thread(cpu_s, admin) - before_s
    process.terminate()
    process.wait()
    server.close()
    return {
        "protocol": case.name,
        "rate in Hz": case.rate,
        "message in ms": case.message_ms,
        "% of a core per stream": round(100 * used_s / seconds / streams, 2),
    }


def cpu_s(admin: str) -> float:
    with urllib.request.urlopen(f"http://{admin}/metrics") as response:
        found = re.search(r"^process_cpu_seconds_total (\S+)$", response.read().decode(), re.MULTILINE)
    assert found  # on Linux
    return float(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=20, help="at a time (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each protocol (default: %(default)g)")
    args = parser.parse_args()
    rows = [asyncio.run(measure(case, args.streams, args.seconds)) for case in CASES]
    print(f"{environment()}\n\n{markdown_table(rows, {})}")


if __name__ == "__main__":
    main()
