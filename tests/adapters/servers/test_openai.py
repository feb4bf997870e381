"""Transcription requests through the proxy for OpenAI's interface, before a server that keeps requests as they come."""

import asyncio
import contextlib
import io
import json
import ssl

import aiohttp
import numpy as np
import pytest
import soundfile
from aiohttp import web

from gtcrn_frontend import Enhancer, EnhancerConfig, StreamPool
from gtcrn_frontend.adapters.servers import Proxy, ProxySettings, uploads
from gtcrn_frontend.adapters.servers.metrics import CONTENT_TYPE
from gtcrn_frontend.adapters.servers.openai import OpenAiProxy
from gtcrn_frontend.errors import ConfigError

DRY = EnhancerConfig(strength=0)
PATIENCE_S = 60
PATH = "/v1/audio/transcriptions"


def run(test):
    return asyncio.run(asyncio.wait_for(test, PATIENCE_S))


def noise(count, channels=1, seed=0):
    samples = np.random.default_rng(seed).normal(0, 0.1, (count, channels)).clip(-1, 0.99)
    return np.squeeze((samples * 32767).astype(np.int16), 1) if channels == 1 else (samples * 32767).astype(np.int16)


def file_of(samples, rate=16_000, container="WAV", subtype=None):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=container, subtype=subtype)
    return buffer.getvalue()


class Server:
    """Keeps the fields of forms in order, and bodies of other requests; a transcription answers with its number."""

    async def __aenter__(self):
        self.forms, self.requests = [], []
        self.runner = web.ServerRunner(web.Server(self._serve))
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.uri = "http://{}:{}".format(*self.runner.addresses[0][:2])
        return self

    async def __aexit__(self, *error):
        await self.runner.cleanup()

    async def _serve(self, request):
        self.requests.append(request)
        if request.content_type == "multipart/form-data":
            fields = [
                (part.name, part.filename, part.headers.get("Content-Type"), bytes(await part.read()))
                async for part in await request.multipart()
            ]
            self.forms.append(fields)
            if ("stream", None, "text/plain; charset=utf-8", b"true") in fields:
                response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
                await response.prepare(request)
                for piece in (b"data: 1\n\n", b"data: 2\n\n"):
                    await response.write(piece)
                    await asyncio.sleep(0.01)
                return response
            return web.json_response({"text": f"number {len(self.forms)}"}, headers={"x-request-id": "r1"})
        body = b"".join([piece async for piece in request.content.iter_any()])  # of any size
        return web.Response(body=body or b"nothing", status=418, headers={"x-request-id": "r2"})


@contextlib.asynccontextmanager
async def behind(server, **settings):
    settings = {"port": 0, "enhancer": DRY, "drain_seconds": 0, "protocol": "openai", **settings}
    async with OpenAiProxy(ProxySettings(upstream=server.uri, **settings)) as proxy:
        yield proxy


async def post(proxy, data, path=PATH, headers=None, name="speech.wav", **fields):
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("model", "whisper-1")
    form.add_field("file", data, filename=name, content_type="audio/x-given")
    for key, value in fields.items():
        form.add_field(key, value)
    async with (
        aiohttp.ClientSession() as session,
        session.post(proxy.address + path, data=form, headers=headers) as response,
    ):
        return response.status, await response.text(), response.headers


async def get(url, method="GET", **options):
    async with aiohttp.ClientSession() as session, session.request(method, url, **options) as response:
        return response.status, await response.text(), response.headers


def received(server, number=-1):
    """Name, samples and rate of a file that the server has got."""
    _, name, _, data = next(field for field in server.forms[number] if field[0] == "file")
    with soundfile.SoundFile(io.BytesIO(data)) as audio:
        return name, audio.read(dtype="int16"), audio.samplerate, audio.format


