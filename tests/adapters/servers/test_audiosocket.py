"""Calls through the AudioSocket proxy: a client that frames as Asterisk does, and an application that keeps it all.

Asterisk itself is not among the packages that tests install; both ends here are written from its sources
(res/res_audiosocket.c). At strength 0 the enhancer delays the samples and leaves them as they are.
"""

import asyncio
import contextlib
import struct
import subprocess
import sys
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gtcrn_frontend import Enhancer, EnhancerConfig, StreamPool
from gtcrn_frontend.adapters.servers import relay
from gtcrn_frontend.adapters.servers.audiosocket import AudioSocketProxy, AudioSocketSettings
from gtcrn_frontend.adapters.servers.protocols.audiosocket import RATES_HZ
from gtcrn_frontend.audio.resampler import resampled
from gtcrn_frontend.errors import ConfigError

DRY = EnhancerConfig(strength=0)
PATIENCE_S = 60
UUID = bytes(range(16))
HANG_UP, ID, DTMF, SLIN, SLIN16, ERROR = 0x00, 0x01, 0x03, 0x10, 0x12, 0xFF


def run(test):
    return asyncio.run(asyncio.wait_for(test, PATIENCE_S))


def pcm(count, seed=0):
    return (np.random.default_rng(seed).normal(0, 0.1, count).clip(-1, 1) * 32767).astype("<i2")


def message(kind, payload=b""):
    return struct.pack(">BH", kind, len(payload)) + payload


async def read(reader):
    """Kind and payload of the next message; None at the end."""
    try:
        kind, length = struct.unpack(">BH", await reader.readexactly(3))
        return kind, await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


async def read_all(reader):
    messages = []
    while (one := await read(reader)) is not None:
        messages.append(one)
    return messages


def audio_of(messages, kinds=tuple(RATES_HZ)):
    return np.frombuffer(b"".join(payload for kind, payload in messages if kind in kinds), "<i2")


@dataclass
class Application:
    """Keeps what comes on each connection until a hang-up; then it closes, as applications do."""

    says: bytes = b""  # at the beginning of each call
    calls: list = field(default_factory=list)

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1000)
        self.uri = "tcp://{}:{}".format(*self.server.sockets[0].getsockname())
        return self

    async def __aexit__(self, *error):
        self.server.close()

    async def _serve(self, reader, writer):
        messages = []
        self.calls.append(messages)
        writer.write(self.says)
        while (one := await read(reader)) is not None:
            messages.append(one)
            if one[0] == HANG_UP:
                break
        writer.close()


@contextlib.asynccontextmanager
async def behind(application, **settings):
    settings = {"port": 0, "enhancer": DRY, "drain_seconds": 0, **settings}
    async with AudioSocketProxy(AudioSocketSettings(upstream=application.uri, **settings)) as proxy:
        yield proxy


async def dial(proxy):
    host, port = proxy.address.removeprefix("tcp://").split(":")
    return await asyncio.open_connection(host, int(port))


async def call(proxy, messages, *, hang_up=True):
    """Sends messages, and a hang-up; returns what comes back until the end."""
    reader, writer = await dial(proxy)
    reading = asyncio.create_task(read_all(reader))
    for one in [message(ID, UUID), *messages, *([message(HANG_UP)] if hang_up else [])]:
        writer.write(one)
        await writer.drain()
    if not hang_up:
        writer.write_eof()
    answers = await reading
    writer.close()
    return answers


def cut(samples, size):
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def frames(kind, samples, size):
    return [message(kind, piece.tobytes()) for piece in cut(samples, size)]


