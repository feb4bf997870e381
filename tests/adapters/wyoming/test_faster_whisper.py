"""The proxy between Wyoming's client and the real service wyoming-faster-whisper, with Whisper tiny.en."""

import asyncio
import contextlib
import os
import re
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncClient
from wyoming.info import Describe, Info

from gtcrn_frontend import EnhancerConfig
from gtcrn_frontend.adapters.wyoming import WyomingProxy, WyomingSettings

pytestmark = pytest.mark.hosts

PATIENCE_S = 120


@pytest.fixture(scope="module")
def service(whisper_model, tmp_path_factory):
    """The address of the service."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    uri = f"tcp://127.0.0.1:{port}"
    process = subprocess.Popen(
        [
            sys.executable, "-m", "wyoming_faster_whisper", "--uri", uri, "--model", str(whisper_model),
            "--data-dir", str(tmp_path_factory.mktemp("data")), "--local-files-only", "--language", "en",
            "--cpu-threads", "1", "--beam-size", "1", "--stt-library", "faster-whisper",
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            break
        assert process.poll() is None, "it has ended"
        assert time.monotonic() < deadline, "it does not listen"
        time.sleep(0.1)
    yield uri
    process.terminate()
    process.wait()


async def transcript(uri, path):
    samples, rate = soundfile.read(path, dtype="int16")
    async with AsyncClient.from_uri(uri) as client:
        await client.write_event(Transcribe(language="en").event())
        await client.write_event(AudioStart(rate, 2, 1).event())
        for piece in np.split(samples, range(1024, len(samples), 1024)):
            await client.write_event(AudioChunk(rate, 2, 1, piece.tobytes()).event())
        await client.write_event(AudioStop().event())
        return Transcript.from_event(await client.read_event()).text


def test_the_service_hears_the_same_through_a_proxy_at_strength_0(service, sentences):
    async def test():
        settings = WyomingSettings(upstream=service, port=0, enhancer=EnhancerConfig(strength=0))
        async with WyomingProxy(settings) as proxy:
            for path, _ in sentences:
                text = await transcript(proxy.address, path)
                assert text == await transcript(service, path)
                assert text.split()
            async with AsyncClient.from_uri(proxy.address) as client:
                await client.write_event(Describe().event())
                return Info.from_event(await client.read_event())

    info = asyncio.run(asyncio.wait_for(test(), PATIENCE_S))
    assert info.asr[0].name == "faster-whisper"
    assert not info.asr[0].prefers_noise_reduction_enabled


def test_clean_speech_is_still_understood_when_enhanced(service, sentences):
    async def test():
        async with WyomingProxy(WyomingSettings(upstream=service, port=0)) as proxy:
            return [(await transcript(proxy.address, path), text) for path, text in sentences]

    found = asyncio.run(asyncio.wait_for(test(), PATIENCE_S))
    words = [(set(re.findall("[a-z]+", heard.lower())), set(said.lower().split())) for heard, said in found]
    assert sum(len(heard & said) for heard, said in words) > 0.7 * sum(len(said) for _, said in words)
