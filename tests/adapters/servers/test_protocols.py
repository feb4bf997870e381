"""Vosk, FunASR, WhisperLive and OpenAI's realtime protocol through the proxy, before servers that keep what comes.

The clients and servers here do what the published ones do: vosk-server's test.py and asr_server.py, FunASR's
funasr_wss_client.py, WhisperLive's client.py and server.py, OpenAI's reference. test_real_servers.py has real ones.
At strength 0 the enhancer delays the samples and leaves them as they are.
"""

import asyncio
import base64
import contextlib
import json

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from gtcrn_frontend import Enhancer, EnhancerConfig, StreamPool
from gtcrn_frontend.adapters.servers import ProxySettings, new_proxy
from gtcrn_frontend.adapters.servers.protocols import PROTOCOLS
from gtcrn_frontend.adapters.servers.protocols.base import Audio, BadMessageError
from gtcrn_frontend.audio.pcm import recoded
from gtcrn_frontend.errors import ConfigError

DRY = EnhancerConfig(strength=0)
PATIENCE_S = 60


def run(test):
    return asyncio.run(asyncio.wait_for(test, PATIENCE_S))


def pcm(count, seed=0):
    return (np.random.default_rng(seed).normal(0, 0.1, count).clip(-1, 1) * 32767).astype("<i2")


def cut(samples, size):
    return [samples[start : start + size] for start in range(0, len(samples), size)]


class Server:
    """Keeps what comes, and answers as `answer` says."""

    def __init__(self, answer=lambda server, message: []):
        self.messages, self.requests, self._answer = [], [], answer

    async def __aenter__(self):
        self.listener = await serve(
            self._keep,
            "127.0.0.1",
            0,
            compression=None,
            max_size=None,
            select_subprotocol=lambda connection, offered: "realtime" if offered else None,
        )
        self.uri = "ws://{}:{}".format(*self.listener.sockets[0].getsockname())
        return self

    async def __aexit__(self, *error):
        self.listener.close()
        await self.listener.wait_closed()

    async def _keep(self, connection):
        self.requests.append(connection.request)
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                self.messages.append(message)
                for answer in self._answer(self, message):
                    await connection.send(answer)

    @property
    def audio(self):
        return b"".join(message for message in self.messages if isinstance(message, bytes))

    @property
    def texts(self):
        return [message for message in self.messages if isinstance(message, str)]


@contextlib.asynccontextmanager
async def through(server, protocol, path="", options=None, **settings):
    """A connection through a proxy."""
    settings = {"port": 0, "enhancer": DRY, "drain_seconds": 0, "protocol": protocol, **settings}
    async with new_proxy(ProxySettings(upstream=server.uri, **settings)) as proxy:
        address = proxy.address.replace("http", "ws", 1)
        async with connect(address + path, compression=None, close_timeout=1, **(options or {})) as client:
            yield client


# Vosk


def vosk_server(words=()):
    """One answer for each message but the configuration; results instead of partial ones for the numbers in `words`."""
    state = {"number": 0}

    def answer(server, message):
        if isinstance(message, str) and "config" in message:
            return []
        if isinstance(message, str):
            return [json.dumps({"text": "last", "result": [{"word": "last"}]})]
        state["number"] += 1
        if state["number"] in words:
            word = f"word{state['number']}"
            return [json.dumps({"text": word, "result": [{"word": word}]})]
        return [json.dumps({"partial": f"{len(server.audio)}"})]

    return Server(answer)


async def vosk_client(client, pieces, config=None):
    """Sends a piece and waits for its answer, in turn, as test.py does; returns the answers."""
    if config is not None:
        await client.send(json.dumps({"config": config}))
    answers = []
    for piece in pieces:
        await client.send(piece.tobytes())
        answers.append(json.loads(await client.recv()))
    await client.send('{"eof" : 1}')
    return [*answers, json.loads(await client.recv())]


