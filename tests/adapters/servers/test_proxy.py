"""The proxy between real clients and an upstream that keeps what it gets: nothing lost, limits, faults, draining.

At strength 0 the enhancer delays the samples and leaves them as they are, so that they can be compared bit by bit.
"""

import asyncio
import contextlib
import json
import ssl
import struct
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass, field

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gtcrn_frontend import Enhancer, StreamPool
from gtcrn_frontend.adapters.servers import Proxy, ProxySettings
from gtcrn_frontend.adapters.servers.batching import BatchedPool
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.errors import ConfigError

DRY = EnhancerConfig(strength=0)
PATIENCE_S = 30
NORMAL, GOING_AWAY, UNSUPPORTED, INVALID, POLICY, TOO_BIG, INTERNAL, TRY_LATER, BAD_GATEWAY = (
    1000, 1001, 1003, 1007, 1008, 1009, 1011, 1013, 1014,
)  # fmt: skip


def run(test):
    """Runs a coroutine; a hang is a failure."""
    return asyncio.run(asyncio.wait_for(test, 2 * PATIENCE_S))


def noise(count, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, count).astype("<f4")


@dataclass
class Received:
    """One connection, as the upstream has seen it."""

    connection: object
    messages: list = field(default_factory=list)
    samples: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def audio(self):
        return np.frombuffer(b"".join(m for m in self.messages if isinstance(m, bytes)), "<f4")


class Upstream:
    """A server that keeps all messages; it answers audio with the number of samples, and `Done` with `Done!`."""

    def __init__(self, on_message=None, ssl_context=None, port=0):
        self.received = []
        self.arrived = asyncio.Event()  # of the next connection
        self.gate = asyncio.Event()  # it reads nothing while this is not set
        self.gate.set()
        self._on_message = on_message or self._answer
        self._ssl, self._port = ssl_context, port

    async def __aenter__(self):
        options = {"compression": None, "ping_interval": None, "max_size": None, "max_queue": 1, "close_timeout": 1}
        self.server = await serve(self._keep, "127.0.0.1", self._port, ssl=self._ssl, **options)
        self.port = self.server.sockets[0].getsockname()[1]
        self.address = f"{'wss' if self._ssl else 'ws'}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *error):
        self.server.close()
        await self.server.wait_closed()

    async def _keep(self, connection):
        received = Received(connection)
        self.received.append(received)
        self.arrived.set()
        try:
            while True:
                await self.gate.wait()
                message = await connection.recv()
                received.messages.append(message)
                received.samples += len(message) // 4 if isinstance(message, bytes) else 0
                await self._on_message(received, message)
        except ConnectionClosed:
            received.closed.set()

    async def _answer(self, received, message):
        if message == "Done":
            await received.connection.send("Done!")
        else:
            await received.connection.send(json.dumps({"samples": received.samples}))


@contextlib.asynccontextmanager
async def behind(upstream, **settings):
    """A proxy in front of an upstream, on a free port."""
    settings = {"port": 0, "enhancer": DRY, "drain_seconds": 0, **settings}
    async with Proxy(ProxySettings(upstream=upstream.address, **settings)) as proxy:
        yield proxy


def connected(proxy, path="", **options):
    return connect(
        proxy.address + path, compression=None, ping_interval=None, max_size=None, close_timeout=1, **options
    )


async def answers_until_done(client):
    answers = []
    async for message in client:
        if message == "Done!":
            return answers
        answers.append(json.loads(message)["samples"])
    raise AssertionError("closed before Done!")


async def say(client, samples, sizes):
    """Sends samples in messages of these sizes, in turn, then Done; returns the answers."""
    reading = asyncio.create_task(answers_until_done(client))
    start, turn = 0, 0
    while start < len(samples):
        end = start + sizes[turn % len(sizes)]
        await client.send(samples[start:end].tobytes())
        start, turn = end, turn + 1
    await client.send("Done")
    return await reading


