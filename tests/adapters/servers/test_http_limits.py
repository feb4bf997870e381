"""Limits of time, memory and connections of the proxy for OpenAI's interface."""

import asyncio
import contextlib
import io
import json
import re
import socket
import ssl

import aiohttp
import numpy as np
import pytest
import soundfile

from gtcrn_frontend.adapters.servers import ProxySettings
from gtcrn_frontend.adapters.servers.openai import OpenAiProxy
from gtcrn_frontend.config import EnhancerConfig

PATIENCE_S = 30
PATH = "/v1/audio/transcriptions"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n"
SILENT, HALF, WHOLE = b"", OK + b"Content-Length: 10\r\n\r\nhalf ", OK + b"Content-Length: 5\r\n\r\nwhole"


def run(test):
    return asyncio.run(asyncio.wait_for(test, PATIENCE_S))


@contextlib.asynccontextmanager
async def behind(answer, *, reads=True, end=b"\r\n\r\n", **settings):
    """A proxy before a server that answers with these bytes, or what the coroutine returns, when `end` has come."""

    async def serve(reader, writer):
        if reads:
            with contextlib.suppress(asyncio.IncompleteReadError):
                await reader.readuntil(end)
        writer.write(await answer() if callable(answer) else answer)
        while reads and await reader.read(1 << 16):
            pass
        await asyncio.sleep(0 if reads else PATIENCE_S)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    settings = {"port": 0, "enhancer": EnhancerConfig(strength=0), "drain_seconds": 0, **settings}
    upstream = "http://{}:{}".format(*server.sockets[0].getsockname())
    async with OpenAiProxy(ProxySettings(upstream=upstream, protocol="openai", **settings)) as proxy:
        yield proxy
    server.close()


def wave(count, container="WAV"):
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(count, np.int16), 16_000, format=container)
    return buffer.getvalue()


async def post(proxy, data, path=PATH):
    """Status and text of the answer; the text is that of the message where it is an error of the proxy."""
    if isinstance(data, bytes):
        form = aiohttp.FormData(default_to_multipart=True)
        form.add_field("file", data, filename="a.wav")
        data, headers = form, {}
    else:
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(proxy.address + path, data=data, headers=headers) as response,
    ):
        text = await response.text()
        return response.status, json.loads(text)["error"]["message"] if text.startswith("{") else text


async def metric(proxy, name):
    async with aiohttp.ClientSession() as session, session.get(f"{proxy.admin_address}/metrics") as response:
        return float(re.search(rf"^{re.escape(name)} (\S+)$", await response.text(), re.MULTILINE)[1])


async def trickle():
    """A form that goes on and on, a few bytes at a time."""
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    while True:
        yield b"slow"
        await asyncio.sleep(0.02)


async def pause():
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nthen nothing'
    await asyncio.sleep(PATIENCE_S)


# Slow clients and servers


@pytest.mark.parametrize("body", [trickle, pause])
def test_a_file_must_come_in_time(body):
    async def test():
        settings = {"upload_seconds": 0.3} if body is trickle else {"idle_seconds": 0.3}
        async with behind(WHOLE, **settings) as proxy:
            return await post(proxy, body()), await post(proxy, wave(100))

    (status, message), other = run(test())
    assert status == 408
    assert "0.3 s" in message
    assert other == (200, "whole")


def test_the_body_of_another_request_may_trickle_but_not_pause():
    async def slow(pieces, pause_s):
        for _ in range(pieces):
            yield b"x"
            await asyncio.sleep(pause_s)

    async def test():
        async with behind(WHOLE, end=b"\r\n0\r\n\r\n", idle_seconds=0.5, answer_seconds=0.5) as proxy:
            return [await post(proxy, slow(*pace), "/v1/files") for pace in ((2, PATIENCE_S), (100, 0.01))]

    (status, message), other = run(test())
    assert (status, message) == (408, "expected no pause of 0.5 s within a request")
    assert other == (200, "whole")


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("path", [PATH, "/v1/files"])
def test_a_silent_server_is_given_up(reads, path):
    async def many():
        for _ in range(200):
            yield bytes(1 << 16)

    async def test():
        async with behind(SILENT, reads=reads, answer_seconds=0.5) as proxy:
            return await post(proxy, many() if path != PATH else wave(1_000_000), path)

    assert run(test()) == (504, "the recogniser behind the proxy has not answered for 0.5 s")


def test_an_answer_that_stops_is_cut():
    async def test():
        async with behind(HALF, answer_seconds=0.3) as proxy:
            with pytest.raises(aiohttp.ClientPayloadError):
                await post(proxy, wave(100))

    run(test())


def test_a_client_that_does_not_read_its_answer_is_cut():
    size = 1 << 26  # more than sockets hold

    async def test():
        large = OK + b"Content-Length: %d\r\n\r\n" % size + bytes(size)
        async with behind(large, idle_seconds=0.3) as proxy:
            with connections(proxy, 1) as (one,):
                one.sendall(b"GET /v1/files HTTP/1.1\r\nHost: x\r\n\r\n")
                while not proxy._sessions:
                    await asyncio.sleep(0.01)
                while proxy._sessions:
                    await asyncio.sleep(0.01)

    run(test())