@pytest.mark.parametrize("chunk_ms", [10, 20, 30, 50, 2000])
@pytest.mark.parametrize("rate", [8000, 16_000, 24_000, 44_100, 48_000])
def test_vosk_gets_all_samples_and_each_message_its_answer(rate, chunk_ms):
    samples = pcm(rate // 2 + 7)
    pieces = cut(samples, rate * chunk_ms // 1000)

    async def test():
        async with vosk_server() as server, through(server, "vosk") as client:
            return server, await vosk_client(client, pieces, {"sample_rate": rate, "words": True})

    server, answers = run(test())
    assert server.audio == samples.tobytes()
    assert server.texts == [json.dumps({"config": {"sample_rate": rate, "words": True}}), '{"eof" : 1}']
    assert len(answers) == len(pieces) + 1
    assert all("partial" in answer for answer in answers[:-1])
    assert answers[-1] == {"text": "last", "result": [{"word": "last"}]}
    binary = [message for message in server.messages if isinstance(message, bytes)]
    assert len(binary) == len(pieces) + 1, "the rest has a message of its own"


def test_words_that_vosk_finds_in_the_rest_are_part_of_the_last_answer():
    async def test():
        async with vosk_server(words=(2, 5)) as server, through(server, "vosk") as client:
            return await vosk_client(client, cut(pcm(4000), 1000))

    answers = run(test())
    assert answers[1] == {"text": "word2", "result": [{"word": "word2"}]}
    assert answers[-1] == {"text": "word5 last", "result": [{"word": "word5"}, {"word": "last"}]}


def test_vosk_without_a_configuration_has_8_khz_and_goes_on_after_a_reset():
    samples = pcm(3000)

    async def test():
        async with vosk_server() as server, through(server, "vosk", enhancer=EnhancerConfig()) as client:
            await client.send(samples.tobytes())
            await client.recv()
            await client.send('{"reset" : 1}')
            assert json.loads(await client.recv())["text"] == "last"
            await vosk_client(client, [samples])
            return server

    enhanced = Enhancer(sample_rate=8000).enhance(samples)
    difference = np.frombuffer(run(test()).audio, "<i2").astype(int) - np.concatenate([enhanced, enhanced])
    assert np.abs(difference).max() <= 1


def test_vosk_ends_without_audio():
    async def test():
        async with vosk_server() as server, through(server, "vosk") as client:
            return server, await vosk_client(client, [])

    server, answers = run(test())
    assert (server.messages, len(answers)) == (['{"eof" : 1}'], 1)


# FunASR


@pytest.mark.parametrize("chunk_ms", [10, 20, 30, 50])
@pytest.mark.parametrize("rate", [8000, 16_000, 24_000, 44_100, 48_000])
def test_funasr_gets_all_samples_and_settings(rate, chunk_ms):
    samples = pcm(rate // 2 + 7)
    begin = json.dumps({"mode": "2pass", "chunk_size": [5, 10, 5], "wav_name": "mic", "audio_fs": rate,
                        "wav_format": "pcm", "is_speaking": True, "hotwords": "", "itn": True})  # fmt: skip
    end = json.dumps({"is_speaking": False})

    def answer(server, message):
        return [json.dumps({"mode": "2pass-offline", "text": str(len(server.audio))})] if message == end else []

    async def test():
        async with Server(answer) as server, through(server, "funasr") as client:
            for _ in range(2):  # utterances
                await client.send(begin)
                for piece in cut(samples, rate * chunk_ms // 1000):
                    await client.send(piece.tobytes())
                await client.send(end)
                last = json.loads(await client.recv())["text"]
            return server, last

    server, last = run(test())
    assert server.audio == 2 * samples.tobytes()
    assert server.texts == [begin, end] * 2
    assert last == str(4 * len(samples))


def test_funasr_audio_that_is_no_pcm_passes_as_it_is():
    data = [b"odd", b"ID3" + bytes(100)]

    async def test():
        def answer(server, message):
            return ["{}"] if "false" in str(message) else []

        async with Server(answer) as server, through(server, "funasr") as client:
            for message in [json.dumps({"wav_format": "others", "is_speaking": True}), *data, '{"is_speaking": false}']:
                await client.send(message)
            await client.recv()
            return server.messages

    assert run(test())[1:3] == data


# WhisperLive


@pytest.mark.parametrize("chunk_ms", [10, 20, 30, 50, 256])
@pytest.mark.parametrize("kind", ["float32", "int16", "uint8", None])
def test_whisperlive_gets_all_samples_and_options(kind, chunk_ms):
    options = {"uid": "a", "language": "en", "task": "transcribe", "model": "tiny"} | (
        {"audio_format": kind} if kind else {}
    )
    noise = np.random.default_rng(0).normal(0, 0.1, 8007).clip(-1, 0.99)
    samples = {"int16": (noise * 32767).astype("<i2"), "uint8": (noise * 127 + 128).astype(np.uint8)}.get(
        kind, noise.astype("<f4")
    )

    def answer(server, message):
        if len(server.messages) == 1:
            return ['{"uid": "a", "message": "SERVER_READY", "backend": "faster_whisper"}']
        return ['{"uid": "a", "segments": []}'] if message == b"END_OF_AUDIO" else []

    async def test():
        async with Server(answer) as server, through(server, "whisperlive") as client:
            await client.send(json.dumps(options))
            ready = await client.recv()
            for piece in cut(samples, 16 * chunk_ms):
                await client.send(piece.tobytes())
            await client.send(b"END_OF_AUDIO")
            await client.recv()
            return server, ready

    server, ready = run(test())
    assert json.loads(ready)["message"] == "SERVER_READY"
    assert server.messages[0] == json.dumps(options)
    assert server.audio == samples.tobytes() + b"END_OF_AUDIO"


def test_whisperlive_clients_may_have_another_rate_than_the_server():
    samples = np.random.default_rng(0).normal(0, 0.1, 9600).astype("<f4")

    async def test():
        def answer(server, message):
            return ["{}"] if message == b"END_OF_AUDIO" else []

        enhancer = EnhancerConfig(sample_rate=48_000)
        async with Server(answer) as server, through(server, "whisperlive", enhancer=enhancer) as client:
            for message in (b"{}", samples.tobytes(), b"END_OF_AUDIO"):
                await client.send(message)
            await client.recv()
            return server.messages

    audio = np.frombuffer(b"".join(run(test())[1:-1]), "<f4")
    expected = Enhancer(sample_rate=48_000, output_sample_rate=16_000).enhance(samples)
    np.testing.assert_allclose(audio, expected, atol=1e-5)


# OpenAI's realtime protocol


def update(kind, **more):
    return json.dumps({"type": "session.update", "session": {"audio": {"input": {"format": {"type": kind, **more}}}}})


def append(data, **more):
    return json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(data).decode(), **more})


def appended(server):
    events = [json.loads(text) for text in server.texts]
    return b"".join(base64.b64decode(e["audio"]) for e in events if e["type"] == "input_audio_buffer.append")


COMMIT = json.dumps({"type": "input_audio_buffer.commit"})
FORMATS = {
    "default": (None, 24_000, "s16le"),
    "pcm 24k": (update("audio/pcm", rate=24_000), 24_000, "s16le"),
    "mu-law": (update("audio/pcmu"), 8000, "mulaw"),
    "A-law": (update("audio/pcma"), 8000, "alaw"),
    "pcm 16k": (update("audio/pcm", rate=16_000), 16_000, "s16le"),
    "beta mu-law": (
        json.dumps({"type": "transcription_session.update", "session": {"input_audio_format": "g711_ulaw"}}),
        8000,
        "mulaw",
    ),
}


def realtime_server():
    def answer(server, message):
        kind = json.loads(message)["type"]
        return ['{"type": "conversation.item.input_audio_transcription.completed"}'] if kind.endswith("commit") else []

    return Server(answer)


@pytest.mark.parametrize("chunk_ms", [10, 20, 30, 50])
@pytest.mark.parametrize("name", FORMATS)
def test_realtime_audio_of_all_formats_arrives_complete(name, chunk_ms):
    first, rate, encoding = FORMATS[name]
    data = recoded(pcm(rate // 2 + 7).tobytes(), "s16le", encoding)
    size = rate * chunk_ms // 1000 * (2 if encoding == "s16le" else 1)

    async def test():
        async with (
            realtime_server() as server,
            through(server, "openai", "/v1/realtime?intent=transcription") as client,
        ):
            for message in [first, *map(append, cut(data, size)), COMMIT]:
                if message:
                    await client.send(message)
            return server, await client.recv()

    server, answer = run(test())
    assert appended(server) == data
    assert server.texts[-1] == COMMIT
    assert json.loads(answer)["type"].endswith("completed")
    assert server.texts[0] == first or first is None


def test_realtime_audio_is_enhanced():
    samples = pcm(24_000)

    async def test():
        async with realtime_server() as server, through(server, "openai", enhancer=EnhancerConfig()) as client:
            for message in [*map(append, cut(samples.tobytes(), 999)), COMMIT]:
                await client.send(message)
            await client.recv()
            return np.frombuffer(appended(server), "<i2").astype(int)

    assert np.abs(run(test()) - Enhancer(sample_rate=24_000).enhance(samples)).max() <= 1


def test_the_last_samples_before_another_realtime_format_are_in_the_format_before():
    data = pcm(4800).tobytes()

    async def test():
        async with realtime_server() as server, through(server, "openai", "/v1/realtime") as client:
            for message in (append(data), update("audio/pcmu"), append(b"\x55" * 800), COMMIT):
                await client.send(message)
            await client.recv()
            return server.texts

    texts = run(test())
    before = texts[: texts.index(update("audio/pcmu"))]
    assert b"".join(base64.b64decode(json.loads(text)["audio"]) for text in before) == data


def test_all_other_realtime_events_pass_as_they_are():
    odd = [
        "no JSON",
        "[1]",
        append(b""),
        '{"type": "input_audio_buffer.append", "audio": "&"}',
        '{"type": "response.create"}',
        '{"type": "input_audio_buffer.clear"}',
        update("audio/flac"),
        append(b"fLaC"),
    ]

    async def test():
        async with Server() as server, through(server, "openai", "/v1/realtime") as client:
            for message in odd:
                await client.send(message)
            while len(server.messages) < len(odd):
                await asyncio.sleep(0.001)
            return server.messages

    assert run(test()) == odd


def test_the_realtime_request_passes_with_its_key_and_without_what_is_meant_for_the_proxy():
    async def test():
        options = {"additional_headers": {"Authorization": "Bearer sk-1", "OpenAI-Beta": "realtime=v1", "Cookie": "c"},
                   "subprotocols": ["realtime", "other"]}  # fmt: skip
        path = "/v1/realtime?model=a%20b&strength=0.5&intent=transcription"
        async with Server() as server, through(server, "openai", path, options) as client:
            await client.send("{}")
            while not server.messages:
                await asyncio.sleep(0.001)
            return server.requests[0], client.subprotocol

    request, subprotocol = run(test())
    assert request.path == "/v1/realtime?model=a+b&intent=transcription"
    assert request.headers["Authorization"] == "Bearer sk-1"
    assert request.headers["OpenAI-Beta"] == "realtime=v1"
    assert "Cookie" not in request.headers
    assert subprotocol == "realtime"


# All of them

SPOKEN = {  # messages for 16-bit samples of 16 kHz, their messages, and the last one
    "vosk": (['{"config": {"sample_rate": 16000}}'], bytes, '{"eof" : 1}'),
    "funasr": (['{"is_speaking": true, "audio_fs": 16000}'], bytes, '{"is_speaking": false}'),
    "whisperlive": (['{"audio_format": "int16"}'], bytes, b"END_OF_AUDIO"),
    "openai": ([update("audio/pcm", rate=16_000)], append, COMMIT),
}


def audio_at(server, protocol):
    if protocol == "openai":
        return np.frombuffer(appended(server), "<i2").astype(int)
    return np.frombuffer(server.audio.removesuffix(b"END_OF_AUDIO"), "<i2").astype(int)


@pytest.mark.parametrize("protocol", SPOKEN)
def test_the_delay_is_that_of_the_enhancer(protocol):
    first, message_of, _ = SPOKEN[protocol]

    async def test():
        async with Server() as server, through(server, protocol) as client:
            for message in first:
                await client.send(message)
            for number, piece in enumerate(cut(pcm(8000), 320), start=1):
                await client.send(message_of(piece.tobytes()))
                while len(audio_at(server, protocol)) < 320 * number - Enhancer().lag_samples:
                    await asyncio.sleep(0.001)

    run(test())


@pytest.mark.parametrize("protocol", SPOKEN)
def test_where_the_engine_fails_the_rest_passes_unfiltered(monkeypatch, protocol):
    first, message_of, last = SPOKEN[protocol]
    samples = pcm(12_000)
    before = Enhancer().process_chunk(samples[:5000]).astype(int)

    def fail(*arguments):
        raise RuntimeError("out of memory")

    async def test():
        enhancer = EnhancerConfig()
        async with Server() as server, through(server, protocol, enhancer=enhancer) as client:
            for message in [*first, message_of(samples[:5000].tobytes())]:
                await client.send(message)
            while len(audio_at(server, protocol)) < len(before):
                await asyncio.sleep(0.001)
            monkeypatch.setattr(StreamPool, "process", fail)
            for message in [message_of(samples[5000:].tobytes()), last]:
                await client.send(message)
            while len(audio_at(server, protocol)) < len(samples):
                await asyncio.sleep(0.001)
            return audio_at(server, protocol)

    audio = run(test())
    assert np.abs(audio[: len(before)] - before).max() <= 1
    assert np.array_equal(audio[len(before) :], samples[len(before) :])


BAD = {
    "vosk, half a sample": ("vosk", [b"123"], "even number of bytes"),
    "vosk, another text": ("vosk", ['{"hello": 1}'], "expected config, eof or reset"),
    "vosk, no JSON": ("vosk", ["eof"], "as JSON, got 'eof'"),
    "vosk, low rate": ("vosk", ['{"config": {"sample_rate": 4000}}'], "8000 to 192000 Hz, got '4000'"),
    "vosk, no rate": ("vosk", ['{"config": {"sample_rate": "fast"}}'], "got 'fast'"),
    "vosk, late rate": ("vosk", [bytes(4), '{"config": {"sample_rate": 16000}}'], "before the audio"),
    "funasr, half a sample": ("funasr", [b"123"], "even number of bytes"),
    "funasr, no JSON": ("funasr", ["[]"], "as JSON, got '[]'"),
    "funasr, rate": ("funasr", ['{"audio_fs": 16000.5}'], "got '16000.5'"),
    "whisperlive, no options": ("whisperlive", [bytes(4)], "expected options as JSON"),
    "whisperlive, format": ("whisperlive", ['{"audio_format": "mp3"}'], "expected one of float32, int16, uint8"),
    "whisperlive, half a sample": ("whisperlive", ["{}", bytes(6)], "got 6 bytes"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_messages_are_told(name):
    protocol, messages, part = BAD[name]
    framing = PROTOCOLS[protocol]()
    for message in messages[:-1]:
        list(framing.receive(message))
    with pytest.raises(BadMessageError) as error:
        list(framing.receive(messages[-1]))
    assert part in str(error.value)


@pytest.mark.parametrize("protocol", ["vosk", "funasr", "openai"])
def test_where_messages_name_the_rate_the_server_has_the_same(protocol):
    with pytest.raises(ConfigError, match=f"output_sample_rate: expected none for the protocol {protocol}"):
        ProxySettings(upstream="ws://a:1", protocol=protocol, enhancer=EnhancerConfig(output_sample_rate=16_000))


def test_realtime_samples_may_be_split_between_events():
    framing = PROTOCOLS["openai"]()
    data = pcm(100).tobytes()
    events = [event for piece in cut(data, 33) for event in framing.receive(append(piece))]
    samples = np.concatenate([event.samples for event in events if isinstance(event, Audio)])
    assert np.array_equal(samples * 32768, np.frombuffer(data, "<i2"))
