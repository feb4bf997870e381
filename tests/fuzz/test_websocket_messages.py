"""Random WebSocket messages: every one is either understood or refused with a close code, and nothing else happens.

Rounds are seeded and bounded. To run more: `GTCRN_FUZZ_ROUNDS=1000000 GTCRN_FUZZ_SEED=7 pytest tests/fuzz`.
"""

import asyncio
import contextlib
import os
import random
import struct

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from gtcrn_frontend.adapters.servers import Proxy, ProxySettings
from gtcrn_frontend.adapters.servers.protocols.base import Audio, BadMessageError, Begin, End, Pass
from gtcrn_frontend.config import EnhancerConfig

ROUNDS = int(os.environ.get("GTCRN_FUZZ_ROUNDS", "2000"))
SEED = int(os.environ.get("GTCRN_FUZZ_SEED", "0"))
REFUSALS = (1003, 1007)
TEXTS = ("Done", "done", "Done!", "", "Done\0", "{}", "\u2028" * 50, "x" * 3000)
NUMBERS = (-(1 << 31), -4, -1, 0, 1, 3, 4, 8, 40, 7_999, 8_000, 16_000, 192_000, 192_001, (1 << 31) - 4, (1 << 31) - 1)


def message(rng, rest):
    """A message; `rest`: the bytes that an utterance still needs, for those that should fit."""
    match rng.randrange(8):
        case 0:
            return rng.choice(TEXTS)
        case 1:
            return "Done"
        case 2:
            return rng.randbytes(rng.randrange(0, 40))
        case 3:
            return struct.pack("<ii", rng.choice(NUMBERS), rng.choice(NUMBERS)) + rng.randbytes(rng.randrange(0, 24))
        case 4:
            count = 4 * rng.randrange(1, 10)
            return struct.pack("<ii", 16_000, count) + bytes(rng.choice([count, count, rng.randrange(0, count)]))
        case 5:
            return np.float32([rng.uniform(-0.1, 0.1) for _ in range(rng.randrange(0, 12))]).tobytes()
        case 6:
            return struct.pack("<f", rng.choice([float("nan"), float("inf"), 1e30, -9.0, 1e-40]))
        case _:
            return bytes(min(rest, rng.randrange(0, 60)))


@pytest.mark.parametrize("protocol", ["online", "offline"])
def test_every_message_is_understood_or_refused(protocol):
    rng = random.Random(SEED)
    settings = ProxySettings(upstream="ws://127.0.0.1:1", protocol=protocol)
    understood = refused = utterances = 0
    for _ in range(ROUNDS):
        framing, open_, missing, audio_bytes, held = settings.new_framing(), False, 0, 0, 0
        for _ in range(rng.randrange(1, 12)):
            sent = message(rng, missing)
            try:
                events = framing.receive(sent)
            except BadMessageError as error:
                assert error.code in REFUSALS
                assert 0 < len(str(error)) < 300
                refused += 1
                break
            understood += 1
            held += len(sent) if isinstance(sent, bytes) else 0
            for event in events:
                match event:
                    case Begin():
                        assert not open_
                        open_ = True
                        audio_bytes += len(event.header)
                        if protocol == "offline":
                            assert 8_000 <= event.sample_rate <= 192_000
                            missing = struct.unpack("<ii", event.header)[1]
                    case Audio():
                        assert open_
                        assert event.samples.dtype == np.float32
                        audio_bytes += event.samples.nbytes
                        missing = max(0, missing - event.samples.nbytes)
                    case End():
                        assert open_
                        open_, utterances = False, utterances + 1
                    case Pass():
                        assert not open_
            assert 0 <= held - audio_bytes < 4, "nothing is lost, and less than a sample is held back"
            assert framing.in_flight or not open_
            if rng.random() < 0.3:
                framing.answer(rng.choice(["Done!", "{}", b"", "text"]))
    assert min(understood, refused, utterances) > ROUNDS // 50, "the rounds reach all three"


@pytest.mark.parametrize("protocol", ["online", "offline"])
def test_the_proxy_survives_them(protocol):
    rng = random.Random(SEED)

    async def swallow(client):
        with contextlib.suppress(ConnectionClosed):
            async for received in client:
                await client.send("Done!" if received == "Done" else "{}")

    async def disturb(proxy):
        async with connect(proxy.address, compression=None, close_timeout=1) as client:
            with contextlib.suppress(ConnectionClosed):
                for _ in range(rng.randrange(1, 8)):
                    await client.send(message(rng, 40))
                if rng.random() < 0.3:
                    client.transport.write(rng.randbytes(rng.randrange(1, 30)))  # frames that are none
            if rng.random() < 0.3:
                client.transport.abort()
        return client.close_code

    async def test():
        async with serve(swallow, "127.0.0.1", 0, compression=None) as upstream:
            address = f"ws://127.0.0.1:{upstream.sockets[0].getsockname()[1]}"
            settings = ProxySettings(
                upstream=address,
                port=0,
                protocol=protocol,
                enhancer=EnhancerConfig(strength=0),
                drain_seconds=0,
                idle_seconds=5,
            )
            async with Proxy(settings) as proxy:
                codes = [await disturb(proxy) for _ in range(max(20, ROUNDS // 100))]
                text = proxy._metrics.exposition()
        assert not {1011, 1013, 1014} & set(codes)
        assert 'gtcrn_proxy_errors_total{kind="internal"} 0.0' in text
        assert "gtcrn_proxy_connections 0.0" in text or 1006 in codes  # a cut one may still be ending

    asyncio.run(asyncio.wait_for(test(), 60 + ROUNDS / 10))
