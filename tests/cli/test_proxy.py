"""The command `proxy` as operators run it: a process that serves, drains on SIGTERM, and says what is wrong at once."""

import argparse
import asyncio
import re
import resource
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from gtcrn_frontend.cli import main, proxy
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.install_hint import install_hint

PATIENCE_S = 60
SOFT_AND_HARD = resource.getrlimit(resource.RLIMIT_NOFILE)
NOISE = np.random.default_rng(0).normal(0, 0.1, 16_000).astype("<f4")


class Process:
    """The command, listening on a free port."""

    def __init__(self, *arguments):
        command = [sys.executable, "-m", main.__name__, "proxy", "--listen", "127.0.0.1:0", *map(str, arguments)]
        self.popen = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.line = self.popen.stdout.readline()
        self.address = self.line.split()[2] if self.line else None

    def health(self, path="healthz"):
        try:
            with urllib.request.urlopen(
                self.address.replace("ws", "http", 1) + f"/{path}", timeout=PATIENCE_S
            ) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.popen.kill()
        self.popen.communicate()


class CountingServer:
    """An upstream that answers `Done` with the number of samples that it has got."""

    async def __aenter__(self):
        self._server = await serve(self._count, "127.0.0.1", 0, compression=None)
        self.address = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *error):
        self._server.close()
        await self._server.wait_closed()

    async def _count(self, client):
        samples = 0
        async for message in client:
            if message == "Done":
                await client.send(str(samples))
                await client.send("Done!")
            else:
                samples += len(message) // 4
                await client.send(str(samples))


def run(test):
    return asyncio.run(asyncio.wait_for(test, PATIENCE_S))


async def started(upstream, *arguments):
    return await asyncio.to_thread(Process, "--upstream", upstream.address, *arguments)


async def health_becomes(process, status):
    while await asyncio.to_thread(process.health) != status:
        await asyncio.sleep(0.02)


def test_sigterm_finishes_what_is_in_flight():
    async def test():
        async with CountingServer() as upstream:
            with await started(upstream, "--drain-seconds", PATIENCE_S, "--strength", 0.5) as process:
                assert process.line == f"listening on {process.address} for {upstream.address} (online)\n"
                async with connect(process.address) as client:
                    await client.send(NOISE[:8000].tobytes())
                    await client.recv()
                    process.popen.send_signal(signal.SIGTERM)
                    await health_becomes(process, 503)
                    await client.send(NOISE[8000:].tobytes())
                    await client.send("Done")
                    messages = [message async for message in client]
                    assert messages[-2:] == ["16000", "Done!"]
                output, log = await asyncio.to_thread(process.popen.communicate)
                assert (process.popen.returncode, output) == (0, "")
                assert "INFO draining 1 connections" in log
                assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ ", line) for line in log.splitlines())

    run(test())


def test_silent_connections_at_the_limit_of_files_keep_nobody_out():
    """The process may open 300 files, and 600 connections say nothing."""

    async def test():
        limits = ["--max-connections", 40, "--max-handshakes", 60]
        async with CountingServer() as upstream:
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
            try:
                process = await started(upstream, *limits)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, SOFT_AND_HARD)
            with process:
                host, port = process.address.removeprefix("ws://").split(":")
                silent = [socket.create_connection((host, int(port))) for _ in range(600)]
                async with connect(process.address) as client:
                    await client.send(NOISE.tobytes())
                    await client.send("Done")
                    while (message := await client.recv()) != "Done!":
                        counted = message
                for each in silent:
                    each.close()
                assert counted == "16000"
                process.popen.send_signal(signal.SIGTERM)
                _, log = await asyncio.to_thread(process.popen.communicate)
                assert len(log.splitlines()) < 60
                assert "Traceback" not in log

    run(test())


def test_the_admin_port_is_told():
    async def test():
        async with CountingServer() as upstream:
            with await started(upstream, "--admin", "127.0.0.1:0") as process:
                words = process.popen.stdout.readline().split()
                assert words[:3] == ["admin", "port", "on"]
                for path, status in (("readyz", 200), ("other", 404)):
                    process.address = words[3]
                    assert await asyncio.to_thread(process.health, path) == status

    run(test())


