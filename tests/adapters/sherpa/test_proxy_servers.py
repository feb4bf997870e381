"""The proxy in front of sherpa-onnx's real C++ servers, with its real C++ client and with clients in Python."""

import asyncio
import contextlib
import json
import os
import socket
import struct
import subprocess
import sysconfig
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gtcrn_frontend import Enhancer
from gtcrn_frontend.adapters.servers import Proxy, ProxySettings
from gtcrn_frontend.config import EnhancerConfig

EXAMPLE = Path(__file__).parents[3] / "examples/proxy.sh"
PROGRAMS = Path(sysconfig.get_path("scripts"))
MODEL_OPTION = {"online": "zipformer2-ctc-model", "offline": "zipformer-ctc-model"}
RATE = 16_000
PATIENCE_S = 60
SPOKEN = ["low", None, "high", None, "mid", None, "high", None]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Recogniser:
    """A C++ server on a port of its own, and where to reach it."""

    def __init__(self, protocol, models, folder):
        self.port = free_port()
        self.address = f"ws://127.0.0.1:{self.port}"
        self._command = [
            PROGRAMS / f"sherpa-onnx-{protocol}-websocket-server",
            f"--port={self.port}",
            f"--tokens={models / 'tokens.txt'}",
            f"--{MODEL_OPTION[protocol]}={models / f'{protocol}.onnx'}",
            "--feat-dim=40",
            "--num-work-threads=1",
            f"--log-file={folder / 'log.txt'}",
        ]
        self.start()

    def start(self):
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except ConnectionRefusedError:
                assert self._process.poll() is None, "it has ended"
                assert time.monotonic() < deadline, "it does not listen"
                time.sleep(0.02)
            else:
                return

    def kill(self):
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def recogniser(tiny, tmp_path_factory):
    """A function: protocol -> the server for it."""
    running = {}

    def start(protocol):
        if protocol not in running:
            running[protocol] = Recogniser(protocol, tiny, tmp_path_factory.mktemp(protocol))
        return running[protocol]

    yield start
    for server in running.values():
        server.kill()


def run(test):
    return asyncio.run(asyncio.wait_for(test, PATIENCE_S))


def behind(server, protocol="online", strength=0.0):
    settings = {"protocol": protocol, "enhancer": EnhancerConfig(strength=strength), "port": 0, "drain_seconds": 0}
    return Proxy(ProxySettings(upstream=server.address, **settings))


def gist(result):
    return result["text"], result["tokens"], result["timestamps"]


async def stream(address, samples, seed=0):
    """What the online server says last, and whether it said something before; messages are of random size."""
    rng = np.random.default_rng(seed)
    async with connect(address, compression=None) as client:

        async def listen():
            said = []
            while (message := await client.recv()) != "Done!":
                said.append(json.loads(message))
            return said

        listening = asyncio.create_task(listen())
        start = 0
        while start < len(samples):
            end = start + int(rng.integers(1, 4000))
            await client.send(samples[start:end].astype("<f4").tobytes())
            start = end
        await client.send("Done")
        *partial, final = await listening
    return gist(final), len(partial)


async def utterances(address, spoken):
    """What the offline server says of each (samples, rate), one after the other on one connection."""
    said = []
    async with connect(address, compression=None) as client:
        for samples, rate in spoken:
            data = struct.pack("<ii", rate, 4 * len(samples)) + samples.astype("<f4").tobytes()
            for start in range(0, len(data), 10_240):
                await client.send(data[start : start + 10_240])
            said.append(gist(json.loads(await client.recv())))
        await client.send("Done")
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd.code == 1000
    return said


def test_online_the_same_text_as_without_the_proxy(recogniser, tone):
    server, samples = recogniser("online"), tone(SPOKEN, RATE)

    async def test():
        straight, _ = await stream(server.address, samples)
        assert straight[0] == "low high mid high"
        async with behind(server) as proxy:
            both = await asyncio.gather(*(stream(proxy.address, samples, seed) for seed in range(4)))
        for final, partial in both:
            assert final == straight
            assert partial > 0

    run(test())


def test_online_the_text_of_the_enhanced_samples(recogniser, tone):
    server, samples = recogniser("online"), tone(SPOKEN, RATE) + np.random.default_rng(0).normal(0, 0.02, 51_200)
    samples = samples.astype(np.float32)

    async def test():
        straight, _ = await stream(server.address, Enhancer(strength=1.0).enhance(samples))
        untouched, _ = await stream(server.address, samples)
        async with behind(server, strength=1.0) as proxy:
            through, _ = await stream(proxy.address, samples)
        assert through == straight
        assert through != untouched

    run(test())


def test_offline_the_same_text_as_without_the_proxy(recogniser, tone):
    server = recogniser("offline")
    spoken = [(tone(SPOKEN, rate), rate) for rate in (16_000, 8_000, 48_000)] + [(tone(["mid"], RATE), RATE)]

    async def test():
        straight = await utterances(server.address, spoken)
        assert [text for text, *_ in straight][::3] == ["low high mid high", "mid"]
        async with behind(server, "offline") as proxy:
            assert await asyncio.gather(*(utterances(proxy.address, spoken) for _ in range(3))) == [straight] * 3

    run(test())


def test_the_real_client_gets_the_same_text(recogniser, tone, tmp_path):
    server = recogniser("online")
    soundfile.write(tmp_path / "tones.wav", tone(SPOKEN, RATE), RATE, subtype="PCM_16")

    async def client(port):
        options = [f"--server-port={port}", "--samples-per-message=1600", "--seconds-per-message=0.01"]
        process = await asyncio.create_subprocess_exec(
            PROGRAMS / "sherpa-onnx-online-websocket-client",
            *options,
            tmp_path / "tones.wav",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        results = [line[line.index("{") :] for line in output.decode().splitlines() if '{ "text"' in line]
        return gist(json.loads(results[-1]))

    async def test():
        async with behind(server) as proxy:
            through = await client(proxy.address.rsplit(":", 1)[1])
        assert through == await client(server.port)
        assert through[0] == "low high mid high"

    run(test())


def test_a_server_that_is_killed_and_started_again(recogniser, tone):
    server, samples = recogniser("online"), tone(SPOKEN, RATE).astype("<f4")

    async def test():
        async with behind(server) as proxy:
            async with connect(proxy.address) as client:
                await client.send(samples.tobytes())
                await client.recv()  # it is at work
                server.kill()
                with pytest.raises(ConnectionClosed) as closed:
                    while True:
                        await client.recv()
                assert closed.value.rcvd.code == 1014
            async with connect(proxy.address) as client:
                with contextlib.suppress(ConnectionClosed):
                    await client.recv()
                assert client.close_code == 1013
            server.start()
            (text, *_), _ = await stream(proxy.address, samples)
            assert text == "low high mid high"

    run(test())


def test_the_example_prints_the_text(tiny, tone, tmp_path):
    pause = [None] * 30  # it ends the utterance; what follows is another one, without words
    soundfile.write(tmp_path / "tones.wav", tone([*SPOKEN, *pause], RATE), RATE, subtype="PCM_16")
    environment = os.environ | {
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "SERVER_PORT": str(free_port()),
        "PROXY_PORT": str(free_port()),
    }
    command = [EXAMPLE, tiny, tmp_path / "tones.wav", "0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    assert first.startswith("listening on ws://127.0.0.1:")
    assert last == "low high mid high"
