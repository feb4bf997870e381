"""Fuzz targets: each reader of files gives a value or an error of this package, whatever the bytes.

`GTCRN_FUZZ_ROUNDS` sets the inputs of each reader (default 150), `GTCRN_FUZZ_SEED` where they begin:

    GTCRN_FUZZ_ROUNDS=100000 GTCRN_FUZZ_SEED=1 pytest tests/fuzz
"""

import hashlib
import io
import json
import os
import random
import wave
import zipfile

import av
import numpy as np
import pytest
import safetensors.numpy
import soundfile
import torch

from gtcrn_frontend import EnhancerConfig, GtcrnFrontendError, StreamState
from gtcrn_frontend.adapters.sherpa.config import PipelineConfig
from gtcrn_frontend.audio.io import open_audio, read_blocks
from gtcrn_frontend.errors import MAX_MESSAGE
from gtcrn_frontend.evaluation.manifest import load_manifest
from gtcrn_frontend.training.config_file import load_config
from gtcrn_frontend.training.data.audio_cache import open_audio_cache
from gtcrn_frontend.weights.checkpoint import read_architecture, read_checkpoint

ROUNDS = int(os.environ.get("GTCRN_FUZZ_ROUNDS", "150"))
SEED = int(os.environ.get("GTCRN_FUZZ_SEED", "0"))

TOKENS = [
    *(b"null", b"[" * 3000, b"9" * 5000, b"NaN", b"1e999", b"-1", b"2001-99-99", b"0b_", b"!!int ''", b"!!bool x"),
    *(b"&a [*a]", b"*a", b"{", b"}", b'"', b"\x00", b"\xff\xfe", b"\xff" * 4, b"\x00" * 8, b"~/x", b"__metadata__"),
]


def mutated(data, chance):
    """One to four changes: bytes, tokens, cuts and repetitions."""
    data = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(6):
            case 0 if data:
                data[at % len(data)] = chance.randrange(256)
            case 1 if data:
                data[at % len(data)] ^= 1 << chance.randrange(8)
            case 2:
                data[at:at] = chance.choice(TOKENS)
            case 3:
                del data[at : at + chance.randint(1, 16)]
            case 4:
                data[at : at + 4] = chance.choice([bytes(4), b"\xff" * 4, b"\xff\xff\xff\x7f"])
            case _:
                data[at:at] = data[at : at + chance.randint(1, 64)]
    return bytes(data)


def torch_zip():
    buffer = io.BytesIO()
    torch.save({"model": {"a.w": torch.ones(2, 3), "b": torch.zeros(2, dtype=torch.bfloat16)}, "step": 3}, buffer)
    return buffer.getvalue()


def pickle_of(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))