async def close_of(client):
    """Code and reason with which the connection is closed; messages before that are read."""
    try:
        while True:
            await client.recv()
    except ConnectionClosed as closed:
        return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")


async def get(proxy, path):
    """Status and body of a plain HTTP request."""

    def fetch():
        try:
            with urllib.request.urlopen(proxy.address.replace("ws", "http", 1) + path, timeout=PATIENCE_S) as response:
                return response.status, response.read().decode(), response.headers["Content-Type"]
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), error.headers["Content-Type"]

    return await asyncio.to_thread(fetch)


async def metrics(proxy):
    _, text, _ = await get(proxy, "/metrics")
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")}


async def errors_are(proxy, expected):
    """Waits until these are counted, and no others: a client may see an end before the proxy does."""
    while True:
        counted = {name: value for name, value in (await metrics(proxy)).items() if "errors_total" in name and value}
        if counted == {f'gtcrn_proxy_errors_total{{kind="{kind}"}}': value for kind, value in expected.items()}:
            return
        await asyncio.sleep(0.01)


# Samples


@pytest.mark.parametrize("sizes", [[1, 2, 3, 5, 8], [160], [256], [1600], [511, 1, 7000, 0, 300], [40_000]])
def test_every_sample_arrives_whatever_the_messages(sizes):
    async def test():
        samples = noise(40_000 if sum(sizes) > 100 else 2_000)
        async with Upstream() as upstream, behind(upstream) as proxy, connected(proxy) as client:
            answers = await say(client, samples, sizes)
        (received,) = upstream.received
        assert np.array_equal(received.audio, samples)
        assert received.messages[-1] == "Done"
        assert answers == sorted(answers), "in order"
        assert answers[-1] == len(samples)

    run(test())


def test_samples_are_enhanced_and_answers_come_while_streaming():
    async def test():
        samples = noise(16_000)
        default = EnhancerConfig()
        async with Upstream() as upstream, behind(upstream, enhancer=default) as proxy, connected(proxy) as client:
            await client.send(samples[:8000].tobytes())
            early = json.loads(await client.recv())["samples"]
            assert 8000 - Enhancer().lag_samples <= early <= 8000
            await say(client, samples[8000:], [1600])
        expected = Enhancer().enhance(samples)
        assert len(upstream.received[0].audio) == len(samples)
        assert np.abs(upstream.received[0].audio - expected).max() < 1e-6

    run(test())


def test_a_client_may_have_another_rate():
    async def test():
        enhancer = EnhancerConfig(sample_rate=48_000, strength=0.5)
        samples = noise(48_000)
        async with Upstream() as upstream, behind(upstream, enhancer=enhancer) as proxy, connected(proxy) as client:
            await say(client, samples, [4800])
        expected = Enhancer(sample_rate=48_000, output_sample_rate=16_000, strength=0.5).enhance(samples)
        assert len(expected) == 16_000
        assert np.abs(upstream.received[0].audio - expected).max() < 1e-6

    run(test())


def test_each_utterance_on_a_connection_begins_anew():
    async def test():
        samples = noise(5000)
        default = EnhancerConfig()
        async with Upstream() as upstream, behind(upstream, enhancer=default) as proxy, connected(proxy) as client:
            await say(client, samples, [700])
            await say(client, samples, [700])
        first, second = np.split(upstream.received[0].audio, 2)
        assert np.array_equal(first, second)

    run(test())


