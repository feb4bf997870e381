"""Cache of decoded audio: all recordings as int16 at the model's rate in one file."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.signal
from tqdm import tqdm

from gtcrn_frontend.atomic_write import replaced_at_end, write_text
from gtcrn_frontend.audio.io import open_audio, read_blocks
from gtcrn_frontend.errors import AudioFormatError, ConfigError
from gtcrn_frontend.parsing import parse_json

Samples = npt.NDArray[np.float32]

FULL_SCALE = 32768.0
FRAME_S = 0.02

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AudioCache:
    """Decoded recordings by number.

    Attributes:
        file: raw int16 samples of all recordings, concatenated.
        offsets: `(n + 1,)`, start of each recording in samples.
        snr_db: `(n,)`, see `frame_snr_db`.
        numbers: number of each recording by path.
    """

    file: Path
    offsets: npt.NDArray[np.int64]
    snr_db: npt.NDArray[np.float32]
    numbers: dict[str, int]

    def length(self, number: int) -> int:
        """Returns the number of samples of a recording."""
        return int(self.offsets[number + 1] - self.offsets[number])

    def read(self, number: int, start: int = 0, length: int | None = None) -> Samples:
        """Returns `(length,) float32` in [-1, 1] from `start` on, less at the end of the recording."""
        begin = int(self.offsets[number])
        end = int(self.offsets[number + 1])
        start = begin + start
        stop = end if length is None else min(start + length, end)
        # Opened for every read: nothing is shared between processes, and the system caches the pages.
        with self.file.open("rb") as file:
            file.seek(2 * start)
            samples = np.fromfile(file, np.int16, max(stop - start, 0))
        return samples.astype(np.float32) / np.float32(FULL_SCALE)


def open_audio_cache(paths: Sequence[Path], folder: Path, sample_rate: int) -> AudioCache:
    """Returns the cache of these files in `folder`, decoding them first if they are not in it.

    Only the first channel of each file is used; it is resampled to `sample_rate`.

    Raises:
        ConfigError: a file that cannot be decoded.
    """
    try:
        stamps = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    except OSError as error:
        raise ConfigError(f"a recording of the corpus cannot be read: {error}") from error
    key = hashlib.sha256(json.dumps([sample_rate, stamps]).encode()).hexdigest()[:16]
    data, index = folder / f"{key}.int16", folder / f"{key}.json"
    stored = _read_index(index, data, len(paths))
    if stored is None:
        folder.mkdir(parents=True, exist_ok=True)
        offsets, snr_db = [0], []
        with replaced_at_end(data) as part, part.open("wb") as file:  # other runs may write the same file
            for path in tqdm(paths, desc="decoding", unit="file"):
                samples = _decode(path, sample_rate)
                np.clip(np.round(samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16).tofile(file)
                offsets.append(offsets[-1] + len(samples))
                snr_db.append(frame_snr_db(samples, sample_rate))
        write_text(index, json.dumps({"offsets": offsets, "snr_db": snr_db}))
        stored = np.array(offsets, np.int64), np.array(snr_db, np.float32)
    logger.info("%d recordings, %.1f h, in %s", len(paths), stored[0][-1] / sample_rate / 3600, data)
    numbers = {str(path): number for number, path in enumerate(paths)}
    return AudioCache(data, *stored, numbers)


def frame_snr_db(samples: Samples, sample_rate: int) -> float:
    """Returns the level of loud frames (95th percentile) over that of quiet ones (10th) in dB, 0 to 96."""
    frame = int(FRAME_S * sample_rate)
    count = len(samples) // frame
    if count < 2:
        return 0.0
    power = np.square(samples[: count * frame]).reshape(count, frame).mean(axis=1)
    quiet, loud = 10 * np.log10(np.percentile(power, [10, 95]) + 1e-10)
    return float(min(loud - quiet, 96.0))


def _decode(path: Path, sample_rate: int) -> Samples:
    try:
        with open_audio(path) as audio:
            rate, blocks = int(audio.samplerate), [_first_channel(block) for block in read_blocks(audio)]
    except AudioFormatError as error:
        raise ConfigError(f"cannot decode {error}; remove it from the corpus") from error
    mono = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    if rate != sample_rate:
        common = math.gcd(rate, sample_rate)
        mono = scipy.signal.resample_poly(mono, sample_rate // common, rate // common).astype(np.float32)
    return mono


def _first_channel(block: npt.NDArray[np.generic]) -> Samples:
    samples = block if block.ndim == 1 else block[:, 0]
    return samples.astype(np.float32) / np.float32(FULL_SCALE if samples.dtype == np.int16 else 1)


def _read_index(index: Path, data: Path, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]] | None:
    """Returns offsets and SNRs of a complete cache; None if there is none, or it is damaged."""
    try:
        stored = parse_json(index.read_bytes())
        offsets = np.array(stored["offsets"], np.int64)
        snr_db = np.array(stored["snr_db"], np.float32)
        size = data.stat().st_size
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        logger.warning("%s: damaged, decoding again: %s", index, error)
        return None
    is_whole = offsets.shape == (count + 1,) and snr_db.shape == (count,) and offsets[0] == 0
    if not is_whole or (np.diff(offsets) < 0).any() or size != 2 * offsets[-1]:
        logger.warning("%s: damaged, decoding again: it does not fit to %s", index, data.name)
        return None
    return offsets, snr_db
