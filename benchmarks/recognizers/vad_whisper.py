"""Whisper behind Silero's VAD in sherpa-onnx, with and without front-end: word errors, and words where nobody speaks.

    pip install '.[whisper-test]'
    python benchmarks/recognizers/whisper_to_sherpa.py --out runs/whisper
    python benchmarks/recognizers/vad_whisper.py --model gtcrn-asr --strength 0.8 --librispeech FOLDER

Each recording has three utterances of held-out LibriSpeech speakers with pauses of 2 to 6 s between them, all in one
excerpt of a held-out noise recording. Columns: word errors per 100 words, at most as many as words in a recording;
insertions among them; and per minute of pause the words of segments that overlap no utterance. In brackets the 95 %
interval (bootstrap over recordings) of the difference to no front-end: `-` marks fewer than by chance, `!` more.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import corpora
import jiwer
import numpy as np
import numpy.typing as npt
import yaml
from corpora import ROOT, SAMPLE_RATE
from tqdm import tqdm
from whisper import RESAMPLES, System, noise, utterances
from whisper_normalizer.english import EnglishTextNormalizer

from gtcrn_frontend.adapters.sherpa.pipeline import Pipeline, load_pipeline

UTTERANCES_EACH = 3
PAUSE_S = (2.0, 6.0)
MARGIN_S = 0.3  # a segment that overlaps an utterance by less counts as a pause
COLUMNS = ("word errors", "insertions", "words in pauses a minute")

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """A recording: its samples at 16 kHz, what is said, and when, in seconds."""

    name: str
    samples: Samples
    text: str
    spoken_s: tuple[tuple[float, float], ...]

    @property
    def pause_s(self) -> float:
        """How long nobody speaks."""
        return len(self.samples) / SAMPLE_RATE - sum(end - start for start, end in self.spoken_s)


def scene(audio: Path, clips: list[corpora.Clip], snr_db: float) -> Scene:
    """Returns utterances with pauses around them in noise, always the same; pauses do not count in the SNR."""
    name = " ".join(clip.name for clip in clips)
    rng = np.random.default_rng(zlib.crc32(f"{name} {snr_db}".encode()))

    def pause() -> Samples:
        return np.zeros(int(rng.uniform(*PAUSE_S) * SAMPLE_RATE), np.float32)

    parts, spoken = [pause()], []
    for clip in clips:
        start = sum(map(len, parts)) / SAMPLE_RATE
        parts += [corpora.unit_power(clip.samples), pause()]
        spoken.append((start, start + len(clip.samples) / SAMPLE_RATE))
    speech = np.concatenate(parts)
    samples = speech + noise(audio, rng, len(speech)) * np.float32(10 ** (-snr_db / 20))
    samples *= np.float32(0.5 / max(np.abs(samples).max(), 1e-9))
    return Scene(name, samples, " ".join(clip.text for clip in clips), tuple(spoken))


def pipeline_of(system: System, whisper: Path, vad: Path) -> Pipeline:
    """Returns the detector and Whisper, behind the front-end unless the system is none."""
    files = {name: str(whisper / f"{name}.onnx") for name in ("encoder", "decoder")}
    sections = {
        "frontend": {"model": system.model or "gtcrn-asr", "strength": system.setting},
        "recognizer": {
            "factory": "OfflineRecognizer.from_whisper",
            **files,
            "tokens": str(whisper / "tokens.txt"),
            "num_threads": 1,
        },
        "vad": {"silero_vad": {"model": str(vad)}},
    }
    path = whisper / "pipeline.yaml"
    path.write_text(yaml.safe_dump(sections), encoding="utf-8")
    pipeline = load_pipeline(path)
    return pipeline if system.model else pipeline.without_frontend()


def counts(item: Scene, segments: list[tuple[float, float, str]], normalise: Callable[[str], str]) -> list[float]:
    """Returns errors, insertions, words said, words in pauses, and minutes of pause."""
    said, found = normalise(item.text), [(start, end, normalise(text)) for start, end, text in segments]
    words = jiwer.process_words(said, " ".join(text for _, _, text in found))
    total = len(said.split())
    errors = min(words.substitutions + words.deletions + words.insertions, total)

    def in_pause(start: float, end: float) -> bool:
        return all(min(end, last) - max(start, first) < MARGIN_S for first, last in item.spoken_s)

    extra = sum(len(text.split()) for start, end, text in found if in_pause(start, end))
    return [errors, min(words.insertions, total), total, extra, item.pause_s / 60]


def rates(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns the three columns of the table from counts `(..., n, 5)`."""
    errors, insertions, words, extra, minutes = np.moveaxis(rows.sum(-2), -1, 0)
    return np.stack([100 * errors / words, 100 * insertions / words, extra / minutes], -1)