@pytest.mark.parametrize("arguments, signals", [(["--drain-seconds", 0.1], 1), (["--drain-seconds", PATIENCE_S], 2)])
def test_the_time_for_it_is_limited_and_a_second_signal_ends_it(arguments, signals):
    async def test():
        async with CountingServer() as upstream:
            with await started(upstream, *arguments) as process:
                async with connect(process.address) as client:
                    await client.send(NOISE.tobytes())
                    await client.recv()
                    process.popen.send_signal(signal.SIGTERM)
                    if signals == 2:
                        await health_becomes(process, 503)
                        process.popen.send_signal(signal.SIGINT)
                    with pytest.raises(ConnectionClosed):
                        while True:
                            await client.recv()
                    assert (client.close_code, client.close_reason) == (1001, "the proxy is shutting down: time is up")
                await asyncio.to_thread(process.popen.communicate)
                assert process.popen.returncode == 0

    run(test())


def command(*arguments):
    parser = argparse.ArgumentParser()
    proxy.add_parser(parser.add_subparsers())
    args = parser.parse_args(["proxy", *map(str, arguments)])
    return args.run(args)


WRONG = {
    "listen": (["--listen", "6005"], "expected HOST:PORT"),
    "listen without host": (["--listen", ":6005"], "expected HOST:PORT"),
    "listen on no port": (["--listen", "localhost:x"], "expected HOST:PORT"),
    "upstream": (["--upstream", "http://127.0.0.1"], "upstream: expected an address such as ws://"),
    "connections": (["--max-connections", 0], "max_connections: expected a whole number of at least 1"),
    "message": (["--max-message-bytes", -1], "max_message_bytes: expected a whole number of at least 1"),
    "idle": (["--idle-seconds", 0], "idle_seconds: expected a number above 0"),
    "drain": (["--drain-seconds", -1], "drain_seconds: expected a number of at least 0"),
    "connect": (["--connect-seconds", "nan"], "connect_seconds: expected"),
    "strength": (["--strength", 2], "strength: expected auto, or a number from 0 to 1"),
    "settings": (["--config", "absent.yaml"], "absent.yaml: expected a YAML file of settings"),
    "offline rate": (["--protocol", "offline", "--sample-rate", 48_000], "each utterance names its own"),
    "descriptors": (["--max-connections", 1 << 40], "max_connections: expected 3298534883424 file descriptors"),
    "origin": (["--allow-origin", "example.org"], "allow_origin: expected an origin such as https://example.org"),
    "no token": (["--token-file", "absent"], "token_file: cannot read absent"),
    "admin": (["--admin", "9090"], "expected HOST:PORT"),
    "stream": (["--max-stream-seconds", 0], "max_stream_seconds: expected"),
    "handshake": (["--handshake-seconds", 0], "handshake_seconds: expected a number above 0 s"),
    "key alone": (["--tls-key", "key.pem"], "tls_key: expected tls_cert"),
    "no certificate": (["--tls-cert", "absent.pem"], "expected a certificate and its key as PEM in absent.pem"),
    "authorities without TLS": (["--upstream-ca", "ca.pem"], "expected an upstream with wss://"),
    "no authorities": (["--upstream", "wss://a.b", "--upstream-ca", "absent.pem"], "as PEM in absent.pem"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_settings_are_told_before_it_listens(name):
    arguments, part = WRONG[name]
    with pytest.raises(ConfigError) as error:
        command("--upstream", "ws://127.0.0.1:1", *arguments)
    assert part in str(error.value)


def test_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(OSError, match="address already in use"):
            command("--listen", address, "--upstream", "ws://127.0.0.1:1")


@pytest.mark.parametrize(
    ("package", "extra", "arguments"),
    [
        ("websockets", "proxy", ["proxy", "--upstream", "ws://127.0.0.1:1"]),
        ("prometheus_client", "proxy", ["proxy", "--upstream", "ws://127.0.0.1:1"]),
        ("aiohttp", "openai", ["proxy", "--protocol", "openai", "--upstream", "http://127.0.0.1:1"]),
        ("websockets", "proxy", ["audiosocket", "--upstream", "tcp://127.0.0.1:1"]),
        ("wyoming", "wyoming", ["wyoming", "--upstream", "tcp://127.0.0.1:1"]),
        ("websockets", "wyoming", ["wyoming", "--upstream", "tcp://127.0.0.1:1"]),
    ],
)
def test_an_absent_package_is_named_with_its_extra(package, extra, arguments):
    # In a process of its own: modules that are imported twice here would leave other tests with the older ones.
    program = f"import sys; sys.modules['{package}'] = None; from gtcrn_frontend.cli.main import main"
    program += f"; sys.exit(main({arguments}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"needs {package}: {install_hint(extra)}" in done.stderr
