"""What protects the proxy: limits on handshakes, files and clients, origins, tokens, the admin port, and the log."""

import asyncio
import contextlib
import json
import logging
import re
import resource
import socket
import ssl
import urllib.error
import urllib.request

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gtcrn_frontend.adapters.servers import Proxy, ProxySettings, relay
from gtcrn_frontend.adapters.servers.access import check_descriptors, descriptors_needed
from gtcrn_frontend.adapters.servers.limits import ByteRate
from gtcrn_frontend.adapters.servers.log_limits import RepeatLimit
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.errors import ConfigError

PATIENCE_S = 60
POLICY = 1008
SECOND = np.zeros(16_000, "<f4")


def run(test):
    """Runs a coroutine; a hang is a failure."""
    return asyncio.run(asyncio.wait_for(test, PATIENCE_S))


@contextlib.asynccontextmanager
async def proxied(**settings):
    """A proxy on a free port, in front of an upstream that counts samples."""

    async def count(client):
        samples = 0
        with contextlib.suppress(ConnectionClosed):
            async for message in client:
                samples += len(message) // 4 if isinstance(message, bytes) else 0
                await client.send("Done!" if message == "Done" else json.dumps(samples))

    async with serve(count, "127.0.0.1", 0, compression=None) as upstream:
        address = f"ws://127.0.0.1:{upstream.sockets[0].getsockname()[1]}"
        settings = {"port": 0, "enhancer": EnhancerConfig(strength=0), "drain_seconds": 0, **settings}
        async with Proxy(ProxySettings(upstream=address, **settings)) as proxy:
            yield proxy


def connected(proxy, path="", **options):
    return connect(proxy.address + path, compression=None, ping_interval=None, **options)


async def transcribed(proxy, path="", **options):
    """The number of samples that come back for a second of audio."""
    async with connected(proxy, path, **options) as client:
        await client.send(SECOND.tobytes())
        await client.send("Done")
        answers = [message async for message in iter_until_done(client)]
    return int(answers[-1])


async def iter_until_done(client):
    while (message := await client.recv()) != "Done!":
        yield message


async def close_of(client):
    try:
        while True:
            await client.recv()
    except ConnectionClosed as closed:
        return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")


async def get(url, **headers):
    def fetch():
        request = urllib.request.Request(url, headers={name.title(): value for name, value in headers.items()})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    return await asyncio.to_thread(fetch)


async def metric(proxy, name):
    _, text = await get(f"{proxy.admin_address}/metrics")
    return float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)[1])


async def refusal(proxy, path="", **options):
    with pytest.raises(InvalidStatus) as refused:
        await connected(proxy, path, **options)
    return refused.value.response.status_code


@contextlib.contextmanager
def silent_connections(proxy, count):
    """Connections that never say anything."""
    host, port = proxy.address.partition("://")[2].split(":")
    sockets = [socket.create_connection((host, int(port))) for _ in range(count)]
    try:
        yield sockets
    finally:
        for each in sockets:
            each.close()


# Handshakes and files


@pytest.mark.parametrize(
    "limits, left",
    [({"max_handshakes": 20, "max_handshakes_per_address": 5}, 5), ({"max_handshakes": 8}, 4), ({}, 100)],
)
def test_silent_connections_keep_nobody_out(limits, left, caplog):
    caplog.set_level(logging.INFO)

    async def test():
        async with proxied(max_connections=200, **limits) as proxy:
            with silent_connections(proxy, 150):
                while await metric(proxy, "gtcrn_proxy_handshakes_dropped_total") < 150 - left:
                    await asyncio.sleep(0.02)
                assert await transcribed(proxy) == 16_000
                assert await metric(proxy, "gtcrn_proxy_handshakes") <= left

    run(test())
    assert len(caplog.records) < 60
    assert not any(record.exc_info for record in caplog.records)


def test_a_handshake_has_a_time_limit():
    async def test():
        async with proxied(handshake_seconds=0.2) as proxy:
            with silent_connections(proxy, 3) as sockets:
                for each in sockets:
                    each.settimeout(PATIENCE_S)
                    with contextlib.suppress(ConnectionError):
                        while await asyncio.to_thread(each.recv, 4096):
                            pass
                while await metric(proxy, "gtcrn_proxy_handshakes") > 1:  # the request that asks is one
                    await asyncio.sleep(0.02)

    run(test())