# Memory


@pytest.mark.parametrize("container", ["WAV", "FLAC"])
def test_files_of_all_requests_share_a_limit(container):
    """A second of 16-bit audio: 32,000 bytes as enhanced, and, in a WAV, as many as received."""
    second = wave(16_000, container)

    async def test():
        go_on = asyncio.Event()

        async def answer():
            await go_on.wait()
            return WHOLE

        async with behind(answer, max_upload_bytes=100_000 if container == "WAV" else 50_000) as proxy:
            first = asyncio.create_task(post(proxy, second))
            while not await metric(proxy, "gtcrn_proxy_streams_total"):
                await asyncio.sleep(0.01)
            refused = await post(proxy, second)
            go_on.set()
            return await first, refused, await post(proxy, second)

    first, refused, third = run(test())
    assert first == third == (200, "whole")
    assert refused[0] == 503
    assert "try again later" in refused[1]


def test_a_request_that_would_never_fit_is_too_large():
    async def test():
        async with behind(WHOLE, max_upload_bytes=50_000) as proxy:
            return await post(proxy, wave(16_000)), await post(proxy, wave(32_000, "FLAC")), await post(proxy, wave(9))

    received, enhanced, other = run(test())
    assert received[0] == enhanced[0] == 413
    assert "at most 50000" in received[1]
    assert other == (200, "whole")


def test_a_form_has_not_endless_fields():
    async def test():
        async def fields():
            while True:
                yield b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n\r\n'

        async with behind(WHOLE) as proxy:
            return await post(proxy, fields())

    assert run(test()) == (400, "expected a form of at most 100 fields")


# Connections


@contextlib.contextmanager
def connections(proxy, count):
    host, port = proxy.address.partition("://")[2].split(":")
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(count)]


@pytest.mark.parametrize("kind", ["silent", "idle", "half a head", "silent before TLS"])
def test_connections_without_a_request_keep_nobody_out(kind, certificate):
    cert, key = certificate
    tls = {"tls_cert": cert, "tls_key": key} if kind == "silent before TLS" else {}

    async def test():
        limits = {"max_handshakes": 20, "max_handshakes_per_address": 5, "admin_port": 0, **tls}
        async with behind(WHOLE, **limits) as proxy:
            with connections(proxy, 60) as sockets:
                for each in sockets if kind in ("idle", "half a head") else []:
                    with contextlib.suppress(ConnectionError):
                        each.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + (b"\r\n" if kind == "idle" else b""))
                        if kind == "idle":
                            await asyncio.to_thread(each.recv, 4096)
                while await metric(proxy, "gtcrn_proxy_handshakes_dropped_total") < 55:
                    await asyncio.sleep(0.02)
                assert await metric(proxy, "gtcrn_proxy_handshakes") <= 5
                context = ssl.create_default_context(cafile=cert)
                async with (
                    aiohttp.ClientSession() as session,
                    session.get(f"{proxy.address}/v1/models", ssl=context) as response,
                ):
                    assert await response.text() == "whole"

    run(test())


def test_a_request_in_progress_is_not_dropped():
    async def test():
        go_on = asyncio.Event()

        async def answer():
            await go_on.wait()
            return WHOLE

        async with behind(answer, max_handshakes=5, max_handshakes_per_address=5, admin_port=0) as proxy:
            first = asyncio.create_task(post(proxy, wave(100)))
            while not await metric(proxy, "gtcrn_proxy_streams_total"):
                await asyncio.sleep(0.01)
            with connections(proxy, 30):
                while await metric(proxy, "gtcrn_proxy_handshakes_dropped_total") < 25:
                    await asyncio.sleep(0.01)
                go_on.set()
                return await first

    assert run(test()) == (200, "whole")


def test_a_connection_without_a_request_ends():
    async def test():
        async with behind(WHOLE, idle_seconds=0.3) as proxy:
            with connections(proxy, 1) as (one,):
                one.settimeout(PATIENCE_S)
                return await asyncio.to_thread(one.recv, 100)

    assert run(test()) == b""


def test_a_realtime_connection_too_many_is_refused_before_it_is_one():
    async def test():
        go_on = asyncio.Event()

        async def answer():
            await go_on.wait()
            return WHOLE

        async with behind(answer, max_connections=1) as proxy, aiohttp.ClientSession() as session:
            first = asyncio.create_task(post(proxy, wave(100)))
            while not await metric(proxy, "gtcrn_proxy_streams_total"):
                await asyncio.sleep(0.01)
            with pytest.raises(aiohttp.WSServerHandshakeError) as error:
                await session.ws_connect(f"{proxy.address}/v1/realtime")
            go_on.set()
            await first
            return error.value.status, await metric(proxy, 'gtcrn_proxy_errors_total{kind="too_many"}')

    assert run(test()) == (503, 1)
