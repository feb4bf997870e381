"""A call through `gtcrn-frontend audiosocket`: a caller as Asterisk is one, the proxy, and an application that records.

    python examples/audiosocket_call.py noisy.wav heard.wav

Needs: pip install -c constraints.txt '.[proxy]'
"""

import argparse
import asyncio
import struct
import uuid
import wave

import numpy as np
import soundfile

from gtcrn_frontend import Enhancer, EnhancerConfig
from gtcrn_frontend.adapters.servers.audiosocket import AudioSocketProxy, AudioSocketSettings

HANG_UP, ID, AUDIO = 0x00, 0x01, 0x10  # the last is 16-bit PCM of 8 kHz
RATE = 8000


async def receive(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The next message: one byte for its kind, two for its length, and the payload."""
    kind, length = struct.unpack(">BH", await reader.readexactly(3))
    return kind, await reader.readexactly(length)


def message(kind: int, payload: bytes = b"") -> bytes:
    return struct.pack(">BH", kind, len(payload)) + payload


async def call(source: str, output: str, strength: float) -> None:
    samples, rate = soundfile.read(source, dtype="float32", always_2d=True)
    narrow = Enhancer(sample_rate=rate, output_sample_rate=RATE, strength=0)  # only resamples
    voice = (np.clip(narrow.enhance(samples.mean(axis=1)), -1, 1) * 32767).astype("<i2")
    over = asyncio.Event()

    async def application(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with wave.open(output, "wb") as recording:
            recording.setparams((1, 2, RATE, 0, "NONE", "NONE"))
            while (received := await receive(reader))[0] != HANG_UP:
                if received[0] == AUDIO:
                    recording.writeframes(received[1])
        writer.close()
        over.set()

    server = await asyncio.start_server(application, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    settings = AudioSocketSettings(
        upstream=f"tcp://{host}:{port}", port=0, enhancer=EnhancerConfig(strength=strength), idle_seconds=5
    )
    async with server, AudioSocketProxy(settings) as proxy:
        host, _, number = proxy.address.removeprefix("tcp://").rpartition(":")
        _, writer = await asyncio.open_connection(host, int(number))
        writer.write(message(ID, uuid.uuid4().bytes))
        for start in range(0, len(voice), RATE // 50):  # Asterisk sends one such message every 20 ms
            writer.write(message(AUDIO, voice[start : start + RATE // 50].tobytes()))
            await writer.drain()
        writer.write(message(HANG_UP))
        await over.wait()
        writer.close()
    print(f"{output}: {len(voice) / RATE:.2f} s of 8 kHz, enhanced at strength {strength:g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="audio file that the caller plays")
    parser.add_argument("output", help="WAV file of what the application hears")
    parser.add_argument("--strength", type=float, default=0.8)
    args = parser.parse_args()
    asyncio.run(call(args.source, args.output, args.strength))


if __name__ == "__main__":
    main()