def with_pickle(data, pickled):
    """The archive with another pickle, and intact checksums."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, pickled if name.endswith("data.pkl") else old.read(name))
    return buffer.getvalue()


def audio(container, subtype):
    buffer = io.BytesIO()
    soundfile.write(buffer, np.linspace(-0.5, 0.5, 400), 16000, format=container, subtype=subtype)
    return buffer.getvalue()


def av_audio(container, codec):
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as file:
        stream = file.add_stream(codec, rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.arange(4000, dtype=np.int16)[np.newaxis], "s16", "mono")
        frame.rate = 48000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
    return buffer.getvalue()


def checkpoint(path, data):
    path.write_bytes(data)
    read_checkpoint(path)
    read_architecture(path)


def state(path, data):
    """The body is changed under a valid checksum."""
    StreamState.from_bytes(b"GTCRNSTATE\x01" + hashlib.sha256(data).digest() + data)


def settings(path, data):
    path.write_bytes(data)
    EnhancerConfig.from_yaml(path)


def manifest(path, data):
    path.write_bytes(data)
    load_manifest(path)


def pipeline(path, data):
    for name in ("t.txt", "m.onnx"):
        (path.parent / name).write_bytes(b"only has to be there")
    path.write_bytes(data)
    PipelineConfig.from_yaml(path)


def training(path, data):
    path.write_bytes(data)
    load_config(path)


def audio_cache(path, data):
    """Every index of a cache of one file leads to the samples of that file."""
    (path.parent / "a.wav").write_bytes(audio("WAV", "PCM_16"))
    os.utime(path.parent / "a.wav", (1, 1))
    folder = path.parent / "cache"
    if not folder.is_dir():
        open_audio_cache([path.parent / "a.wav"], folder, 16000)
    (index,) = folder.glob("*.json")
    index.write_bytes(data)
    cache = open_audio_cache([path.parent / "a.wav"], folder, 16000)
    assert len(cache.read(0)) == 400


def any_audio(path, data):
    path.write_bytes(data)
    with open_audio(path) as file:
        if file.frames < 1 << 20 and file.samplerate < 1 << 20:
            for _ in read_blocks(file):
                pass


TORCH = torch_zip()
TENSORS = safetensors.numpy.save({"w": np.ones(3, np.float32)}, metadata={"facts": json.dumps({"rate": 1})})
YAML = b"model: models/a.tar\nstrength: 0.5\nchannels: 2\nauto_strength: {min_strength: 0.2}\nproviders: [a, b]\n"
PIPELINE = b"""frontend: {strength: 0.5}
recognizer: {factory: OnlineRecognizer.from_zipformer2_ctc, tokens: t.txt, model: m.onnx, num_threads: 1}
endpoint: {rule2_min_trailing_silence: 0.4}
"""
TRAINING = b"""output: run
corpora: [{manifest: m.json}]
held_out: {file: split.json, speech: 0.3}
optim: {steps: 6, batch_size: 2, peak_lr: 1.0e-3}
loss: {hybrid: 1.0}
"""
LINES = b'{"audio": "a.wav", "text": "one", "offset": 0.5}\n{"audio": "a.wav", "text": "two"}\n'

MENDED = ("cache.json",)  # made again where it is damaged
READERS = {
    "checkpoint.pt": (checkpoint, [TORCH]),
    "pickle.pt": (lambda path, data: checkpoint(path, with_pickle(TORCH, data)), [pickle_of(TORCH)]),
    "checkpoint.safetensors": (checkpoint, [TENSORS]),
    "state": (state, [TENSORS]),
    "settings.yaml": (settings, [YAML]),
    "manifest.jsonl": (manifest, [LINES]),
    "manifest.json": (manifest, [b"[" + LINES.strip().replace(b"\n", b",") + b"]"]),
    "manifest.csv": (manifest, [b'audio,text\na.wav,"one, two"\na.wav,three\n']),
    "audio": (
        any_audio,
        [
            audio(*kind)
            for kind in (
                *(("WAV", "PCM_16"), ("WAV", "FLOAT"), ("RF64", "PCM_16"), ("W64", "PCM_16"), ("AIFF", "PCM_16")),
                *(("AU", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", None), ("NIST", "PCM_16")),
                *(("OGG", "OPUS"), ("AVR", "PCM_16"), ("MAT4", "PCM_16"), ("MAT5", "FLOAT"), ("MPC2K", "PCM_16")),
            )
        ],
    ),
    "audio of PyAV": (any_audio, [av_audio("ipod", "aac"), av_audio("webm", "libopus"), av_audio("adts", "aac")]),
    "manifest.tsv": (manifest, [b'path\tsentence\na.wav\tone "two"\na.wav\tthree\n']),
    "pipeline.yaml": (pipeline, [PIPELINE]),
    "training.yaml": (training, [TRAINING]),
    "cache.json": (audio_cache, [b'{"offsets": [0, 400], "snr_db": [12.5]}']),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.filterwarnings("ignore")
def test_a_reader_gives_a_value_or_an_error_of_this_package(tmp_path, name):
    read, samples = READERS[name]
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(3200))
    for sample in samples:
        read(tmp_path / name, sample)  # unchanged, it is good
    refused = 0
    for number in range(SEED, SEED + ROUNDS):
        chance = random.Random(f"{name} {number}")
        data = mutated(chance.choice(samples), chance)
        try:
            read(tmp_path / name, data)
        except GtcrnFrontendError as error:
            refused += 1
            assert len(str(error)) <= MAX_MESSAGE, f"GTCRN_FUZZ_SEED={number}"
        except Exception as error:
            kept = tmp_path / "input"
            kept.write_bytes(data)
            raise AssertionError(f"{type(error).__name__} with GTCRN_FUZZ_SEED={number}, input in {kept}") from error
    assert refused or name in MENDED
