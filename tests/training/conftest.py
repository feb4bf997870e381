"""A small corpus of generated audio, and a config that trains on it in a few steps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

RATE = 16000


def voice(rng: np.random.Generator, seconds: float, pitch_hz: float) -> np.ndarray:
    """Returns harmonics with a syllable-like envelope, speech enough for all measures."""
    t = np.arange(int(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * k * pitch_hz * t + rng.uniform(0, 6)) / k for k in range(1, 20))
    return (0.1 * tone * np.maximum(np.sin(2 * np.pi * 3 * t + rng.uniform(0, 6)), 0)).astype(np.float32)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with manifest.json: 4 speakers, clips without speaker, noises in takes, rooms."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    entries = []

    def add(path: str, samples: np.ndarray, kind: str, source: str, **more: str) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / path, samples, RATE, subtype="PCM_16")
        entries.append({"path": path, "sample_rate": RATE, "set": kind, "source": source, **more})

    for speaker in range(4):
        for clip in range(2):
            text = {"text": "something"} if speaker < 2 else {}
            samples = voice(rng, 2, 100 + 20 * speaker)
            add(f"speech/s{speaker}_{clip}.wav", samples, "speech", "read", speaker=f"{speaker}", **text)
    for clip in range(3):
        add(f"speech/word_{clip}.wav", voice(rng, 0.7, 180), "speech", "words")
    for recording in range(3):
        for take in "ab":
            noise = 0.1 * rng.standard_normal(2 * RATE).astype(np.float32)
            add(f"noise/fan_1_{1000 + recording}_{take}.wav", noise, "noise", "fans")
    for room in range(2):
        add(f"rir/room{room}.wav", np.exp(-np.arange(3000) / 400) * rng.standard_normal(3000) * 0.2, "rir", "halls")
    add("digits/0.wav", voice(rng, 0.5, 150), "digits", "digits")
    (folder / "manifest.json").write_text(json.dumps(entries))
    return folder


@pytest.fixture
def settings(corpus: Path, tmp_path: Path) -> dict:
    """Settings of a tiny run, as in a YAML file beside `tmp_path / "run"`."""
    return {
        "output": "run",
        "cache": str(corpus / "cache"),
        "corpora": [{"manifest": str(corpus / "manifest.json")}],
        "held_out": {"file": "split.json", "speech": 0.3, "transcribed": 0.5, "noise": 0.3, "rooms": 0.5},
        "mixing": {"segment_s": 0.5},
        "optim": {
            "steps": 6,
            "batch_size": 2,
            "warmup_steps": 2,
            "norm_batches": 2,
            "freeze_norm_fraction": 0.34,
            "fused": False,  # no time for compiling
        },
        "validation": {"every_steps": 3, "mixtures": 2, "seconds": 2.0},
    }


@pytest.fixture
def write_config(tmp_path: Path):
    """Writes settings to a YAML file and returns its path."""

    def write(settings: dict, name: str = "config.yaml") -> Path:
        path = tmp_path / name
        path.write_text(yaml.safe_dump(settings))
        return path

    return write
