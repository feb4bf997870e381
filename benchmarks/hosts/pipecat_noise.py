"""Does the filter help a pipecat pipeline? Word errors and false starts of its detector in noise, without and with it.

    python benchmarks/hosts/pipecat_noise.py --speech LibriSpeech --whisper models/tiny.en

Needs the extras `[hosts-test,test]` and the reference data in `../shared/audio`. Each utterance is a call of its own
through a real pipeline (`pipecat_call.py`): WebSocket, filter, Silero VAD and pipecat's Whisper service, all with
their defaults. Speakers and noise are held out from the training of the default model. A second of noise precedes and
follows the speech. Rates have 95 % intervals of the bootstrap over calls; `-` marks significantly fewer errors with the
filter, `!` significantly more. False starts are counted in calls of 30 s in which nobody speaks, at the level that the
noise has at that ratio to speech of -26 dB full scale; babble is six voices.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from loguru import logger
from pipecat_call import Call, call
from tqdm import tqdm

from gtcrn_frontend import EnhancerConfig
from gtcrn_frontend.adapters.pipecat import GtcrnFilter
from gtcrn_frontend.audio.levels import noise_gain
from gtcrn_frontend.evaluation.asr.normalise import Normalisation
from gtcrn_frontend.evaluation.asr.wer import ErrorCounts, count_errors, error_rate, rate_difference
from gtcrn_frontend.evaluation.bootstrap import ratio_interval
from gtcrn_frontend.evaluation.environment import environment
from gtcrn_frontend.evaluation.report.tables import Value, markdown_table

sys.path.append(str(Path(__file__).resolve().parents[1] / "recognizers"))
from corpora import ROOT, SAMPLE_RATE, Clip, Noises, noises, read_sentences

LONGEST_S = 10.0
AROUND_S = 1.0
SILENT_S = 30.0
SPEECH_DBFS = -26.0

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Setting:
    """The pipeline with a filter; without one if `config` is None."""

    name: str
    config: EnhancerConfig | None

    def run(self, samples: F32, whisper: str | None) -> Call:
        audio_filter = None if self.config is None else GtcrnFilter(self.config, on_error="raise")
        pcm = np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)
        made = asyncio.run(call(pcm, SAMPLE_RATE, audio_filter, whisper))
        gc.collect()  # pipelines refer to themselves, and each holds a copy of Whisper
        return made


def draw(noise: Noises, kind: str, seed: str, n: int) -> F32:
    return noise.draw(kind, np.random.default_rng(zlib.crc32(seed.encode())), n)


def in_noise(clip: Clip, noise: Noises, kind: str, snr_db: float) -> F32:
    """The utterance in noise that begins before it and goes on after it."""
    around = round(AROUND_S * SAMPLE_RATE)
    drawn = draw(noise, kind, f"{clip.name} {snr_db:g}", len(clip.samples) + 2 * around)
    gain = noise_gain(clip.samples, drawn[around:-around], snr_db, SAMPLE_RATE)
    mixture = np.pad(clip.samples, around) + np.float32(gain) * drawn
    return np.asarray(mixture / max(1.0, np.abs(mixture).max() / 0.99), np.float32)


def word_errors(
    clips: Sequence[Clip], noise: Noises, snr_db: float, settings: Sequence[Setting], whisper: str
) -> dict[str, Value]:
    """Returns a row: word errors per 100 words in each setting."""
    normalise = Normalisation.from_text("english")
    counts: dict[str, list[ErrorCounts]] = {setting.name: [] for setting in settings}
    for number, clip in enumerate(tqdm(clips, desc=f"{snr_db:g} dB", unit="call")):
        samples = in_noise(clip, noise, Noises.KINDS[number % len(Noises.KINDS)], snr_db)
        for setting in settings:
            heard = setting.run(samples, whisper).text
            counts[setting.name].append(count_errors(normalise(clip.text), normalise(heard)).capped())
    row: dict[str, Value] = {"SNR": f"{snr_db:g} dB"}
    before = counts[settings[0].name]
    for setting in settings:
        row[setting.name] = error_rate(counts[setting.name]).percent
        if setting.config is not None:
            change = rate_difference(before, counts[setting.name])
            row[f"{setting.name}: change"] = f"{change.points_interval}{change.mark}"
    return row


def false_starts(
    noise: Noises, kind: str, snr_db: float, excerpts: int, settings: Sequence[Setting]
) -> dict[str, Value]:
    """Returns a row: starts of speech per minute in which nobody speaks."""
    row: dict[str, Value] = {"SNR": f"{snr_db:g} dB", "noise": kind}
    counts: dict[str, list[int]] = {setting.name: [] for setting in settings}
    for number in tqdm(range(excerpts), desc=f"{kind}, {snr_db:g} dB", unit="call"):
        drawn = draw(noise, kind, f"silent {kind} {snr_db:g} {number}", round(SILENT_S * SAMPLE_RATE))
        samples = np.clip(drawn * np.float32(10 ** ((SPEECH_DBFS - snr_db) / 20)), -1, 1)
        for setting in settings:
            counts[setting.name].append(setting.run(samples, None).starts)
    minutes = [SILENT_S / 60] * excerpts
    for name, starts in counts.items():
        low, high = ratio_interval(starts, minutes)
        row[name] = f"{sum(starts) / sum(minutes):.1f} ({low:.1f} to {high:.1f})"
    return row


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, nargs="*", default=[], help="folders in LibriSpeech's layout")
    parser.add_argument("--audio", type=Path, default=ROOT.parent / "shared" / "audio", help="with manifest.json")
    parser.add_argument("--whisper", required=True, help="name or folder of a faster-whisper model")
    parser.add_argument("--utterances", type=int, default=40, help="(default: %(default)s)")
    parser.add_argument("--excerpts", type=int, default=10, help="without speech, for each kind (default: %(default)s)")
    parser.add_argument("--snr", type=float, nargs="+", default=[5.0, 0.0], help="in dB (default: 5 0)")
    parser.add_argument("--strength", type=float, nargs="+", default=[EnhancerConfig().effective_strength])
    args = parser.parse_args(arguments)
    logger.remove()
    logger.add(sys.stderr, level="ERROR")

    noise = noises(args.audio, held_out=True)
    clips = read_sentences(args.audio, tuple(args.speech), held_out=True)
    short = [clip for clip in clips if len(clip.samples) <= LONGEST_S * SAMPLE_RATE]
    order = np.random.default_rng(0).permutation(len(short))[: args.utterances]
    chosen = [short[number] for number in order]
    settings = [Setting("no filter", None)]
    settings += [Setting(f"strength {each:g}", EnhancerConfig(strength=each)) for each in args.strength]
    print(f"{environment()}\n{len(chosen)} utterances, {len({clip.speaker for clip in chosen})} speakers")
    if chosen:
        rows = [word_errors(chosen, noise, snr_db, settings, args.whisper) for snr_db in args.snr]
        print(f"\nWord errors per 100 words\n\n{markdown_table(rows, {})}")
    if args.excerpts:
        rows = [
            false_starts(noise, kind, snr_db, args.excerpts, settings) for snr_db in args.snr for kind in Noises.KINDS
        ]
        print(f"\nFalse starts per minute\n\n{markdown_table(rows, {})}")


if __name__ == "__main__":
    main()
