"""Recognition tasks of the project's own recognisers: symbols, network size, training and held-out utterances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import corpora
import numpy as np
import numpy.typing as npt
import scipy.signal
from corpora import SAMPLE_RATE, Clip

from gtcrn_frontend.adapters.speechbrain.recipes.digits.ctc_recognizer import RecognizerConfig
from gtcrn_frontend.audio.mixing import random_start

Samples = npt.NDArray[np.float32]

TASKS = ("digits", "commands", "characters")
BLANK = "<blk>"
WORD_START = "▁"  # sherpa-onnx turns it into a space
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# With hyphens, because a token has no space in it, and sherpa-onnx makes one of a leading "▁" only.
COMMANDS = ("alexa", "computer", "jarvis", "smart-mirror", "snowboy", "view-glass")
LETTERS = (WORD_START, *"abcdefghijklmnopqrstuvwxyz'")
STRING_DIGITS = (3, 7)
GAP_S = (0.02, 0.5)
EDGE_S = (0.15, 0.6)
ROOM_DB = (-90.0, -60.0)  # of the room's own noise in gaps; half of the strings have digital silence there
NONE_S = (1.0, 3.0)
EXAMPLES = 6000  # features of so many are computed once; they are augmented at every use
CLIPS_PER_BATCH = 48
BATCH_SECONDS = 200.0
MAX_SENTENCE_S = 17.0
STRETCH_PERCENT = (85, 116)
SPEEDS = ((9, 10), (1, 1), (11, 10))


@dataclass(frozen=True)
class Utterance:
    """Speech and its reference.

    Attributes:
        samples: `(n,) float32` at 16 kHz.
        symbols: numbers of the symbols of the reference.
    """

    samples: Samples
    symbols: tuple[int, ...]


@dataclass(frozen=True)
class Task:
    """A recognition task.

    Attributes:
        name: digits, commands or characters.
        symbols: the tokens, the blank first.
        network: the shape of the recogniser.
        unit: of errors, "word" or "character"; "phrase" counts clips that are not exactly right.
        draw: draws the numbers of the utterances of a batch.
        training: the training utterance of a number, always the same.
        held_out: so many utterances of held-out speakers or clips, always the same.
    """

    name: str
    symbols: tuple[str, ...]
    network: RecognizerConfig
    unit: str
    draw: Callable[[np.random.Generator], list[int]]
    training: Callable[[int], Utterance]
    held_out: Callable[[int], list[Utterance]]

    def text(self, symbols: tuple[int, ...]) -> str:
        """Returns the text of symbols: words with single spaces."""
        joined = "".join(self.symbols[symbol] for symbol in symbols)
        return " ".join(joined.replace(WORD_START, " ").split())


def load_task(name: str, audio: Path, libri: tuple[Path, ...] = ()) -> Task:
    """Returns a task by name; its audio is read when it is first used.

    Args:
        name: digits, commands or characters.
        audio: the folder with manifest.json.
        libri: folders of LibriSpeech with transcripts, for more training sentences.
    """
    makers = dict(zip(TASKS, (_digits, _commands, _characters), strict=True))
    return makers[name](audio, libri)


def _digits(audio: Path, _: tuple[Path, ...]) -> Task:
    @cache
    def known_speakers() -> list[list[Clip]]:
        return _by_speaker(corpora.digits(audio, held_out=False))

    def training(number: int) -> Utterance:
        return _string(known_speakers(), np.random.default_rng((10, number)), speed=True)

    def held_out(count: int) -> list[Utterance]:
        speakers = _by_speaker(corpora.digits(audio, held_out=True))
        rng = np.random.default_rng(1)
        return [_string(speakers, rng, speed=False) for _ in range(count)]

    symbols = (BLANK, *(WORD_START + digit for digit in DIGITS))
    network = RecognizerConfig(40, used_mels=30, channels=96, hidden=128, layers=1, symbols=len(symbols), dropout=0.1)
    return Task("digits", symbols, network, "word", _draw_short, training, held_out)


def _by_speaker(clips: list[Clip]) -> list[list[Clip]]:
    speakers: dict[str, list[Clip]] = {}
    for clip in clips:
        speakers.setdefault(clip.speaker, []).append(clip)
    return list(speakers.values())


def _string(speakers: list[list[Clip]], rng: np.random.Generator, *, speed: bool) -> Utterance:
    """Returns 3 to 7 digits of one speaker with random gaps, as recorded: band-limited to 4 kHz."""
    clips = speakers[int(rng.integers(len(speakers)))]
    chosen = [clips[int(rng.integers(len(clips)))] for _ in range(rng.integers(STRING_DIGITS[0], STRING_DIGITS[1] + 1))]
    parts: list[Samples] = [_silence(rng, EDGE_S)]
    for number, clip in enumerate(chosen):
        parts.append(np.asarray(clip.samples / (np.abs(clip.samples).max() + 1e-6) * rng.uniform(0.7, 1), np.float32))
        parts.append(_silence(rng, EDGE_S if number == len(chosen) - 1 else GAP_S))
    samples = np.concatenate(parts)
    if speed:
        samples = _stretched(samples, int(rng.integers(*STRETCH_PERCENT)))
    if rng.random() < 0.5:
        room = 10 ** (rng.uniform(*ROOM_DB) / 20)
        samples = samples + np.asarray(rng.normal(0, room, len(samples)), np.float32)
    return Utterance(0.5 * samples, tuple(1 + DIGITS.index(clip.text) for clip in chosen))


def _commands(audio: Path, _: tuple[Path, ...]) -> Task:
    @cache
    def clips() -> tuple[list[Clip], list[Clip]]:
        return corpora.wake_words(audio, held_out=False), corpora.other_speech(audio, held_out=False)

    def training(number: int) -> Utterance:
        return _command(*clips(), np.random.default_rng((20, number)))

    def held_out(count: int) -> list[Utterance]:
        words, rng = corpora.wake_words(audio, held_out=True), np.random.default_rng(2)
        none = corpora.other_speech(audio, held_out=True)
        # Two thirds are commands; clips are repeated only after all have been used.
        order = rng.permutation(len(words))
        utterances = [_clip(words[order[i % len(order)]], rng) for i in range(count * 2 // 3)]
        return utterances + [_none(none, rng) for _ in range(count - len(utterances))]

    symbols = (BLANK, *(WORD_START + command for command in COMMANDS))
    network = RecognizerConfig(40, used_mels=40, channels=96, hidden=128, layers=1, symbols=len(symbols), dropout=0.1)
    return Task("commands", symbols, network, "phrase", _draw_short, training, held_out)


def _command(words: list[Clip], others: list[Clip], rng: np.random.Generator) -> Utterance:
    """Returns one command, or speech without one, or a command after such speech, at a random speed."""
    kind = rng.random()
    if kind < 0.35:
        utterance = _none(others, rng)
    else:
        utterance = _clip(words[int(rng.integers(len(words)))], rng)
        if kind < 0.5:
            before = _none(others, rng).samples
            utterance = Utterance(np.concatenate([before, utterance.samples]), utterance.symbols)
    return Utterance(_stretched(utterance.samples, int(rng.integers(*STRETCH_PERCENT))), utterance.symbols)


def _clip(clip: Clip, rng: np.random.Generator) -> Utterance:
    text = clip.text.replace("_", " ").replace(" ", "-")
    samples = np.concatenate([_silence(rng, EDGE_S), _levelled(clip.samples), _silence(rng, EDGE_S)])
    return Utterance(samples, (1 + COMMANDS.index(text),))


def _none(clips: list[Clip], rng: np.random.Generator) -> Utterance:
    clip = clips[int(rng.integers(len(clips)))]
    n = int(rng.uniform(*NONE_S) * SAMPLE_RATE)
    start = random_start(rng, len(clip.samples), n)
    return Utterance(_levelled(clip.samples[start : start + n]), ())


def _characters(audio: Path, libri: tuple[Path, ...]) -> Task:
    symbols = (BLANK, *LETTERS)
    numbers = {letter: number for number, letter in enumerate(symbols)}

    @cache
    def sentences() -> list[Clip]:
        clips = [clip for clip in corpora.read_sentences(audio, libri, held_out=False) if _is_short(clip)]
        return sorted(clips, key=lambda clip: len(clip.samples))

    def of(clip: Clip, speed: tuple[int, int] = (1, 1)) -> Utterance:
        text = WORD_START + WORD_START.join(clip.text.split())
        return Utterance(_resampled(clip.samples, *speed), tuple(numbers[letter] for letter in text))

    def draw(rng: np.random.Generator) -> list[int]:
        clips = sentences()
        place = int(rng.integers(len(clips)))
        count = int(max(BATCH_SECONDS / (len(clips[place].samples) / SAMPLE_RATE), 4))
        # Neighbours in length share a batch, so that little of it is padding.
        near = np.arange(max(place - 2 * count, 0), min(place + 2 * count, len(clips)))
        chosen = rng.choice(near, min(count, len(near)), replace=False)
        return (chosen * len(SPEEDS) + rng.integers(0, len(SPEEDS), len(chosen))).tolist()

    def training(number: int) -> Utterance:
        sentence, speed = divmod(number, len(SPEEDS))
        return of(sentences()[sentence], SPEEDS[speed])

    def held_out(count: int) -> list[Utterance]:
        clips = [clip for clip in corpora.read_sentences(audio, (), held_out=True) if _is_short(clip)]
        chosen = np.random.default_rng(3).permutation(len(clips))[:count]
        return [of(clips[i]) for i in chosen]

    network = RecognizerConfig(80, used_mels=80, channels=160, hidden=192, layers=2, symbols=len(symbols), dropout=0.1)
    return Task("characters", symbols, network, "character", draw, training, held_out)


def _draw_short(rng: np.random.Generator) -> list[int]:
    return rng.integers(0, EXAMPLES, CLIPS_PER_BATCH).tolist()


def _is_short(clip: Clip) -> bool:
    return len(clip.samples) <= MAX_SENTENCE_S * SAMPLE_RATE


def _silence(rng: np.random.Generator, seconds: tuple[float, float]) -> Samples:
    return np.zeros(int(rng.uniform(*seconds) * SAMPLE_RATE), np.float32)


def _levelled(samples: Samples) -> Samples:
    return np.asarray(samples * (0.5 / (np.abs(samples).max() + 1e-6)), np.float32)


def _stretched(samples: Samples, percent: int) -> Samples:
    return _resampled(samples, percent, 100)


def _resampled(samples: Samples, up: int, down: int) -> Samples:
    if up == down:
        return samples
    return np.asarray(scipy.signal.resample_poly(samples, up, down), np.float32)