@pytest.mark.parametrize("kind", ["silent", "garbage", "tls"])
def test_with_tls_connections_count_from_the_first_moment(certificate, kind, caplog):
    """Those that say nothing, those that say something else than TLS, and those that say nothing behind TLS."""
    caplog.set_level(logging.INFO)
    cert, key = certificate
    trusting = ssl.create_default_context(cafile=cert)
    limits = {"max_connections": 200, "max_handshakes": 20, "max_handshakes_per_address": 5, "admin_port": 0}

    def speak(each):
        if kind == "garbage":
            each.sendall(b"GET / HTTP/1.1\r\n\r\n")
        elif kind == "tls":
            opened.enter_context(trusting.wrap_socket(each, server_hostname="127.0.0.1"))

    async def test():
        async with proxied(tls_cert=cert, tls_key=key, **limits) as proxy:
            for _ in range(60 if kind == "tls" else 1):  # one after the other: each completes its TLS handshake
                sockets = opened.enter_context(silent_connections(proxy, 1 if kind == "tls" else 60))
                for each in sockets:
                    with contextlib.suppress(ConnectionError):
                        await asyncio.to_thread(speak, each)
            if kind != "garbage":
                while await metric(proxy, "gtcrn_proxy_handshakes_dropped_total") < 55:
                    await asyncio.sleep(0.02)
            assert await transcribed(proxy, ssl=trusting) == 16_000
            assert await metric(proxy, "gtcrn_proxy_handshakes") <= 5 + 1
        assert not len(proxy._handshakes)

    with contextlib.ExitStack() as opened:
        run(test())
    assert len(caplog.records) < 60
    assert not any(record.exc_info for record in caplog.records)


def test_a_tls_handshake_has_a_time_limit(certificate):
    cert, key = certificate

    async def test():
        async with proxied(tls_cert=cert, tls_key=key, handshake_seconds=0.2, admin_port=0) as proxy:
            with silent_connections(proxy, 3) as sockets:
                for each in sockets:
                    each.settimeout(PATIENCE_S)
                    with contextlib.suppress(ConnectionError):
                        assert await asyncio.to_thread(each.recv, 4096) == b""
                while len(proxy._handshakes):
                    await asyncio.sleep(0.02)

    run(test())


def test_clients_that_are_turned_away_hold_few_sockets(monkeypatch):
    """A flood of clients that complete their handshake, are one too many, and do not close."""
    monkeypatch.setattr(relay, "MAX_FAREWELLS", 3)
    handshake = (
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )

    async def test():
        async with proxied(max_connections=1, admin_port=0) as proxy, connected(proxy) as client:
            host, port = proxy.address.partition("://")[2].split(":")
            writers, told = [], 0
            for _ in range(20):
                reader, writer = await asyncio.open_connection(host, int(port))
                writers.append(writer)
                writer.write(handshake)
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                    await reader.readuntil(b"\r\n\r\n")
                    told += (await reader.readexactly(1))[0] == 0x88  # a close frame
            assert told < 20
            assert await metric(proxy, "gtcrn_proxy_turned_away") <= 3
            assert await metric(proxy, 'gtcrn_proxy_errors_total{kind="too_many"}') == 20
            await client.send("Done")
            assert await client.recv() == "Done!", "the one that is there is not disturbed"
            for writer in writers:
                writer.transport.abort()
            while await metric(proxy, "gtcrn_proxy_turned_away"):
                await asyncio.sleep(0.02)
            assert (await close_of(await connected(proxy)))[0] == 1013, "told again"

    run(test())


def test_file_descriptors_are_checked_before_listening():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = descriptors_needed(10_000, 5)
    assert needed == 20_005 + 96
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, hard))
    try:
        with pytest.raises(
            ConfigError, match=r"max_connections: expected 20101 file descriptors .* got a limit of 1000"
        ):
            Proxy(ProxySettings(upstream="ws://127.0.0.1:1", max_connections=10_000, max_handshakes=5))
        if hard < 0 or hard >= 1100:
            check_descriptors(1100, raise_limit=True)
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 1100
        if hard > 0:
            with pytest.raises(ConfigError, match="raise it"):
                check_descriptors(hard + 1, raise_limit=True)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# Who may connect


@pytest.mark.parametrize("path", ["//[", "http://[", "//[::1/?strength=0.5", "/?strength=%ff", "//a]b"])
def test_malformed_urls_are_the_clients_fault(path, caplog):
    async def test():
        async with proxied() as proxy:
            host, port = proxy.address.partition("://")[2].split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            assert (await reader.readline()).split()[1] == b"400"
            writer.close()
            assert await transcribed(proxy) == 16_000

    run(test())
    assert not any(record.exc_info or record.levelno >= logging.ERROR for record in caplog.records)


