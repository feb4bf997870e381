"""Random messages of all protocols: each is understood, passed on or refused, in an order that a session can follow.

Rounds are seeded and bounded. To run more: `GTCRN_FUZZ_ROUNDS=1000000 GTCRN_FUZZ_SEED=7 pytest tests/fuzz`.
"""

import base64
import json
import os
import random
import struct

import numpy as np
import pytest

from gtcrn_frontend.adapters.servers.protocols import PROTOCOLS
from gtcrn_frontend.adapters.servers.protocols import audiosocket as audiosocket_protocol
from gtcrn_frontend.adapters.servers.protocols.base import Audio, BadMessageError, Begin, End, Pass
from gtcrn_frontend.adapters.wyoming import framing as wyoming_protocol

ROUNDS = int(os.environ.get("GTCRN_FUZZ_ROUNDS", "500"))
SEED = int(os.environ.get("GTCRN_FUZZ_SEED", "0"))
CODES = (1003, 1007, 1009)
VALUES = (None, True, False, 0, 1, -1, 8000, 16_000, 4000, 1e99, "pcm", "float32", "int16", "x" * 500, [], {}, [[]], "")
KEYS = (
    "config",
    "sample_rate",
    "eof",
    "reset",
    "is_speaking",
    "audio_fs",
    "wav_format",
    "audio_format",
    "type",
    "session",
    "audio",
    "input",
    "format",
    "rate",
    "width",
    "channels",
    "timestamp",
    "data_length",
    "payload_length",
    "data",
)
TYPES = (
    "input_audio_buffer.append",
    "input_audio_buffer.commit",
    "session.update",
    "audio-chunk",
    "audio-stop",
    "info",
)


def value(rng, depth=0):
    if depth < 3 and rng.random() < 0.4:
        return {rng.choice(KEYS): value(rng, depth + 1) for _ in range(rng.randrange(4))}
    return rng.choice(VALUES)


def content(rng):
    made = {rng.choice(KEYS): value(rng) for _ in range(rng.randrange(5))}
    if rng.random() < 0.7:
        made["type"] = rng.choice(TYPES)
    if rng.random() < 0.3:
        made["audio"] = base64.b64encode(rng.randbytes(rng.randrange(20))).decode()
    return made


def message(rng):
    match rng.randrange(6):
        case 0:
            return rng.choice(["", "{", "[1]", "null", '"a"', "[" * 3000, "eof", b"END_OF_AUDIO", "\ud800"])
        case 1 | 2:
            return json.dumps(content(rng))
        case 3:
            return rng.choice(['{"config": {"sample_rate": 16000}}', '{"eof" : 1}', '{"is_speaking": false}', "{}"])
        case _:
            return rng.randbytes(rng.choice([0, 1, 2, 3, 4, 8, 100, 101]))


def tcp_messages(rng, kind):
    """Bytes of several messages, some of them damaged."""
    data = b""
    for _ in range(rng.randrange(1, 6)):
        if kind == "audiosocket":
            payload = rng.randbytes(rng.randrange(0, 9))
            data += struct.pack(">BH", rng.choice([0, 1, 0x10, 0x10, 0x12, 0x18, 0x19, 0xFF]), len(payload)) + payload
        else:
            line = content(rng)
            payload = rng.randbytes(rng.randrange(0, 30))
            if rng.random() < 0.8:
                line |= {"payload_length": len(payload), "data_length": None}
                line["data"] = {
                    "rate": rng.choice([8000, 16_000, 1]),
                    "width": rng.choice([1, 2, 3, 4, 5]),
                    "channels": 1,
                }
            data += json.dumps(line).encode() + b"\n" + payload
    return data


class Follower:
    """Handles events as a session does, with an enhancer that changes and delays nothing."""

    def __init__(self, framing):
        self.framing, self.is_open, self.samples = framing, False, 0

    def handle(self, events):
        for event in events:
            match event:
                case Begin():
                    assert not self.is_open
                    assert event.sample_rate is None or 8000 <= event.sample_rate <= 192_000
                    self.is_open = True
                case Audio():
                    assert self.is_open
                    assert event.samples.dtype == np.float32
                    self.framing.encode(event.samples, more=False)
                    self.samples += len(event.samples)
                case End():
                    assert self.is_open
                    self.framing.encode(np.empty(0, np.float32), more=False)
                    self.is_open = False
                case Pass():
                    pass
        assert self.framing.in_flight or not self.is_open


@pytest.mark.parametrize("protocol", [name for name in PROTOCOLS if name not in ("online", "offline")])
def test_websocket_messages_are_understood_or_refused(protocol):
    rng = random.Random(SEED)
    samples = refused = 0
    for _ in range(ROUNDS):
        follower = Follower(PROTOCOLS[protocol]())
        for _ in range(rng.randrange(1, 10)):
            try:
                follower.handle(follower.framing.receive(message(rng)))
            except BadMessageError as error:
                assert error.code in CODES
                refused += 1
                break
            follower.framing.answer(message(rng))
        samples += follower.samples
    assert samples > ROUNDS // 20
    assert refused or protocol == "openai", "whose server answers what is wrong"


@pytest.mark.parametrize("protocol", ["audiosocket", "wyoming"])
def test_bytes_are_understood_or_refused(protocol):
    rng = random.Random(SEED)
    module = audiosocket_protocol if protocol == "audiosocket" else wyoming_protocol
    samples = 0
    for _ in range(ROUNDS):
        framing = module.AudioSocketFraming() if protocol == "audiosocket" else module.WyomingFraming("behind a proxy")
        follower = Follower(framing)
        data = tcp_messages(rng, protocol)
        if rng.random() < 0.3:
            data = data[: rng.randrange(len(data) + 1)] + rng.randbytes(rng.randrange(4))
        try:
            end = 0
            while next_end := module.first_message(data, end, 1000):
                assert end < next_end <= len(data)
                end = next_end
            if end:
                follower.handle(framing.receive(data[:end]))
                framing.answer(data[:end])
            follower.handle(framing.hang_up())
        except BadMessageError as error:
            assert error.code in CODES
        samples += follower.samples
    assert samples > ROUNDS // 20
