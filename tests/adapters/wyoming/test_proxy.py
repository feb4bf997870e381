"""The Wyoming proxy between Wyoming's own client and a service that keeps all events, and its framing of bytes.

At strength 0 the enhancer delays the samples and leaves them as they are.
"""

import asyncio
import contextlib
import subprocess
import sys

import numpy as np
import pytest
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncClient
from wyoming.event import Event, async_read_event, async_write_event
from wyoming.info import AsrModel, AsrProgram, Attribution, Describe, Info, TtsProgram

from gtcrn_frontend import Enhancer, EnhancerConfig, StreamPool
from gtcrn_frontend.adapters.servers.protocols.base import Pass
from gtcrn_frontend.adapters.wyoming import WyomingProxy, WyomingSettings
from gtcrn_frontend.adapters.wyoming.framing import WyomingFraming
from gtcrn_frontend.errors import ConfigError, ModelError

DRY = EnhancerConfig(strength=0)
PATIENCE_S = 60
ATTRIBUTION = Attribution("A name", "https://example.org")
INFO = Info(
    asr=[
        AsrProgram(
            "asr", ATTRIBUTION, True, "An engine", "1", models=[AsrModel("m", ATTRIBUTION, True, None, None, ["en"])]
        )
    ],
    tts=[TtsProgram("tts", ATTRIBUTION, True, "A voice", "1", voices=[])],
)
PCM_TYPES = {1: np.uint8, 2: np.dtype("<i2"), 4: np.dtype("<i4")}


def run(test):
    return asyncio.run(asyncio.wait_for(test, PATIENCE_S))


class Service:
    """Keeps all events of its connections; it answers describe, and audio-stop with the number of bytes."""

    async def __aenter__(self):
        self.events, self.is_closed = [], asyncio.Event()
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.uri = "tcp://{}:{}".format(*self.server.sockets[0].getsockname())
        return self

    async def __aexit__(self, *error):
        self.server.close()

    @property
    def chunks(self):
        return [AudioChunk.from_event(event) for event in self.events if AudioChunk.is_type(event.type)]

    @property
    def audio(self):
        return b"".join(chunk.audio for chunk in self.chunks)

    async def _serve(self, reader, writer):
        while (event := await async_read_event(reader)) is not None:
            self.events.append(event)
            if Describe.is_type(event.type):
                await async_write_event(INFO.event(), writer)
            elif AudioStop.is_type(event.type):
                await async_write_event(Transcript(f"{len(self.audio)} bytes", language="en").event(), writer)
            elif event.type == "go":
                break
        self.is_closed.set()
        writer.close()


@contextlib.asynccontextmanager
async def behind(service, **settings):
    settings = {"port": 0, "enhancer": DRY, "drain_seconds": 0, **settings}
    async with WyomingProxy(WyomingSettings(upstream=service.uri, **settings)) as proxy:
        yield proxy


def pcm(frames, width, channels, seed=0):
    """Noise as bytes; 32-bit samples have 24 bits, as many as float32 holds."""
    noise = np.random.default_rng(seed).normal(0, 0.1, (frames, channels)).clip(-1, 0.99)
    if width == 1:
        return (noise * 127 + 128).astype(np.uint8).tobytes()
    if width == 4:
        return ((noise * 2**23).astype("<i4") << 8).tobytes()
    return (noise * 32767).astype("<i2").tobytes()


def cut(data, size):
    return [data[start : start + size] for start in range(0, len(data), size)]


async def transcribe(proxy, pieces, rate, width, channels):
    async with AsyncClient.from_uri(proxy.address) as client:
        await client.write_event(Transcribe(language="en").event())
        await client.write_event(AudioStart(rate, width, channels).event())
        for piece in pieces:
            await client.write_event(AudioChunk(rate, width, channels, piece).event())
        await client.write_event(AudioStop().event())
        return Transcript.from_event(await client.read_event()).text


