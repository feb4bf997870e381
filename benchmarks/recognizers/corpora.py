"""Speech with transcripts and noise, split into training and test parts, for this project's recognisers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.signal
import soundfile

from gtcrn_frontend.audio.mixing import first_audible, mix_at_snr, random_excerpt
from gtcrn_frontend.training.augment.noise_synthesis import families
from gtcrn_frontend.training.config import CorpusConfig, HeldOutConfig
from gtcrn_frontend.training.data.corpus import Recording, list_recordings, manifest_entries
from gtcrn_frontend.training.data.split import Split, load_or_draw_split

Samples = npt.NDArray[np.float32]

SAMPLE_RATE = 16000
ROOT = Path(__file__).resolve().parents[2]
# Collections of ambiences share recordings: the same name counts as the same recording, whatever its folder.
NOISE_GROUP = "noise/(?:moodist|blanket|noisekun|muges_ambient)/(?:[a-z]+_ambient|[a-z]+)_(.+)"
DIGIT_SPEAKERS_HELD_OUT = ("lucas", "theo")
BABBLE_VOICES = 6


@dataclass(frozen=True)
class Clip:
    """One recording.

    Attributes:
        name: its path, or its name within LibriSpeech.
        samples: `(n,) float32` at 16 kHz.
        text: transcript in lower case; empty where it is not needed.
        speaker: empty where it is unknown.
    """

    name: str
    samples: Samples
    text: str = ""
    speaker: str = ""


def read(path: Path) -> Samples:
    """Returns the first channel at 16 kHz."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono: Samples = samples[:, 0]
    if rate != SAMPLE_RATE:
        common = math.gcd(rate, SAMPLE_RATE)
        mono = scipy.signal.resample_poly(mono, SAMPLE_RATE // common, rate // common).astype(np.float32)
    return mono


@cache
def manifest(audio: Path) -> list[dict[str, str]]:
    """Returns the entries of the folder's manifest.json, in a fixed order."""
    return [dict(entry) for _, entry in manifest_entries(audio / "manifest.json")]


@cache
def recordings(audio: Path) -> list[Recording]:
    """Returns the recordings of the manifest, with the groups that the split of the default model knows."""
    return list_recordings([CorpusConfig(manifest=audio / "manifest.json", group=NOISE_GROUP)])


@cache
def split() -> Split:
    """Returns which speakers, noises and rooms the training of the default model held out; only these are tested on."""
    return load_or_draw_split([], HeldOutConfig(file=ROOT / "models" / "gtcrn-asr.split.json"), seed=1)


def digits(audio: Path, *, held_out: bool) -> list[Clip]:
    """Returns spoken digits, some with silence around them."""
    return [
        Clip(entry["path"], read(audio / entry["path"]), entry["text"], entry["speaker"])
        for entry in manifest(audio)
        if entry["set"] == "digits" and (entry["speaker"] in DIGIT_SPEAKERS_HELD_OUT) == held_out
    ]


def wake_words(audio: Path, *, held_out: bool) -> list[Clip]:
    """Returns one word or phrase per clip; speakers are unknown, so clips are held out."""
    groups = split().held_out["speech"]
    return [
        Clip(entry["path"], read(audio / entry["path"]), entry["text"])
        for entry in manifest(audio)
        if entry["source"] == "wakewords" and (entry["path"].rsplit(".", 1)[0] in groups) == held_out
    ]


def other_speech(audio: Path, *, held_out: bool) -> list[Clip]:
    """Returns speech without wake words: spoken coffee orders."""
    groups = split().held_out["speech"]
    return [
        Clip(entry["path"], read(audio / entry["path"]))
        for entry in manifest(audio)
        if entry["source"] == "coffee" and (entry["path"].rsplit(".", 1)[0] in groups) == held_out
    ]


def read_sentences(audio: Path, folders: tuple[Path, ...], *, held_out: bool) -> list[Clip]:
    """Returns LibriSpeech utterances with text, from the manifest and from folders in LibriSpeech's own layout."""
    held_out_speakers = split().held_out["speech"]
    clips: dict[str, Clip] = {}
    for folder in folders:
        for clip in _librispeech(folder):
            clips[clip.name] = clip
    for entry in manifest(audio):
        name = Path(entry["path"]).stem
        if entry["source"] == "librispeech" and entry.get("text") and entry.get("speaker") and name not in clips:
            samples = read(audio / entry["path"])
            clips[name] = Clip(name, samples, entry["text"].lower(), entry["speaker"])
    return [clip for _, clip in sorted(clips.items()) if (clip.speaker in held_out_speakers) == held_out]


def _librispeech(folder: Path) -> Iterator[Clip]:
    for transcript in sorted(folder.rglob("*.trans.txt")):
        for line in transcript.read_text(encoding="utf-8").splitlines():
            name, _, text = line.partition(" ")
            path = transcript.parent / f"{name}.flac"
            if path.is_file():
                yield Clip(name, read(path), text.lower(), name.split("-")[0])


SYNTHETIC_KINDS = (
    "coloured",
    "modulated",
    "hum",
    "clicks",
    "tones",
)  # fixed, so that new tables compare with earlier ones


@dataclass(frozen=True)
class Noises:
    """Noise of the four kinds in `KINDS`."""

    ambience: list[Samples]
    events: list[Samples]
    voices: list[Samples]

    KINDS = ("ambience", "events", "babble", "synthetic")

    def draw(self, kind: str, rng: np.random.Generator, n: int) -> Samples:
        """Returns `n` samples of noise with mean power 1."""
        if kind == "synthetic":
            family = SYNTHETIC_KINDS[int(rng.integers(len(SYNTHETIC_KINDS)))]
            return families.FAMILIES[family](rng, n, SAMPLE_RATE)
        if kind == "babble":
            voices = [unit_power(_excerpt(rng, self.voices, n)) * rng.uniform(0.5, 1) for _ in range(BABBLE_VOICES)]
            return unit_power(np.sum(voices, axis=0))
        recordings = self.ambience if kind == "ambience" else self.events
        return unit_power(first_audible(lambda: _excerpt(rng, recordings, n)))


def noises(audio: Path, *, held_out: bool) -> Noises:
    """Returns recorded noise: short events (ESC-10), longer ambiences, and speakers for babble."""
    chosen = [item for item in recordings(audio) if split().is_held_out(item) == held_out]
    noise = [item for item in chosen if item.kind == "noise"]
    # Babble must not contain the test sentences.
    voices = [item for item in chosen if item.source == "librispeech" and not item.transcribed]
    return Noises(
        ambience=[read(item.path) for item in noise if item.source != "esc10"],
        events=[read(item.path) for item in noise if item.source == "esc10"],
        voices=[read(item.path) for item in voices],
    )


def mixture(speech: Samples, noise: Samples, snr_db: float) -> Samples:
    """Returns speech plus noise at an SNR, scaled down where it would clip."""
    return mix_at_snr(speech, noise, snr_db, SAMPLE_RATE)[0]


def _excerpt(rng: np.random.Generator, recordings: list[Samples], n: int) -> Samples:
    return random_excerpt(rng, recordings[int(rng.integers(len(recordings)))], n)


def unit_power(samples: npt.NDArray[np.floating]) -> Samples:
    """Returns the samples scaled to mean power 1."""
    return np.asarray(samples / np.sqrt(np.square(samples).mean() + 1e-12), np.float32)