def test_offline_utterances_keep_their_header_rate_and_length():
    async def answer(received, message):
        if message == "Done":
            await received.connection.close(NORMAL, "Done")
        elif len(b"".join(received.messages)) in ends:
            await received.connection.send(f"text {ends.index(len(b''.join(received.messages)))}")

    utterances = [
        struct.pack("<ii", rate, 4 * count) + noise(count, rate).tobytes()
        for rate, count in [(16_000, 20_000), (8_000, 1), (44_100, 9_999), (16_000, 300)]
    ]
    ends = np.cumsum([len(utterance) for utterance in utterances]).tolist()

    async def test():
        offline = {"protocol": "offline"}
        async with Upstream(answer) as upstream, behind(upstream, **offline) as proxy, connected(proxy) as client:
            for number, utterance in enumerate(utterances):
                await client.send(utterance[: 8 + number])
                for start in range(8 + number, len(utterance), 10_239):
                    await client.send(utterance[start : start + 10_239])
                assert await client.recv() == f"text {number}"
            await client.send("Done")
            assert await close_of(client) == (NORMAL, "Done")
        *messages, last = upstream.received[0].messages
        assert b"".join(messages) == b"".join(utterances)
        assert last == "Done"

    run(test())


def test_many_clients_do_not_disturb_each_other():
    async def test():
        async with Upstream() as upstream, behind(upstream) as proxy, contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(connected(proxy)) for _ in range(30)]
            speech = [noise(3000 + 371 * number, number) for number in range(30)]
            answers = await asyncio.gather(
                *(
                    say(client, samples, [97 + number, 800])
                    for number, (client, samples) in enumerate(zip(clients, speech, strict=True))
                )
            )
            counted = await metrics(proxy)
        by_length = {len(received.audio): received.audio for received in upstream.received}
        for samples, answer in zip(speech, answers, strict=True):
            assert np.array_equal(by_length[len(samples)], samples)
            assert answer[-1] == len(samples)
        assert counted["gtcrn_proxy_streams_total"] == 30
        assert counted["gtcrn_proxy_audio_seconds_total"] == pytest.approx(sum(map(len, speech)) / 16_000)
        assert counted["gtcrn_proxy_latency_seconds_count"] > 30

    run(test())


def test_a_client_may_ask_for_its_own_strength():
    async def test():
        samples = noise(5000)
        async with Upstream() as upstream, behind(upstream, enhancer=EnhancerConfig(max_attenuation_db=20)) as proxy:
            for path in ("", "/?strength=0", "/any?token=x&strength=0.5", "/?strength=auto"):
                async with connected(proxy, path) as client:
                    await say(client, samples, [1000])
            for path in ("/?strength=2", "/?strength=much", "/?strenght=0.5"):
                with pytest.raises(InvalidStatus) as refused:
                    await connected(proxy, path)
                assert refused.value.response.status_code == 400
                assert b"from 0 to 1" in refused.value.response.body or b"did you mean" in refused.value.response.body
        asked = [
            Enhancer(max_attenuation_db=20),
            Enhancer(strength=0),
            Enhancer(strength=0.5),
            Enhancer(strength="auto"),
        ]
        for received, enhancer in zip(upstream.received, asked, strict=True):
            assert np.abs(received.audio - enhancer.enhance(samples)).max() < 1e-6

    run(test())


# Limits