@pytest.mark.parametrize("rate", [8000, 16_000, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("container", "name", "kept"), [("WAV", "a.b.wav", "a.b.wav"), ("FLAC", "a.flac", "a.flac")])
def test_files_keep_rate_channels_and_every_sample(rate, channels, container, name, kept):
    samples = noise(rate + 7, channels)

    async def test():
        async with Server() as server, behind(server) as proxy:
            return server, await post(proxy, file_of(samples, rate, container), name=name)

    server, (status, text, headers) = run(test())
    assert (status, json.loads(text), headers["x-request-id"]) == (200, {"text": "number 1"}, "r1")
    file_name, audio, file_rate, file_container = received(server)
    assert (file_name, file_rate, file_container) == (kept, rate, container)
    assert np.array_equal(audio, samples)


@pytest.mark.parametrize(("container", "name"), [("MP3", "a.mp3"), ("OGG", "voice.oga")])
def test_other_files_become_flac(container, name):
    data = file_of(noise(16_000), 16_000, container)
    decoded = soundfile.read(io.BytesIO(data), dtype="float32")[0]

    async def test():
        async with Server() as server, behind(server) as proxy:
            await post(proxy, data, name=name)
            return server

    server = run(test())
    file_name, audio, _, container = received(server)
    assert (file_name, container) == (name.rpartition(".")[0] + ".flac", "FLAC")
    assert server.forms[0][1][2] == "audio/flac"
    assert np.abs(audio - decoded * 32768).max() <= 1


def test_an_mp3_without_index_is_sent_to_its_end():
    loud, silence = noise(32_000), np.zeros(160_000, np.int16)
    buffer = io.BytesIO()
    settings = {"format": "MP3", "bitrate_mode": "VARIABLE", "compression_level": 0.3}
    soundfile.write(buffer, np.concatenate([loud, silence, loud]), 16_000, **settings)
    data = buffer.getvalue()
    data = data[data.find(data[:2], 4) :]
    assert soundfile.info(io.BytesIO(data)).frames < 160_000

    async def test():
        async with Server() as server, behind(server) as proxy:
            await post(proxy, data, name="a.mp3")
            return server

    _, audio, _, _ = received(run(test()))
    assert 0 <= len(audio) - 224_000 < 5 * 576


def test_files_are_enhanced_and_other_fields_pass_in_order():
    samples = noise(16_000)

    async def test():
        async with Server() as server, behind(server, enhancer=EnhancerConfig()) as proxy:
            await post(proxy, file_of(samples), language="en", prompt="äöü")
            await post(proxy, file_of(samples), path=f"{PATH}?strength=0")
            return server

    server = run(test())
    fields = [(name, data) for name, filename, _, data in server.forms[0] if filename is None]
    assert fields == [("model", b"whisper-1"), ("language", b"en"), ("prompt", "äöü".encode())]
    assert [field[0] for field in server.forms[0]] == ["model", "file", "language", "prompt"]
    assert np.abs(received(server, 0)[1] - Enhancer().enhance(samples).astype(int)).max() <= 1
    assert np.array_equal(received(server, 1)[1], samples)
    assert server.requests[1].path_qs == PATH


def test_answers_are_streamed():
    async def test():
        async with Server() as server, behind(server) as proxy:
            return await post(proxy, file_of(noise(100)), stream="true")

    status, text, headers = run(test())
    assert (status, text, headers["Content-Type"]) == (200, "data: 1\n\ndata: 2\n\n", "text/event-stream")


def test_other_requests_pass_as_they_are():
    async def test():
        async with Server() as server, behind(server) as proxy:
            url = f"{proxy.address}/v1/models?limit=2"
            answers = [
                await get(url, headers={"Authorization": "Bearer sk-1"}),
                await get(url, "POST", data=b"\0" * 3_000_000),
                await get(f"{proxy.address}/v1/x", "DELETE"),
            ]
            return server, answers

    server, answers = run(test())
    assert [(status, len(text), headers["x-request-id"]) for status, text, headers in answers] == [
        (418, 7, "r2"),
        (418, 3_000_000, "r2"),
        (418, 7, "r2"),
    ]
    assert [(request.method, request.path_qs) for request in server.requests] == [
        ("GET", "/v1/models?limit=2"),
        ("POST", "/v1/models?limit=2"),
        ("DELETE", "/v1/x"),
    ]
    assert server.requests[0].headers["Authorization"] == "Bearer sk-1"


TEN_CHANNELS = file_of(noise(100, 10), container="AIFF")  # FLAC, which all but WAV becomes, has 8 at most
DAMAGED = {
    "ten channels": TEN_CHANNELS,
    "m4a": b"\0\0\0\x20ftypM4A " + bytes(100),
    "empty": b"",
    "low rate": file_of(noise(100), 4000),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_files_that_cannot_be_enhanced_pass_as_they_are_unless_told_otherwise(name):
    async def test():
        async with Server() as server, behind(server) as proxy, behind(server, on_error="raise") as strict:
            passed = await post(proxy, DAMAGED[name], name="x.m4a")
            refused = await post(strict, DAMAGED[name], name="x.m4a")
            _, metrics, headers = await get(f"{proxy.address}/metrics")
            assert headers["Content-Type"] == CONTENT_TYPE
            return server, passed, refused, metrics

    server, passed, refused, metrics = run(test())
    assert passed[0] == 200
    (form,) = server.forms
    assert form[1] == ("file", "x.m4a", "audio/x-given", DAMAGED[name])
    assert "gtcrn_proxy_streams_passed_total 1.0" in metrics
    assert refused[0] == 400
    assert json.loads(refused[1])["error"]["type"] == "invalid_request_error"


def test_where_the_engine_fails_the_file_passes_unfiltered(monkeypatch):
    samples = noise(20_000)

    def fail(*arguments):
        raise RuntimeError("out of memory")

    async def test():
        async with Server() as server, behind(server, enhancer=EnhancerConfig()) as proxy:
            monkeypatch.setattr(StreamPool, "process", fail)
            status, _, _ = await post(proxy, file_of(samples))
            return status, received(server)[1]

    status, audio = run(test())
    assert status == 200
    assert np.array_equal(audio, samples)


def test_limits_and_tokens(tmp_path):
    token = tmp_path / "token"
    token.write_text("secret\n", encoding="utf-8")

    async def test():
        settings = {"max_file_bytes": 10_000, "max_stream_seconds": 0.1, "token_file": token}
        bearer = {"Authorization": "Bearer secret"}
        async with Server() as server, behind(server, **settings) as proxy:
            statuses = [
                (await post(proxy, file_of(noise(100))))[0],
                (await post(proxy, file_of(noise(100)), headers=bearer))[0],
                (await post(proxy, file_of(noise(1601)), headers=bearer))[0],
                (await post(proxy, file_of(noise(5000)), headers=bearer))[0],
                (await post(proxy, file_of(noise(100)), path=f"{PATH}?strength=2", headers=bearer))[0],
                (await get(f"{proxy.address}{PATH}", "POST", data=b"no form", headers=bearer))[0],
                (await get(f"{proxy.address}/metrics"))[0],
                (await get(f"{proxy.address}/healthz"))[0],
                (await get(f"{proxy.address}/readyz", headers=bearer))[0],
            ]
            return statuses, server.requests[0].headers

    statuses, headers = run(test())
    assert statuses == [401, 200, 413, 413, 400, 400, 401, 200, 200]
    assert "Authorization" not in headers, "it is the proxy's"


def test_a_file_that_is_too_long_is_not_decoded(monkeypatch):
    def read(*args, **options):
        raise AssertionError("decoded")

    async def test():
        monkeypatch.setattr(soundfile.SoundFile, "read", read)
        async with Server() as server, behind(server, max_stream_seconds=0.1) as proxy:
            return (await post(proxy, file_of(noise(1601), container="FLAC"), name="speech.flac"))[0]

    assert run(test()) == 413


def test_a_file_that_hides_its_length_is_measured_up_to_the_limit(monkeypatch):
    monkeypatch.setattr(uploads, "MOST_SAMPLES", 70_000)
    data = bytearray(file_of(noise(320_000), container="FLAC"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    read, counted = soundfile.SoundFile.read, []

    def counting_read(*args, **options):
        counted.append(len(samples := read(*args, **options)))
        return samples

    async def test():
        async with Server() as server, behind(server) as proxy:
            monkeypatch.setattr(soundfile.SoundFile, "read", counting_read)
            await post(proxy, bytes(data), name="speech.flac")
            return server.forms[0][1][3]

    assert run(test()) == bytes(data), "passed on as it came"
    assert 70_000 < sum(counted) < 200_000


def test_a_file_that_would_fill_the_memory_passes_as_it_is(monkeypatch):
    monkeypatch.setattr(uploads, "MOST_SAMPLES", 3200)
    fits, odd = file_of(noise(1600, 2)), file_of(noise(1601, 2), container="FLAC")

    async def test():
        async with Server() as server, behind(server) as proxy:
            for data in (fits, odd):
                assert (await post(proxy, data))[0] == 200
            return server.forms

    forms = run(test())
    assert forms[0][1][2] == "audio/wav", "enhanced"
    assert forms[1][1][2:] == ("audio/x-given", odd)


def test_without_a_server_the_client_is_told():
    async def test():
        async with Server() as server:
            pass
        async with behind(server) as proxy:
            return await post(proxy, file_of(noise(100))), await get(f"{proxy.address}/readyz")

    (status, text, _), (ready, _, _) = run(test())
    assert (status, ready) == (502, 503)
    assert json.loads(text)["error"]["message"] == "the recogniser behind the proxy is not reachable"


def test_a_form_in_an_unknown_encoding_is_a_bad_request():
    form = b'--b\r\nContent-Disposition: form-data; name="x"\r\nContent-Transfer-Encoding: odd\r\n\r\nx\r\n--b--\r\n'

    async def test():
        async with Server() as server, behind(server) as proxy:
            headers = {"Content-Type": "multipart/form-data; boundary=b"}
            return (await get(f"{proxy.address}{PATH}", "POST", data=form, headers=headers))[0]

    assert run(test()) == 400


def test_requests_that_are_none_do_not_flood_the_log(caplog):
    async def test():
        async with Server() as server, behind(server) as proxy:
            host, port = proxy.address.removeprefix("http://").split(":")
            for _ in range(60):
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(b"GET x:/@y HTTP/1.1\r\nHost: a\r\n\r\n")
                assert b" 400 " in await reader.readline()
                writer.close()

    run(test())
    assert 0 < len(caplog.records) < 60


def test_one_request_too_many_is_turned_away():
    async def test():
        async with Server() as server, behind(server, max_connections=1) as proxy:
            go_on = asyncio.Event()

            async def slow():
                yield b"x"
                await go_on.wait()

            first = asyncio.create_task(get(f"{proxy.address}/v1/x", "POST", data=slow()))
            while not server.requests:
                await asyncio.sleep(0.001)
            second = await post(proxy, file_of(noise(100)))
            go_on.set()
            return (await first)[0], second[0]

    assert run(test()) == (418, 503)


def test_pages_of_other_origins_get_no_websocket():
    async def test():
        async with (
            Server() as server,
            behind(server, allow_origin=["https://good.example"]) as proxy,
            aiohttp.ClientSession() as session,
        ):
            with pytest.raises(aiohttp.WSServerHandshakeError) as error:
                await session.ws_connect(f"{proxy.address}/v1/realtime", origin="https://evil.example")
            return error.value.status

    assert run(test()) == 403


def test_tls(certificate):
    cert, key = certificate

    async def test():
        async with Server() as server, behind(server, tls_cert=cert, tls_key=key) as proxy:
            assert proxy.address.startswith("https://")
            return await get(f"{proxy.address}/v1/x", ssl=ssl.create_default_context(cafile=cert))

    assert run(test())[0] == 418


def test_the_websocket_proxy_does_not_take_this_protocol():
    with pytest.raises(ConfigError, match="use OpenAiProxy"):
        Proxy(ProxySettings(upstream="http://127.0.0.1:1", protocol="openai"))