@pytest.mark.parametrize("chunk_ms", [10, 20, 30, 50])
@pytest.mark.parametrize("rate", [8000, 16_000, 24_000, 44_100, 48_000])
def test_chunks_of_any_length_and_rate_arrive_complete(rate, chunk_ms):
    data = pcm(rate // 2 + 7, 2, 1)

    async def test():
        async with Service() as service, behind(service) as proxy:
            text = await transcribe(proxy, cut(data, 2 * rate * chunk_ms // 1000), rate, 2, 1)
            return text, service

    text, service = run(test())
    assert text == f"{len(data)} bytes"
    assert service.audio == data
    assert {(chunk.rate, chunk.width, chunk.channels) for chunk in service.chunks} == {(rate, 2, 1)}
    kinds = [event.type for event in service.events if not AudioChunk.is_type(event.type)]
    assert kinds == ["transcribe", "audio-start", "audio-stop"]
    assert service.events[-1].type == "audio-stop"


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("width", [1, 2, 4])
def test_width_and_channels_are_kept_and_frames_may_be_split(width, channels):
    data = pcm(5001, width, channels)

    async def test():
        async with Service() as service, behind(service) as proxy:
            await transcribe(proxy, cut(data, 777), 16_000, width, channels)
            return service

    service = run(test())
    assert service.audio == data
    assert {(chunk.width, chunk.channels) for chunk in service.chunks} == {(width, channels)}


def test_chunks_are_enhanced_and_their_delay_is_that_of_the_enhancer():
    samples = np.frombuffer(pcm(16_000, 2, 1), "<i2")

    async def test():
        async with Service() as service, behind(service, enhancer=EnhancerConfig()) as proxy:
            async with AsyncClient.from_uri(proxy.address) as client:
                for number, piece in enumerate(cut(samples, 320), start=1):
                    await client.write_event(AudioChunk(16_000, 2, 1, piece.tobytes(), 20 * number - 20).event())
                    while len(service.audio) < 2 * (320 * number - Enhancer().lag_samples):
                        await asyncio.sleep(0.001)
                await client.write_event(AudioStop(1000).event())
                await client.read_event()
            return service

    service = run(test())
    expected = Enhancer().enhance(samples).astype(int)
    assert np.abs(np.frombuffer(service.audio, "<i2") - expected).max() <= 1
    sent = 0
    for chunk in service.chunks:
        assert chunk.timestamp == round(sent / 16)
        sent += chunk.samples
    assert service.events[-1].data["timestamp"] == 1000


def test_info_says_that_noise_is_reduced():
    async def test():
        async with Service() as service, behind(service) as proxy, AsyncClient.from_uri(proxy.address) as client:
            await client.write_event(Describe().event())
            return Info.from_event(await client.read_event())

    info = run(test())
    (program,) = info.asr
    assert not program.prefers_noise_reduction_enabled
    assert program.prefers_auto_gain_enabled
    assert program.description.startswith("An engine, behind gtcrn-frontend ")
    assert (program.name, program.models) == ("asr", INFO.asr[0].models)
    assert info.tts == INFO.tts


def test_all_other_events_pass_as_they_are_in_both_directions():
    strange = Event("of-a-later-version", {"text": "äöü", "list": [1, {"a": None}]}, b"\n\0payload")
    sent = [strange, Event("ping", {"text": "x"}), AudioChunk(4000, 2, 1, b"12").event(), Event("audio-chunk"),
            Event("transcribe", {"name": "m" * 100_000})]  # fmt: skip

    async def test():
        async with Service() as service, behind(service) as proxy:
            async with AsyncClient.from_uri(proxy.address) as client:
                for event in [*sent, Event("go")]:
                    await client.write_event(event)
                assert await client.read_event() is None, "the service has closed"
            await service.is_closed.wait()
            return service

    assert run(test()).events[:-1] == sent


@pytest.mark.parametrize(
    "data",
    [b', "data": [1]}\n', b', "data": "a"}\n', b', "data": null, "data_length": 2}\n{}', b', "data_length": 3}\n[1]'],
)
def test_events_whose_data_are_no_object_pass_as_they_are(data):
    chunk, info = (b'{"type": "%s"' % kind + data for kind in (b"audio-chunk", b"info"))
    framing = WyomingFraming("behind a proxy")
    assert list(framing.receive(chunk)) == [Pass(chunk)]
    assert framing.answer(info) == [info]


def test_info_of_another_version_passes_as_it_is():
    info = b'{"type": "info", "data": {"asr": [1]}}\n'
    assert WyomingFraming("behind a proxy").answer(info) == [info]


def test_a_change_of_the_format_loses_nothing():
    narrow, wide = pcm(3001, 2, 1), pcm(6001, 2, 2, seed=1)

    async def test():
        async with Service() as service, behind(service) as proxy:
            async with AsyncClient.from_uri(proxy.address) as client:
                for rate, channels, data in ((8000, 1, narrow), (16_000, 2, wide)):
                    for piece in cut(data, 640):
                        await client.write_event(AudioChunk(rate, 2, channels, piece).event())
                await client.write_event(AudioStop().event())
                await client.read_event()
            return service

    service = run(test())
    for rate, data in ((8000, narrow), (16_000, wide)):
        assert b"".join(chunk.audio for chunk in service.chunks if chunk.rate == rate) == data
    assert service.audio == narrow + wide


def test_utterances_follow_each_other_on_one_connection():
    data = pcm(3000, 2, 1)

    async def test():
        async with Service() as service, behind(service) as proxy:
            async with AsyncClient.from_uri(proxy.address) as client:
                for _ in range(3):
                    await client.write_event(AudioChunk(16_000, 2, 1, data).event())
                    await client.write_event(AudioStop().event())
                    await client.read_event()
            return service

    assert run(test()).audio == 3 * data


def test_a_client_that_leaves_without_audio_stop_loses_nothing():
    data = pcm(3000, 2, 1)

    async def test():
        async with Service() as service, behind(service) as proxy:
            async with AsyncClient.from_uri(proxy.address) as client:
                await client.write_event(AudioChunk(16_000, 2, 1, data).event())
            await service.is_closed.wait()
            return service

    service = run(test())
    assert service.audio == data
    assert service.events[-1].type == "audio-chunk"


@pytest.mark.parametrize(
    "sent",
    [b"GET / HTTP/1.1\r\n\r\n", b"[1]\n", b'{"type": 1}\n', b'{"type": "a", "data_length": -1}\n', b"x" * 3000,
     b'{"type": "a", "payload_length": 2000}\n', b"\xff\xfe\n", b"[" * 900 + b"\n"],
)  # fmt: skip
def test_what_is_no_event_gets_an_error_and_the_others_go_on(sent):
    async def test():
        async with Service() as service, behind(service, max_message_bytes=1000) as proxy:
            host, port = proxy.address.removeprefix("tcp://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(sent)
            error = await async_read_event(reader)
            assert await async_read_event(reader) is None
            writer.close()
            assert await transcribe(proxy, [bytes(100)], 16_000, 2, 1) == "100 bytes"
            return error

    error = run(test())
    assert error.type == "error"
    assert error.data["text"].startswith("expected ")


def test_without_a_service_the_client_is_told():
    async def test():
        async with Service() as service:
            pass
        async with behind(service) as proxy, AsyncClient.from_uri(proxy.address) as client:
            return await client.read_event()

    assert run(test()).data["text"] == "the recogniser behind the proxy is not reachable"


@pytest.mark.parametrize("after", [0, 5000])
def test_where_the_engine_fails_the_rest_of_the_utterance_passes_unfiltered(monkeypatch, after):
    samples = np.frombuffer(pcm(12_000, 2, 1), "<i2")
    before = Enhancer().process_chunk(samples[:after]).astype(int)

    def fail(*arguments):
        raise RuntimeError("out of memory")

    async def test():
        async with Service() as service, behind(service, enhancer=EnhancerConfig()) as proxy:
            async with AsyncClient.from_uri(proxy.address) as client:
                await client.write_event(AudioChunk(16_000, 2, 1, samples[:after].tobytes()).event())
                while len(service.audio) < 2 * len(before):
                    await asyncio.sleep(0.001)
                monkeypatch.setattr(StreamPool, "process", fail)
                await client.write_event(AudioChunk(16_000, 2, 1, samples[after:].tobytes()).event())
                await client.write_event(AudioStop().event())
                await client.read_event()
            return service

    audio = np.frombuffer(run(test()).audio, "<i2").astype(int)
    assert np.abs(audio[: len(before)] - before).max(initial=0) <= 1
    assert np.array_equal(audio[len(before) :], samples[len(before) :])


def test_zeroconf_without_its_package_is_an_error_that_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "zeroconf", None)

    async def test():
        async with Service() as service, behind(service, zeroconf="kitchen"):
            pass

    with pytest.raises(ModelError, match=r"needs zeroconf: pip install .*\[wyoming\].*, and pip install zeroconf$"):
        run(test())


@pytest.mark.parametrize("settings", [{"sample_rate": 16_000}, {"channels": 2}, {"channels": 2, "downmix": True}])
def test_rates_and_channels_are_those_of_the_chunks(settings):
    with pytest.raises(ConfigError, match="each audio-chunk names its own"):
        WyomingSettings(upstream="tcp://127.0.0.1:1", enhancer=EnhancerConfig(**settings))


def test_the_command_serves_until_it_is_terminated():
    async def test():
        async with Service() as service:
            command = [sys.executable, "-m", "gtcrn_frontend.cli.main", "wyoming", "--uri", "tcp://127.0.0.1:0"]
            process = subprocess.Popen(
                [*command, "--upstream", service.uri, "--strength", "0"], stdout=subprocess.PIPE, text=True
            )
            try:
                line = await asyncio.to_thread(process.stdout.readline)
                address = line.split()[2]
                async with AsyncClient.from_uri(address) as client:
                    await client.write_event(AudioChunk(16_000, 2, 1, bytes(1000)).event())
                    await client.write_event(AudioStop().event())
                    assert Transcript.from_event(await client.read_event()).text == "1000 bytes"
                process.terminate()
                return await asyncio.to_thread(process.wait, PATIENCE_S)
            finally:
                process.kill()
                process.stdout.close()

    assert run(test()) == 0