MALFORMED = {
    "text": ("online", ["hello"], UNSUPPORTED, "got 'hello'"),
    "half a sample": ("online", [b"\0" * 7], INVALID, "got 7 bytes"),
    "NaN": ("online", [noise(100).tobytes(), np.full(3, np.nan, "<f4").tobytes()], INVALID, "nan at index 0"),
    "infinity": ("online", [np.array([0, np.inf], "<f4").tobytes()], INVALID, "inf at index 1"),
    "int16 as float": ("online", [np.full(3, 3000, "<f4").tobytes()], INVALID, "divide by 32768"),
    "no header": ("offline", [b"\0\0"], INVALID, "got 2 bytes"),
    "NaN offline": ("offline", [struct.pack("<iif", 16_000, 4, np.nan)], INVALID, "nan at index 0"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_messages_get_a_reason_and_disturb_nobody(name):
    protocol, messages, code, part = MALFORMED[name]

    async def test():
        samples = noise(3000)
        header = struct.pack("<ii", 16_000, samples.nbytes) if protocol == "offline" else b""
        good = header + samples.tobytes()
        async with Upstream() as upstream, behind(upstream, protocol=protocol) as proxy, connected(proxy) as other:
            await other.send(good[:800])
            async with connected(proxy) as client:
                for message in messages:
                    await client.send(message)
                closed_with, reason = await close_of(client)
            assert closed_with == code
            assert part in reason
            await other.send(good[800:])
            if protocol == "online":
                await other.send("Done")
            while upstream.received[0].samples < len(good) // 4:
                await other.recv()
            assert upstream.received[0].audio.tobytes() == good
            await errors_are(proxy, {"bad_message": 1})

    run(test())


def test_too_large_messages_are_refused():
    async def test():
        async with Upstream() as upstream, behind(upstream, max_message_bytes=4000) as proxy:
            async with connected(proxy) as client:
                await client.send(noise(1000).tobytes())
                await client.send(noise(1001).tobytes())
                assert (await close_of(client))[0] == TOO_BIG
            await errors_are(proxy, {"too_big": 1})

    run(test())


def test_no_more_clients_than_allowed():
    async def test():
        limit = {"max_connections": 2}
        async with (
            Upstream() as upstream,
            behind(upstream, **limit) as proxy,
            connected(proxy) as one,
            connected(proxy),
        ):
            async with connected(proxy) as third:
                code, reason = await close_of(third)
            assert code == TRY_LATER
            assert "at most 2 connections" in reason
            await errors_are(proxy, {"too_many": 1})
            await one.close()
            while (await metrics(proxy))["gtcrn_proxy_connections"] == 2:
                await asyncio.sleep(0.01)
            async with connected(proxy) as fourth:
                await say(fourth, noise(1000), [1000])

    run(test())


def test_an_idle_client_is_closed():
    async def test():
        async with Upstream() as upstream, behind(upstream, idle_seconds=0.2) as proxy, connected(proxy) as client:
            await client.send(noise(1000).tobytes())
            assert await close_of(client) == (POLICY, "no traffic for 0.2 s")
            await upstream.received[0].closed.wait()
            await errors_are(proxy, {"idle": 1})

    run(test())


def test_a_slow_upstream_slows_its_client_and_nothing_is_lost():
    async def test():
        samples = noise(1 << 18)
        messages = 40  # of 1 MiB: far more than the buffers of the system's sockets hold
        sent = 0

        async def speak():
            nonlocal sent
            for _ in range(messages):
                await client.send(samples.tobytes())
                sent += 1
            await client.send("Done")

        async with Upstream() as upstream, behind(upstream) as proxy, connected(proxy) as client:
            upstream.gate.clear()
            speaking = asyncio.create_task(speak())
            before = -1
            while sent > before:  # until it stands still
                before = sent
                await asyncio.sleep(0.5)
            assert sent < messages
            upstream.gate.set()
            await answers_until_done(client)
            await speaking
        assert upstream.received[0].samples == messages * len(samples)

    run(test())


def test_an_upstream_that_takes_nothing_is_given_up():
    async def test():
        async with Upstream() as upstream, behind(upstream, idle_seconds=0.5) as proxy, connected(proxy) as client:
            upstream.gate.clear()
            closing = asyncio.create_task(close_of(client))
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await client.send(noise(1 << 18).tobytes())
            assert await closing == (TRY_LATER, "the recogniser behind the proxy has taken no audio for 0.5 s")
            await errors_are(proxy, {"stalled": 1})
            upstream.gate.set()

    run(test())


def test_a_client_that_takes_no_results_is_given_up():
    async def flood(received, message):
        while True:
            await received.connection.send("x" * (1 << 19))

    async def test():
        limit = {"idle_seconds": 0.5}
        async with (
            Upstream(flood) as upstream,
            behind(upstream, **limit) as proxy,
            connected(proxy, max_queue=1) as client,
        ):
            await client.send(noise(1000).tobytes())
            await upstream.arrived.wait()
            await upstream.received[0].closed.wait()
            await errors_are(proxy, {"stalled": 1})
            await client.close()

    run(test())


# Faults


def test_an_upstream_that_is_not_there_or_comes_back():
    async def test():
        async with Upstream() as upstream:
            pass
        async with behind(upstream) as proxy:
            async with connected(proxy) as client:
                assert await close_of(client) == (TRY_LATER, "the recogniser behind the proxy is not reachable")
            await errors_are(proxy, {"upstream_refused": 1})
            async with Upstream(port=upstream.port), connected(proxy) as client:
                assert (await say(client, noise(1000), [300]))[-1] == 1000

    run(test())


def test_an_upstream_that_does_not_answer_the_handshake():
    async def test():
        silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        async with silent:
            silent.address = f"ws://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
            async with behind(silent, connect_seconds=0.2) as proxy, connected(proxy) as client:
                assert (await close_of(client))[0] == TRY_LATER
            silent.close()

    run(test())


def test_a_lost_upstream_ends_its_client_and_no_other():
    async def test():
        samples = noise(20_000)
        async with Upstream() as upstream, behind(upstream) as proxy, connected(proxy) as other:
            await other.send(samples[:5000].tobytes())
            await other.recv()
            async with connected(proxy) as client:
                await client.send(samples.tobytes())
                await client.recv()
                upstream.received[1].connection.transport.abort()
                code, reason = await close_of(client)
            assert code == BAD_GATEWAY
            assert "was lost" in reason
            await errors_are(proxy, {"upstream_lost": 1})
            assert (await say(other, samples[5000:], [1600]))[-1] == 20_000

    run(test())


def test_the_last_words_of_an_upstream_are_passed_on():
    async def refuse(received, message):
        await received.connection.send("one")
        await received.connection.send("two")
        await received.connection.close(TOO_BIG, "Payload is too large!")

    async def test():
        async with Upstream(refuse) as upstream, behind(upstream) as proxy, connected(proxy) as client:
            await client.send(noise(1000).tobytes())
            for _ in range(50):
                with contextlib.suppress(ConnectionClosed):
                    await client.send(noise(1000).tobytes())
            assert [await client.recv(), await client.recv()] == ["one", "two"]
            assert await close_of(client) == (TOO_BIG, "Payload is too large!")
            await errors_are(proxy, {"upstream_failed": 1})

    run(test())


def test_clients_that_are_cut_leave_nothing_behind():
    async def test():
        async with Upstream() as upstream, behind(upstream) as proxy, connected(proxy) as other:
            await other.send(noise(1000).tobytes())
            await other.recv()
            for number in range(1, 6):
                client = await connected(proxy)
                await client.send(noise(5000).tobytes())
                await client.recv()
                client.transport.abort()
                await upstream.received[number].closed.wait()
            while (await metrics(proxy))["gtcrn_proxy_connections"] > 1:
                await asyncio.sleep(0.01)
            await errors_are(proxy, {"client_lost": 5})
            assert len(proxy._service.pool) == 1
            assert (await say(other, noise(1000), [1000]))[-1] == 2000

    run(test())


def test_bytes_that_are_no_websocket():
    async def test():
        async with Upstream() as upstream, behind(upstream) as proxy:
            port = int(proxy.address.rsplit(":", 1)[1])
            for garbage in (
                b"\x16\x03\x01\x02\x00" * 20,
                b"GET / HTTP/1.1\r\n\r\n",
                b"POST / HTTP/1.1\r\n" + b"x" * 9000,
            ):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(garbage)
                writer.write_eof()
                with contextlib.suppress(ConnectionError):
                    await reader.read()
                writer.close()
            async with connected(proxy) as client:  # a frame with bits that nobody has agreed on
                client.transport.write(b"\xff\xff" * 50)
                assert (await close_of(client))[0] in (1002, 1006)
            assert (await get(proxy, "/healthz"))[:2] == (200, "ok\n")
            await errors_are(proxy, {"bad_message": 1})

    run(test())


def fail(*arguments):
    raise RuntimeError("out of memory")


@pytest.mark.parametrize("after", [0, 300, 5000])
@pytest.mark.parametrize("rates", [(16_000, 16_000), (8000, 16_000), (48_000, 16_000)])
def test_where_the_engine_fails_the_rest_of_the_utterance_passes_unfiltered(monkeypatch, rates, after):
    samples = noise(10_000)
    enhancer = EnhancerConfig(sample_rate=rates[0], output_sample_rate=rates[1])
    settings = {"sample_rate": rates[0], "output_sample_rate": rates[1]}
    reference = Enhancer(**settings)
    before, dry = reference.process_chunk(samples[:after]), Enhancer(**settings, strength=0).enhance(samples)

    async def test():
        async with Upstream() as upstream, behind(upstream, enhancer=enhancer) as proxy, connected(proxy) as client:
            if after:
                await client.send(samples[:after].tobytes())
                while len(before) and json.loads(await client.recv())["samples"] < len(before):
                    pass  # a long message is enhanced in pieces
            with monkeypatch.context() as patch:
                patch.setattr(StreamPool, "process", fail)
                await say(client, samples[after:], [300, 1, 2000])
            await say(client, samples, [1000])  # the next one is enhanced again
            assert (await metrics(proxy))["gtcrn_proxy_streams_passed_total"] == 1
            await errors_are(proxy, {})
        audio = upstream.received[0].audio
        first, second = audio[: len(dry)], audio[len(dry) :]
        np.testing.assert_allclose(first[: len(before)], before, atol=1e-6)
        np.testing.assert_allclose(first[len(before) :], dry[len(before) :], atol=1e-6)
        np.testing.assert_allclose(second, Enhancer(**settings).enhance(samples), atol=1e-5)

    run(test())


def test_a_failing_engine_ends_its_clients_if_told_to_and_the_proxy_serves_on(monkeypatch):
    async def test():
        async with Upstream() as upstream, behind(upstream, on_error="raise") as proxy:
            with monkeypatch.context() as patch:
                patch.setattr(StreamPool, "process", fail)
                async with connected(proxy) as client:
                    await client.send(noise(1000).tobytes())
                    assert await close_of(client) == (INTERNAL, "internal error of the proxy")
            await errors_are(proxy, {"internal": 1})
            async with connected(proxy) as client:
                assert (await say(client, noise(1000), [300]))[-1] == 1000

    run(test())


def test_the_pool_has_the_segment_latency_of_the_settings():
    with pytest.raises(ConfigError, match="segment_latency_ms: expected none, as gtcrn runs frame by frame"):
        BatchedPool(EnhancerConfig(segment_latency_ms=500), lambda seconds: None)


def test_what_comes_during_a_call_goes_into_the_next_one_together(monkeypatch):
    calls, entered, go_on = [], threading.Event(), threading.Event()
    process = StreamPool.process

    def slow(pool, chunks):
        calls.append(set(chunks))
        entered.set()
        assert go_on.wait(PATIENCE_S)
        return process(pool, chunks)

    async def test():
        monkeypatch.setattr(StreamPool, "process", slow)
        pool = BatchedPool(DRY, lambda seconds: None)
        serving = asyncio.create_task(pool.run())
        streams = [pool.open(DRY) for _ in range(5)]
        first = asyncio.create_task(pool.process(streams[0], noise(600), last=True))
        await asyncio.to_thread(entered.wait, PATIENCE_S)
        others = [asyncio.create_task(pool.process(stream, noise(600, stream), last=True)) for stream in streams[1:4]]
        await asyncio.sleep(0)
        first.cancel()  # its client has gone while its chunk is on its way
        pool.close(streams[0])
        others[2].cancel()  # and this one's has not begun its way
        pool.close(streams[3])
        go_on.set()
        for stream, samples in zip(streams[1:3], await asyncio.gather(*others[:2]), strict=True):
            assert np.array_equal(samples, noise(600, stream))
        assert calls == [{streams[0]}, set(streams[1:3])]
        assert len(pool) == 3
        serving.cancel()

    run(test())


# Operation


def test_health_and_metrics():
    async def test():
        async with Upstream() as upstream, behind(upstream, enhancer=EnhancerConfig()) as proxy:
            assert (await get(proxy, "/healthz"))[:2] == (200, "ok\n")
            async with connected(proxy) as client:
                await say(client, noise(16_000), [1600])
                status, text, content_type = await get(proxy, "/metrics")
                counted = await metrics(proxy)
        assert (status, content_type.split(";")[0]) == (200, "text/plain")
        assert "# TYPE gtcrn_proxy_latency_seconds histogram" in text
        assert counted["gtcrn_proxy_connections"] == 1
        assert counted["gtcrn_proxy_streams_total"] == 1
        assert counted["gtcrn_proxy_audio_seconds_total"] == pytest.approx(1.0)
        assert counted["gtcrn_proxy_compute_seconds_total"] > 0
        assert counted["gtcrn_proxy_rtf"] == pytest.approx(counted["gtcrn_proxy_compute_seconds_total"])
        assert counted["gtcrn_proxy_latency_seconds_count"] == 11
        assert counted['gtcrn_proxy_errors_total{kind="idle"}'] == 0

    run(test())


def test_draining_lets_speech_end_and_nobody_in():
    async def test():
        samples = noise(10_000)
        limit = {"drain_seconds": PATIENCE_S}
        async with Upstream() as upstream, behind(upstream, **limit) as proxy, contextlib.AsyncExitStack() as stack:
            client, waiting = [await stack.enter_async_context(connected(proxy)) for _ in range(2)]
            await client.send(samples[:5000].tobytes())
            await client.recv()
            closing = asyncio.create_task(proxy.close())
            assert await close_of(waiting) == (GOING_AWAY, "the proxy is shutting down")
            with pytest.raises(InvalidStatus) as refused:
                await connected(proxy)
            assert refused.value.response.status_code == 503
            assert (await get(proxy, "/healthz"))[:2] == (503, "draining\n")
            assert (await metrics(proxy))["gtcrn_proxy_connections"] == 1
            assert not closing.done()
            assert (await say(client, samples[5000:], [1600]))[-1] == 10_000
            assert (await close_of(client))[0] == GOING_AWAY
            await closing
        assert np.array_equal(upstream.received[0].audio, samples)

    run(test())


def test_draining_ends_in_time():
    async def test():
        async with Upstream() as upstream, behind(upstream, drain_seconds=0.2) as proxy, connected(proxy) as client:
            await client.send(noise(1000).tobytes())
            await client.recv()
            closing = asyncio.create_task(proxy.close())
            assert await close_of(client) == (GOING_AWAY, "the proxy is shutting down: time is up")
            await closing

    run(test())


def test_tls_on_both_sides(certificate):
    cert, key = certificate

    async def test():
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(cert, key)
        trusting = ssl.create_default_context(cafile=cert)
        tls = {"tls_cert": cert, "tls_key": key}
        async with Upstream(ssl_context=context) as upstream:
            async with behind(upstream, upstream_ca=cert, **tls) as proxy:
                assert proxy.address.startswith("wss://")
                async with connected(proxy, ssl=trusting) as client:
                    assert (await say(client, noise(20_000), [1600]))[-1] == 20_000
                with pytest.raises(ssl.SSLCertVerificationError):
                    await connected(proxy)
            async with behind(upstream) as doubting, connected(doubting) as client:  # the system does not know it
                assert (await close_of(client))[0] == TRY_LATER

    run(test())