def test_web_pages_need_to_be_allowed():
    async def test():
        own, other = "https://example.org", "https://evil.example"
        async with proxied() as proxy:
            assert await refusal(proxy, origin=own) == 403
            assert await transcribed(proxy) == 16_000
        async with proxied(allow_origin=[own, "http://localhost:8000"]) as proxy:
            assert await transcribed(proxy, origin=own) == 16_000
            assert await transcribed(proxy, origin="http://localhost:8000") == 16_000
            for wrong in (other, "http://example.org", "https://example.org:444", "null"):
                assert await refusal(proxy, origin=wrong) == 403
        async with proxied(allow_origin=["*"]) as proxy:
            assert await transcribed(proxy, origin=other) == 16_000

    run(test())


def test_a_token_is_asked_of_everyone(tmp_path):
    file = tmp_path / "token"
    file.write_text("s3cret\n")

    async def test():
        async with proxied(token_file=file) as proxy:
            assert await transcribed(proxy, additional_headers={"Authorization": "Bearer s3cret"}) == 16_000
            assert await transcribed(proxy, "/?token=s3cret&strength=0.5") == 16_000
            for path in ("", "/?token=", "/?token=s3cre", "/?token=s3cret2", "/?token=%ff"):
                assert await refusal(proxy, path) == 401
            for header in ("Basic s3cret", "Bearer s3cr\xe9t"):
                assert await refusal(proxy, additional_headers={"Authorization": header}) == 401
            url = proxy.admin_address
            assert (await get(f"{url}/metrics"))[0] == 401
            assert (await get(f"{url}/metrics", authorization="Bearer s3cret"))[0] == 200
            assert (await get(f"{url}/healthz"))[0] == (await get(f"{url}/readyz"))[0] == 200

    run(test())


@pytest.mark.parametrize("content", ["", " \n", "two words\n", "a\nb\n", "\xe4"])
def test_a_token_file_without_a_token_is_refused(content, tmp_path):
    file = tmp_path / "token"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match="token_file: expected one line of ASCII"):
        run(_enter(ProxySettings(upstream="ws://127.0.0.1:1", token_file=file)))
    with pytest.raises(ConfigError, match="token_file: cannot read"):
        run(_enter(ProxySettings(upstream="ws://127.0.0.1:1", token_file=tmp_path / "absent")))


async def _enter(settings):
    Proxy(settings)


@pytest.mark.parametrize("origin", ["example.org", "https://example.org/", "https://", "https://a@b", "http://["])
def test_what_is_no_origin_is_refused(origin):
    with pytest.raises(ConfigError, match="allow_origin: expected an origin such as"):
        ProxySettings(upstream="ws://127.0.0.1:1", allow_origin=[origin])


# Operation


def test_the_admin_port_takes_the_endpoints_from_the_clients_port():
    async def test():
        async with proxied(admin_port=0) as proxy:
            assert proxy.admin_address != proxy.address.replace("ws", "http")
            for path in ("/healthz", "/readyz", "/metrics"):
                assert (await get(proxy.admin_address + path))[0] == 200
                assert (await get(proxy.address.replace("ws", "http") + path))[0] == 404
            assert (await get(proxy.admin_address + "/other"))[0] == 404
            with pytest.raises(InvalidStatus):
                await connect(proxy.admin_address.replace("http", "ws"))
            assert await transcribed(proxy) == 16_000
            assert await metric(proxy, "gtcrn_proxy_streams_total") == 1

    run(test())


def test_readiness_includes_the_upstream(monkeypatch):
    from gtcrn_frontend.adapters.servers import endpoints

    monkeypatch.setattr(endpoints, "READY_CACHE_S", 0.0)

    async def test():
        arrived = []

        async def count(client):
            arrived.append(client)
            await client.wait_closed()

        upstream = await serve(count, "127.0.0.1", 0)
        port = upstream.sockets[0].getsockname()[1]
        settings = ProxySettings(upstream=f"ws://127.0.0.1:{port}", port=0, connect_seconds=0.5)
        async with Proxy(settings) as proxy:
            ready = f"{proxy.admin_address}/readyz"
            assert await get(ready) == (200, "ok\n")
            assert len(arrived) == 1
            upstream.close()
            await upstream.wait_closed()
            assert await get(ready) == (503, "the recogniser behind the proxy is not reachable\n")
            with socket.create_server(("127.0.0.1", port)):  # accepts, and never answers
                assert (await get(ready))[0] == 503
            assert (await get(f"{proxy.admin_address}/healthz"))[0] == 200
            async with serve(count, "127.0.0.1", port):
                assert (await get(ready))[0] == 200
            monkeypatch.setattr(endpoints, "READY_CACHE_S", PATIENCE_S)
            async with serve(count, "127.0.0.1", port):
                before = len(arrived)
                assert {status for status, _ in await asyncio.gather(*(get(ready) for _ in range(8)))} == {200}
                assert len(arrived) == before + 1, "asked once for all"

    run(test())