def cells(own: npt.NDArray[np.float64], raw: npt.NDArray[np.float64], *, is_raw: bool) -> list[str]:
    """Returns the columns as text, with the interval of the difference to raw."""
    values = rates(own)
    if is_raw:
        return [f"{value:.1f}" for value in values]
    picks = np.random.default_rng(0).integers(0, len(own), (RESAMPLES, len(own)))
    low, high = np.quantile(rates(own[picks]) - rates(raw[picks]), (0.025, 0.975), axis=0)
    return [
        f"{value:.1f} ({a:+.1f}..{b:+.1f}){'-' if b < 0 else '!' if a > 0 else ''}"
        for value, a, b in zip(values, low, high, strict=True)
    ]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="*", default=["gtcrn-asr"])
    parser.add_argument("--strength", nargs="*", default=["0.8"])
    parser.add_argument("--snr", nargs="*", type=float, default=[10, 5, 0])
    parser.add_argument("--recordings", type=int, default=30)
    parser.add_argument("--whisper", type=Path, default=ROOT / "runs" / "whisper", help="of whisper_to_sherpa.py")
    parser.add_argument("--vad", type=Path, help="silero_vad.onnx; default: that of the package silero-vad")
    parser.add_argument("--audio", type=Path, default=ROOT.parent / "shared" / "audio")
    parser.add_argument("--librispeech", type=Path, nargs="*", default=[], help="folders with more of its utterances")
    parser.add_argument(
        "--cache", type=Path, default=ROOT / "runs" / "vad_whisper.jsonl", help="of recognised segments"
    )
    args = parser.parse_args()
    systems = [System(None), *(System(model, s) for model in args.model for s in args.strength)]
    normalise = EnglishTextNormalizer()
    clips = utterances(args.audio, tuple(args.librispeech), args.recordings * UTTERANCES_EACH)
    groups = [clips[i : i + UTTERANCES_EACH] for i in range(0, len(clips), UTTERANCES_EACH)]
    known = _known(args.cache)
    vad = args.vad or _packaged_vad()
    pipelines = {system.key: pipeline_of(system, args.whisper, vad) for system in systems}
    print(f"| {len(groups)} recordings | SNR | " + " | ".join(COLUMNS) + " |\n|---|---:|" + "---:|" * len(COLUMNS))
    with tqdm(total=len(args.snr) * len(groups) * len(systems), unit="recording", mininterval=10) as bar:
        for snr_db in args.snr:
            found: dict[str, list[list[float]]] = {system.name: [] for system in systems}
            for group in groups:
                item = scene(args.audio, group, snr_db)
                for system in systems:
                    key = f"{system.key}|{snr_db:g}|{zlib.crc32(item.name.encode())}"
                    if key not in known:
                        result = pipelines[system.key].transcribe(item.samples, SAMPLE_RATE)
                        known[key] = [(each.start_s, each.end_s, each.text) for each in result.segments]
                        with args.cache.open("a", encoding="utf-8") as file:
                            file.write(json.dumps({key: known[key]}) + "\n")
                    found[system.name].append(counts(item, known[key], normalise))
                    bar.update()
            raw = np.array(found[systems[0].name])
            for system in systems:
                row = cells(np.array(found[system.name]), raw, is_raw=system.model is None)
                tqdm.write(f"| {system.name} | {snr_db:g} dB | " + " | ".join(row) + " |")


def _known(file: Path) -> dict[str, list[tuple[float, float, str]]]:
    known: dict[str, list[tuple[float, float, str]]] = {}
    if file.is_file():
        for line in file.read_text(encoding="utf-8").splitlines():
            known.update(json.loads(line))
    return known


def _packaged_vad() -> Path:
    from importlib.resources import files

    return Path(str(files("silero_vad") / "data" / "silero_vad.onnx"))


if __name__ == "__main__":
    main()
