"""Test signals with their references: pairs of files, found in the forms that people keep them in.

    one folder     a_clean.wav and a_noisy.wav, in folders of folders too
    one folder     of two, clean... and noisy... (VoiceBank-DEMAND: clean_testset_wav, noisy_testset_wav)
    two folders    files of the same names

Suffixes of the two files may differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.audio.io import container_of, open_audio
from gtcrn_frontend.audio.resampler import resampled
from gtcrn_frontend.errors import AudioFormatError, ConfigError
from gtcrn_frontend.evaluation.noisy_set import read_mono
from gtcrn_frontend.evaluation.quality.metrics import PESQ_WB_RATE_HZ

Samples = npt.NDArray[np.float32]

RATE_HZ = PESQ_WB_RATE_HZ
"""All measures are taken at this rate: wide-band PESQ and DNSMOS know no other one."""

CLEAN = "clean"
NOISY = "noisy"

_SHOWN = 3


class Pair(NamedTuple):
    """A reference and the signal to be enhanced, `(n,) float32` each, full scale 1, at `RATE_HZ`."""

    clean: Samples
    noisy: Samples


class PairSource(Protocol):
    """Where a pair is read from; is pickled for other processes."""

    @property
    def name(self) -> str:
        """What reports call the pair."""
        ...

    @property
    def group(self) -> str:
        """Pairs of one group, of the same speech say, are not independent of each other."""
        ...

    def read(self) -> Pair:
        """Returns the pair.

        Raises:
            AudioFormatError: it cannot be read.
        """
        ...


@dataclass(frozen=True)
class FilePair:
    """Two files of the same length; channels are averaged, higher rates lowered to `RATE_HZ`."""

    name: str
    clean: Path
    noisy: Path

    @property
    def group(self) -> str:
        """Its name: it is one of its own."""
        return self.name

    def read(self) -> Pair:
        """See `PairSource`."""
        return at_measured_rate(self.clean, *(read_mono(path) for path in (self.clean, self.noisy)))

    def check(self) -> None:
        """Reads the headers of both files.

        Raises:
            AudioFormatError: a file cannot be opened, or rate or length are not those of the other, or rate too low.
        """
        headers = []
        for path in (self.clean, self.noisy):
            with open_audio(path) as audio:
                headers.append((audio.samplerate, audio.frames))
        (rate, frames), (noisy_rate, noisy_frames) = headers
        if rate != noisy_rate or frames != noisy_frames:
            raise AudioFormatError(
                f"{self.noisy}: expected {frames} samples at {rate} Hz as in {self.clean}, got {noisy_frames} at "
                f"{noisy_rate} Hz: cut or resample one of them"
            )
        _check_rate(self.clean, rate)


def find_pairs(folder: Path) -> list[FilePair]:
    """Returns the pairs in a folder, by name. Those that cannot be read fail in `read`.

    Raises:
        ConfigError: there is none, or a file is without partner.
        AudioFormatError: none of the pairs can be read, see `FilePair.check`.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: expected a folder of pairs, found none")
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    clean_folders, noisy_folders = ([path for path in inside if path.name.startswith(kind)] for kind in (CLEAN, NOISY))
    if len(clean_folders) == len(noisy_folders) == 1:
        return match_folders(clean_folders[0], noisy_folders[0])
    files = _audio_files(folder)
    clean, noisy = (_by_name(files, folder, f"_{kind}") for kind in (CLEAN, NOISY))
    if not clean and not noisy:
        raise ConfigError(
            f"{folder}: expected NAME_clean.wav with NAME_noisy.wav, or one folder clean... and one noisy..., "
            f"found {len(files)} other audio files"
        )
    return _matched(clean, noisy)


def match_folders(clean: Path, noisy: Path) -> list[FilePair]:
    """Returns the pairs of files with the same names in two folders, by name. Those that cannot be read fail in `read`.

    Raises:
        ConfigError: there is none, or a file is without partner.
        AudioFormatError: none of the pairs can be read, see `FilePair.check`.
    """
    for folder in (clean, noisy):
        if not folder.is_dir():
            raise ConfigError(f"{folder}: expected a folder of recordings, found none")
    by_name = [_by_name(_audio_files(folder), folder) for folder in (clean, noisy)]
    if not any(by_name):
        raise ConfigError(f"{clean}, {noisy}: expected audio files of the same names, found none")
    return _matched(*by_name)


def at_measured_rate(name: Path, clean: tuple[Samples, int], noisy: tuple[Samples, int]) -> Pair:
    """Returns a pair of signals that have the same rate, which `name` has, at `RATE_HZ`.

    Raises:
        AudioFormatError: the rate is lower, or the signals are empty or of different lengths.
    """
    (speech, rate), (mixture, _) = clean, noisy
    _check_rate(name, rate)
    if len(speech) != len(mixture) or not len(speech):
        raise AudioFormatError(f"{name}: expected as many samples as its partner, got {len(speech)} and {len(mixture)}")
    if rate == RATE_HZ:
        return Pair(speech, mixture)
    return Pair(*(resampled(samples, rate, RATE_HZ) for samples in (speech, mixture)))


def _check_rate(path: Path, rate: int) -> None:
    if rate < RATE_HZ:
        raise AudioFormatError(
            f"{path}: expected {RATE_HZ} Hz or more, got {rate} Hz: wide-band PESQ and DNSMOS are not made for less"
        )


def _audio_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and container_of(path) not in (None, "RAW"))


def _by_name(files: Iterable[Path], folder: Path, ending: str = "") -> dict[str, Path]:
    """The files that end so, by their path in the folder without it and without suffix."""
    found: dict[str, Path] = {}
    for path in files:
        if not path.stem.endswith(ending):
            continue
        name = path.relative_to(folder).with_suffix("").as_posix().removesuffix(ending)
        if name in found:
            raise ConfigError(f"expected one file {name}{ending}, got {found[name]} and {path}: remove one")
        found[name] = path
    return found


def _matched(clean: Mapping[str, Path], noisy: Mapping[str, Path]) -> list[FilePair]:
    alone = [path for name, path in sorted({**clean, **noisy}.items()) if name not in clean or name not in noisy]
    if alone:
        more = f" and {len(alone) - _SHOWN} more" if len(alone) > _SHOWN else ""
        raise ConfigError(
            f"expected a clean and a noisy file of each name, found no partner for "
            f"{', '.join(map(str, alone[:_SHOWN]))}{more}"
        )
    pairs = [FilePair(name, path, noisy[name]) for name, path in sorted(clean.items())]
    first_error: AudioFormatError | None = None
    for pair in pairs:
        try:
            pair.check()
        except AudioFormatError as error:  # reported when it is read
            first_error = first_error or error
        else:
            return pairs
    raise first_error or ConfigError("expected pairs, found none")
