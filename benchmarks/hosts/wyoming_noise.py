"""Does the Wyoming proxy help? Word errors of wyoming-faster-whisper in noise, without and with the proxy before it.

    python benchmarks/hosts/wyoming_noise.py --speech LibriSpeech --whisper models/tiny.en

Needs the extras `[hosts-test,test]` and the reference data in `../shared/audio`. The service runs as it is, with beam
size 1 and English as the language, and Wyoming's own client talks to it in chunks of 64 ms, straight or through the
proxy. Speakers and noise are held out from the training of the default model; the noise begins half a second before the
speech and ends half a second after it. Rates have 95 % intervals of the bootstrap over utterances; `-` marks
significantly fewer errors with the proxy, `!` significantly more.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncClient

from gtcrn_frontend import EnhancerConfig
from gtcrn_frontend.adapters.wyoming import WyomingProxy, WyomingSettings
from gtcrn_frontend.audio.levels import noise_gain
from gtcrn_frontend.evaluation.asr.normalise import Normalisation
from gtcrn_frontend.evaluation.asr.wer import ErrorCounts, count_errors, error_rate, rate_difference
from gtcrn_frontend.evaluation.environment import environment
from gtcrn_frontend.evaluation.report.tables import Value, markdown_table

sys.path.append(str(Path(__file__).resolve().parents[1] / "recognizers"))
from corpora import ROOT, SAMPLE_RATE, Clip, Noises, noises, read_sentences

LONGEST_S = 10.0
AROUND_S = 0.5
CHUNK = 1024
PATIENCE_S = 120.0

F32 = npt.NDArray[np.float32]


@contextlib.contextmanager
def service(whisper: str, threads: int) -> Iterator[str]:
    """Runs wyoming-faster-whisper; yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    uri = f"tcp://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-P", "-m", "wyoming_faster_whisper", "--uri", uri, "--model", whisper]
        command += ["--data-dir", folder, "--local-files-only", "--stt-library", "faster-whisper"]
        command += ["--language", "en", "--beam-size", "1", "--cpu-threads", str(threads)]
        environ = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        process = subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL)
        try:
            end_s = time.monotonic() + PATIENCE_S
            while time.monotonic() < end_s and process.poll() is None:
                with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.1)
            yield uri
        finally:
            process.terminate()
            process.wait()


async def transcript(uri: str, samples: F32) -> str:
    pcm = np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2")
    async with AsyncClient.from_uri(uri) as client:
        await client.write_event(Transcribe(language="en").event())
        await client.write_event(AudioStart(SAMPLE_RATE, 2, 1).event())
        for start in range(0, len(pcm), CHUNK):
            await client.write_event(AudioChunk(SAMPLE_RATE, 2, 1, pcm[start : start + CHUNK].tobytes()).event())
        await client.write_event(AudioStop().event())
        while (event := await client.read_event()) is not None:
            if Transcript.is_type(event.type):
                return Transcript.from_event(event).text
    raise ConnectionError("expected a transcript, got the end of the connection")


async def heard(uri: str, samples: F32, config: EnhancerConfig | None) -> str:
    if config is None:
        return await transcript(uri, samples)
    async with WyomingProxy(WyomingSettings(upstream=uri, port=0, enhancer=config, on_error="raise")) as proxy:
        return await transcript(proxy.address, samples)


def in_noise(clip: Clip, noise: Noises, kind: str, snr_db: float) -> F32:
    """The utterance in noise that begins before it and goes on after it."""
    around = round(AROUND_S * SAMPLE_RATE)
    rng = np.random.default_rng(zlib.crc32(f"{clip.name} {snr_db:g}".encode()))
    drawn = noise.draw(kind, rng, len(clip.samples) + 2 * around)
    gain = noise_gain(clip.samples, drawn[around:-around], snr_db, SAMPLE_RATE)
    mixture = np.pad(clip.samples, around) + np.float32(gain) * drawn
    return np.asarray(mixture / max(1.0, np.abs(mixture).max() / 0.99), np.float32)


def word_errors(
    uri: str, clips: Sequence[Clip], noise: Noises, snr_db: float, configs: dict[str, EnhancerConfig | None]
) -> dict[str, Value]:
    """Returns a row: word errors per 100 words for each setting, and the change by it."""
    normalise = Normalisation.from_text("english")
    counts: dict[str, list[ErrorCounts]] = {name: [] for name in configs}
    for number, clip in enumerate(tqdm(clips, desc=f"{snr_db:g} dB", unit="utterance")):
        samples = in_noise(clip, noise, Noises.KINDS[number % len(Noises.KINDS)], snr_db)
        for name, config in configs.items():
            text = asyncio.run(heard(uri, samples, config))
            counts[name].append(count_errors(normalise(clip.text), normalise(text)).capped())
    row: dict[str, Value] = {"SNR": f"{snr_db:g} dB"}
    before = next(iter(counts.values()))
    for name, config in configs.items():
        row[name] = error_rate(counts[name]).percent
        if config is not None:
            change = rate_difference(before, counts[name])
            row[f"{name}: change"] = f"{change.points_interval}{change.mark}"
    return row


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, nargs="*", default=[], help="folders in LibriSpeech's layout")
    parser.add_argument("--audio", type=Path, default=ROOT.parent / "shared" / "audio", help="with manifest.json")
    parser.add_argument("--whisper", required=True, help="folder of a faster-whisper model")
    parser.add_argument("--utterances", type=int, default=40, help="(default: %(default)s)")
    parser.add_argument("--snr", type=float, nargs="+", default=[5.0, 0.0], help="in dB (default: 5 0)")
    parser.add_argument("--strength", type=float, nargs="+", default=[EnhancerConfig().effective_strength])
    parser.add_argument("--threads", type=int, default=1, help="of Whisper (default: %(default)s)")
    args = parser.parse_args(arguments)

    noise = noises(args.audio, held_out=True)
    clips = read_sentences(args.audio, tuple(args.speech), held_out=True)
    short = [clip for clip in clips if len(clip.samples) <= LONGEST_S * SAMPLE_RATE]
    order = np.random.default_rng(0).permutation(len(short))[: args.utterances]
    chosen = [short[number] for number in order]
    configs: dict[str, EnhancerConfig | None] = {"no proxy": None}
    configs |= {f"proxy, strength {each:g}": EnhancerConfig(strength=each) for each in args.strength}
    print(f"{environment()}\n{len(chosen)} utterances, {len({clip.speaker for clip in chosen})} speakers")
    with service(args.whisper, args.threads) as uri:
        rows = [word_errors(uri, chosen, noise, snr_db, configs) for snr_db in args.snr]
    print(f"\nWord errors per 100 words\n\n{markdown_table(rows, {})}")


if __name__ == "__main__":
    main()