@pytest.mark.parametrize("chunk_ms", [10, 20, 30, 50])
@pytest.mark.parametrize("kind", RATES_HZ)
def test_no_sample_is_lost_at_any_rate_and_messages_keep_their_length(kind, chunk_ms):
    rate = RATES_HZ[kind]
    size = rate * chunk_ms // 1000
    samples = pcm(min(rate // 2, 30_000) + 7)

    async def test():
        async with Application() as application, behind(application) as proxy:
            assert await call(proxy, frames(kind, samples, size)) == []
        return application.calls

    (messages,) = run(test())
    assert messages[0] == (ID, UUID)
    assert messages[-1] == (HANG_UP, b"")
    assert np.array_equal(audio_of(messages, (kind,)), samples)
    assert [len(payload) for _, payload in messages[1:-1]] == [2 * len(piece) for piece in cut(samples, size)]


@pytest.mark.parametrize("kind", [0x10, 0x12, 0x16])
def test_the_delay_is_that_of_the_enhancer_and_less_than_a_message(kind):
    rate = RATES_HZ[kind]
    size = rate // 50

    async def test():
        async with Application() as application, behind(application) as proxy:
            _, writer = await dial(proxy)
            writer.write(message(ID, UUID))
            lag = Enhancer(sample_rate=rate).lag_samples
            for sent, piece in enumerate(cut(pcm(rate), size), start=1):
                writer.write(message(kind, piece.tobytes()))
                due = max(0, sent * size - lag) // size
                while not application.calls or len(application.calls[0]) < 1 + due:
                    await asyncio.sleep(0.001)
            writer.close()

    run(test())


def test_the_caller_is_enhanced_and_the_application_is_not():
    samples, answer = pcm(16_000), pcm(16_000, seed=1)
    says = b"".join([message(ERROR, b"\x04"), *frames(SLIN16, answer, 320)])

    async def test():
        async with Application(says) as application, behind(application, enhancer=EnhancerConfig()) as proxy:
            answers = await call(proxy, frames(SLIN16, samples, 320))
            return answers, application.calls[0]

    answers, messages = run(test())
    assert answers[0] == (ERROR, b"\x04")
    assert np.array_equal(audio_of(answers), answer)
    assert np.abs(audio_of(messages).astype(int) - Enhancer().enhance(samples)).max() <= 1


def test_other_messages_pass_in_both_directions_and_a_change_of_rate_loses_nothing():
    narrow, wide = pcm(4001), pcm(8003, seed=1)
    sent = [
        *frames(SLIN, narrow, 160),
        message(DTMF, b"5"),
        message(0x42, b"of a later version"),
        message(SLIN),  # no audio in it
        *frames(SLIN16, wide, 320),
        message(ERROR, b"\x01"),
    ]

    async def test():
        says = message(DTMF, b"#") + message(HANG_UP)
        async with Application(says) as application, behind(application) as proxy:
            answers = await call(proxy, sent)
            return answers, application.calls[0]

    answers, messages = run(test())
    assert answers == [(DTMF, b"#"), (HANG_UP, b"")]
    others = [(kind, payload) for kind, payload in messages if not payload or kind not in (SLIN, SLIN16)]
    assert others == [
        (ID, UUID),
        (DTMF, b"5"),
        (0x42, b"of a later version"),
        (SLIN, b""),
        (ERROR, b"\x01"),
        (HANG_UP, b""),
    ]
    assert np.array_equal(audio_of(messages, (SLIN,)), narrow)
    assert np.array_equal(audio_of(messages, (SLIN16,)), wide)
    kinds = [kind for kind, payload in messages if payload and kind in (SLIN, SLIN16)]
    assert kinds == sorted(kinds), "all of the first rate before the second"


@pytest.mark.parametrize("odd", [1, 3, 319])
def test_samples_split_between_messages_are_put_together(odd):
    samples = pcm(2000)
    data = samples.tobytes()
    pieces = [data[:odd], data[odd : odd + 320], data[odd + 320 :]]

    async def test():
        async with Application() as application, behind(application) as proxy:
            await call(proxy, [message(SLIN, piece) for piece in pieces])
            return application.calls[0]

    assert np.array_equal(audio_of(run(test())), samples)


def test_a_connection_that_ends_without_hang_up_delivers_the_rest():
    samples = pcm(5000)

    async def test():
        async with Application() as application, behind(application) as proxy:
            await call(proxy, frames(SLIN, samples, 160), hang_up=False)
            while not application.calls or len(audio_of(application.calls[0])) < len(samples):
                await asyncio.sleep(0.001)
            return application.calls[0]

    messages = run(test())
    assert np.array_equal(audio_of(messages), samples)
    assert HANG_UP not in [kind for kind, _ in messages], "the proxy adds none"


def test_a_call_gets_a_hang_up_if_there_is_no_application():
    async def test():
        async with Application() as application:
            pass
        async with behind(application) as proxy:
            return await call(proxy, [], hang_up=False)

    assert run(test()) == [(HANG_UP, b"")]


def test_a_message_that_is_too_long_ends_the_call():
    async def test():
        async with Application() as application, behind(application, max_message_bytes=1000) as proxy:
            return await call(proxy, [message(SLIN, bytes(998))], hang_up=False)

    assert run(test()) == [(HANG_UP, b"")]


def test_one_call_too_many_is_hung_up_and_the_others_go_on():
    samples = pcm(3000)

    async def test():
        async with Application() as application, behind(application, max_connections=1) as proxy:
            reader, writer = await dial(proxy)
            writer.write(message(ID, UUID))
            while not application.calls:
                await asyncio.sleep(0.001)
            assert await call(proxy, [], hang_up=False) == [(HANG_UP, b"")]
            writer.write(b"".join(frames(SLIN, samples, 160)) + message(HANG_UP))
            assert await read(reader) is None
            return application.calls

    (messages,) = run(test())
    assert np.array_equal(audio_of(messages), samples)


def test_calls_that_are_turned_away_hold_few_sockets(monkeypatch):
    """A flood of connections that are one too many and do not close."""
    monkeypatch.setattr(relay, "MAX_FAREWELLS", 3)

    async def test():
        async with Application() as application, behind(application, max_connections=1) as proxy:
            first, first_writer = await dial(proxy)
            while not application.calls:
                await asyncio.sleep(0.001)
            others = [await dial(proxy) for _ in range(20)]
            answers = [await read_all(reader) for reader, _ in others]
            first_writer.write(message(HANG_UP))
            assert await read(first) is None
            return answers

    answers = run(test())
    assert answers.count([(HANG_UP, b"")]) == 3
    assert answers.count([]) == 17


@pytest.mark.parametrize("after", [0, 3000])
def test_a_call_goes_on_where_the_engine_fails(monkeypatch, after):
    samples = pcm(8000)
    settings = {"sample_rate": 8000}
    reference = Enhancer(**settings)
    before = reference.process_chunk(samples[:after])

    def fail(*arguments):
        raise RuntimeError("out of memory")

    async def test():
        async with Application() as application, behind(application, enhancer=EnhancerConfig()) as proxy:
            reader, writer = await dial(proxy)
            writer.write(message(ID, UUID) + b"".join(frames(SLIN, samples[:after], 160)))
            while not application.calls or len(audio_of(application.calls[0])) < len(before) // 160 * 160:
                await asyncio.sleep(0.001)
            monkeypatch.setattr(StreamPool, "process", fail)
            writer.write(b"".join(frames(SLIN, samples[after:], 160)) + message(HANG_UP))
            assert await read(reader) is None
            return audio_of(application.calls[0])

    audio = run(test()).astype(int)
    assert np.abs(audio[: len(before)] - before).max(initial=0) <= 1
    assert np.array_equal(audio[len(before) :], samples[len(before) :])


def test_200_calls_at_a_time_lose_no_sample():
    """Half a second each, sent as fast as the proxy takes it; `benchmarks/audiosocket.py` does it in real time."""
    calls = 200

    async def test():
        async with Application() as application, behind(application, max_connections=calls) as proxy:
            samples = {number: pcm(4000, seed=number) for number in range(calls)}
            pieces = {
                number: [message(0x42, number.to_bytes(2, "big")), *frames(SLIN, samples[number], 160)]
                for number in samples
            }
            await asyncio.gather(*(call(proxy, pieces[number]) for number in samples))
            assert len(application.calls) == calls
            for messages in application.calls:
                number = next(int.from_bytes(payload, "big") for kind, payload in messages if kind == 0x42)
                assert np.array_equal(audio_of(messages), samples[number])
                del samples[number]
            assert not samples

    run(test())


def test_metrics_and_readiness_are_on_the_admin_port():
    def get(url):
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as response:
            return response.read().decode()

    async def test():
        async with Application() as application, behind(application, admin_port=0) as proxy:
            await call(proxy, frames(SLIN, pcm(8000), 160))
            assert await asyncio.to_thread(get, f"{proxy.admin_address}/readyz") == "ok\n"
            return await asyncio.to_thread(get, f"{proxy.admin_address}/metrics")

    values = dict(line.rsplit(" ", 1) for line in run(test()).splitlines() if not line.startswith("#"))
    assert float(values["gtcrn_proxy_audio_seconds_total"]) == pytest.approx(1)
    assert float(values["gtcrn_proxy_streams_total"]) == 1


def test_shutting_down_waits_for_calls_and_then_hangs_up():
    async def test():
        async with Application() as application:
            async with behind(application, drain_seconds=0.2) as proxy:
                reader, writer = await dial(proxy)
                writer.write(message(ID, UUID) + b"".join(frames(SLIN, pcm(1600), 160)))
                while not application.calls:
                    await asyncio.sleep(0.001)
            assert await read(reader) == (HANG_UP, b"")
            writer.close()

    run(test())


@pytest.mark.parametrize("upstream", ["", "ws://127.0.0.1:1", "tcp://127.0.0.1", "tcp://a:1/path", "127.0.0.1:9093"])
def test_other_upstreams_are_refused(upstream):
    with pytest.raises(ConfigError, match="upstream: expected an address such as tcp://"):
        AudioSocketProxy(AudioSocketSettings(upstream=upstream))


def test_rates_are_those_of_the_messages():
    with pytest.raises(ConfigError, match="messages name the rate"):
        AudioSocketSettings(upstream="tcp://127.0.0.1:1", enhancer=EnhancerConfig(sample_rate=8000))


def test_the_example_records_what_the_application_hears(audio_folder, tmp_path):
    example = Path(__file__).parents[3] / "examples" / "audiosocket_call.py"
    output = tmp_path / "heard.wav"
    command = [sys.executable, str(example), str(audio_folder / "speech_a.flac"), str(output), "--strength", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert "s of 8 kHz" in done.stdout
    heard, rate = soundfile.read(output, dtype="float32")
    samples, source_rate = soundfile.read(audio_folder / "speech_a.flac", dtype="float32")
    assert rate == 8000
    np.testing.assert_allclose(heard, resampled(samples, source_rate, 8000), atol=1e-4)