def test_lines_of_the_log_name_their_connection(caplog):
    caplog.set_level(logging.DEBUG, "gtcrn_frontend")

    async def test():
        async with proxied() as proxy:
            await transcribed(proxy)
            async with connected(proxy) as client:
                await client.send("nonsense")
                await close_of(client)

    run(test())
    lines = [record.getMessage() for record in caplog.records if "server" in record.name]
    assert any(re.match(r"connection 1 from 127\.0\.0\.1:\d+: closed after", line) for line in lines)
    assert any(re.match(r"connection 2 from 127\.0\.0\.1:\d+: bad_message after", line) for line in lines)


# What a client sends


def test_an_utterance_has_a_length_limit():
    async def test():
        async with proxied(max_stream_seconds=2.5) as proxy, connected(proxy) as client:
            for counted in ("32000", "64000"):  # the limit is of an utterance, not of a connection
                await client.send(np.zeros(32_000, "<f4").tobytes())
                await client.send("Done")
                assert [message async for message in iter_until_done(client)][-1] == counted
            for _ in range(3):
                await client.send(SECOND.tobytes())
            assert await close_of(client) == (POLICY, "expected at most 2.5 s of audio in an utterance, got more")
            assert await metric(proxy, 'gtcrn_proxy_errors_total{kind="too_long"}') == 1

    run(test())


def test_empty_messages_do_not_hold_a_place():
    async def test():
        async with proxied(idle_seconds=0.3) as proxy, connected(proxy) as client:

            async def send_nothing():
                while True:
                    await client.send(b"")
                    await asyncio.sleep(0.05)

            sending = asyncio.create_task(send_nothing())
            assert await close_of(client) == (POLICY, "no traffic for 0.3 s")
            sending.cancel()

    run(test())


def test_a_fast_client_is_read_at_its_rate_and_loses_nothing():
    async def test():
        limits = {"max_bytes_per_second": 1 << 20, "max_message_bytes": 1 << 17, "idle_seconds": 1}
        async with proxied(**limits) as proxy, connected(proxy) as client:
            began = asyncio.get_running_loop().time()
            for _ in range(24):  # 3 MB, where a second's worth may be ahead
                await client.send(bytes(1 << 17))
            await client.send("Done")
            answers = [message async for message in iter_until_done(client)]
            assert answers[-1] == str(24 << 15)
            assert asyncio.get_running_loop().time() - began > 1.5, "a wait, not a speed"

    run(test())


def test_the_wait_of_a_rate():
    rate = ByteRate(1000)
    assert rate.wait_s(1000, 0.0) == 0
    assert rate.wait_s(500, 0.0) == pytest.approx(0.5)
    assert rate.wait_s(500, 10.0) == 0, "what was not used is lost"
    assert rate.wait_s(1500, 10.0) == pytest.approx(1.0)
    assert ByteRate(None).wait_s(1 << 40, 0.0) == 0


def test_a_rate_that_would_make_messages_look_idle_is_refused():
    with pytest.raises(ConfigError, match="max_bytes_per_second: expected at least 17476"):
        ProxySettings(upstream="ws://127.0.0.1:1", max_bytes_per_second=1000)


# The log


def test_repeated_lines_are_limited_and_counted():
    now, passed = [0.0], []
    logger = logging.getLogger("gtcrn_frontend.tests.repeated")
    logger.setLevel(logging.INFO)
    logger.addFilter(RepeatLimit(burst=2, period_s=10, clock=lambda: now[0]))
    logger.addHandler(handler := logging.Handler())
    handler.emit = lambda record: passed.append(record.getMessage())
    for number in range(100):
        logger.info("client %d is lost", number)
    logger.info("another")
    now[0] = 10.5
    logger.info("client %d is lost", 100)
    now[0] = 30
    logger.info("client %d is lost", 101)
    assert passed == [
        "client 0 is lost",
        "client 1 is lost",
        "another",
        "client 100 is lost [and 98 more like it in the last 10 s]",
        "client 101 is lost",
    ]
