"""Pairs of clean and noisy recordings as test signals.

    one folder     a_clean.wav and a_noisy.wav, in subfolders too
    one folder     with two subfolders, clean... and noisy... (VoiceBank-DEMAND: clean_testset_wav, noisy_testset_wav)
    two folders    files of the same names

The suffixes of the two files may differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from gtcrn_frontend.audio.io import open_audio
from gtcrn_frontend.audio.resampler import resampled
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.errors import AudioFormatError, ConfigError
from gtcrn_frontend.evaluation.audio_files import audio_files, read_mono
from gtcrn_frontend.evaluation.quality.metrics import PESQ_WB_RATE_HZ

RATE_HZ = PESQ_WB_RATE_HZ
"""Sample rate of all metrics: wide-band PESQ and DNSMOS support no other one."""

CLEAN = "clean"
NOISY = "noisy"

_SHOWN = 3


class Pair(NamedTuple):
    """A reference and the signal to be enhanced, `(n,) float32` each, full scale 1, at `RATE_HZ`."""

    clean: F32
    noisy: F32


class PairSource(Protocol):
    """A test signal that worker processes read; must be picklable."""

    @property
    def name(self) -> str:
        """Name of the pair in reports."""
        ...

    @property
    def group(self) -> str:
        """Pairs of one group, for example of the same speech, are not independent of each other."""
        ...

    def read(self) -> Pair:
        """Returns the pair.

        Raises:
            AudioFormatError: it cannot be read.
        """
        ...


@dataclass(frozen=True)
class FilePair:
    """Two files of the same length; channels are averaged, higher rates resampled to `RATE_HZ`."""

    name: str
    clean: Path
    noisy: Path

    @property
    def group(self) -> str:
        """Its name: each pair is a group of its own."""
        return self.name

    def read(self) -> Pair:
        """See `PairSource`."""
        return at_measured_rate(self.clean, *(read_mono(path) for path in (self.clean, self.noisy)))

    def check(self) -> None:
        """Compares the headers of both files.

        Raises:
            AudioFormatError: a file cannot be opened, rates or lengths differ, or the rate is too low.
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


@dataclass(frozen=True)
class UnmatchedFile:
    """A file whose counterpart is missing: one of the signals that cannot be measured."""

    name: str
    path: Path

    @property
    def group(self) -> str:
        """Its name."""
        return self.name

    def read(self) -> Pair:
        """Raises `AudioFormatError`."""
        raise AudioFormatError(f"{self.path}: expected a clean and a noisy file of each name, found no counterpart")


def find_pairs(folder: Path) -> list[FilePair | UnmatchedFile]:
    """Returns the pairs in a folder, by name; those that cannot be read, and files without counterpart, fail in `read`.

    Raises:
        ConfigError: there is none.
        AudioFormatError: none of the pairs can be read, see `FilePair.check`.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: expected a folder of pairs, found none")
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    clean_folders, noisy_folders = ([path for path in inside if path.name.startswith(kind)] for kind in (CLEAN, NOISY))
    if len(clean_folders) == len(noisy_folders) == 1:
        return match_folders(clean_folders[0], noisy_folders[0])
    files = audio_files(folder)
    clean, noisy = (_by_name(files, folder, f"_{kind}") for kind in (CLEAN, NOISY))
    if not clean and not noisy:
        raise ConfigError(
            f"{folder}: expected NAME_clean.wav with NAME_noisy.wav, or one folder clean... and one noisy..., "
            f"found {len(files)} other audio files"
        )
    return _matched(clean, noisy)


def match_folders(clean: Path, noisy: Path) -> list[FilePair | UnmatchedFile]:
    """Returns the pairs of files with the same names in two folders, by name; see `find_pairs`.

    Raises:
        ConfigError: there is none.
        AudioFormatError: none of the pairs can be read, see `FilePair.check`.
    """
    for folder in (clean, noisy):
        if not folder.is_dir():
            raise ConfigError(f"{folder}: expected a folder of recordings, found none")
    by_name = [_by_name(audio_files(folder), folder) for folder in (clean, noisy)]
    if not any(by_name):
        raise ConfigError(f"{clean}, {noisy}: expected audio files of the same names, found none")
    return _matched(*by_name)


def at_measured_rate(name: Path, clean: tuple[F32, int], noisy: tuple[F32, int]) -> Pair:
    """Returns two signals of the same rate, resampled to `RATE_HZ`.

    Args:
        name: of the signals in error messages.
        clean, noisy: samples `(n,) float32` and their rate in Hz.

    Raises:
        AudioFormatError: the rate is too low, or the signals are empty or of different lengths.
    """
    (speech, rate), (mixture, _) = clean, noisy
    _check_rate(name, rate)
    if len(speech) != len(mixture) or not len(speech):
        raise AudioFormatError(
            f"{name}: expected as many samples as in the noisy signal, got {len(speech)} and {len(mixture)}"
        )
    if rate == RATE_HZ:
        return Pair(speech, mixture)
    return Pair(*(resampled(samples, rate, RATE_HZ) for samples in (speech, mixture)))


def _check_rate(path: Path, rate: int) -> None:
    if rate < RATE_HZ:
        raise AudioFormatError(
            f"{path}: expected {RATE_HZ} Hz or more, got {rate} Hz: wide-band PESQ and DNSMOS are not defined below"
        )


def _by_name(files: Iterable[Path], folder: Path, ending: str = "") -> dict[str, Path]:
    """Files whose stem has an ending, by their path in the folder without ending and suffix."""
    found: dict[str, Path] = {}
    for path in files:
        if not path.stem.endswith(ending):
            continue
        name = path.relative_to(folder).with_suffix("").as_posix().removesuffix(ending)
        if name in found:
            raise ConfigError(f"expected one file {name}{ending}, got {found[name]} and {path}: remove one")
        found[name] = path
    return found


def _matched(clean: Mapping[str, Path], noisy: Mapping[str, Path]) -> list[FilePair | UnmatchedFile]:
    sources: list[FilePair | UnmatchedFile] = [
        FilePair(name, clean[name], noisy[name])
        if name in clean and name in noisy
        else UnmatchedFile(name, {**clean, **noisy}[name])
        for name in sorted({**clean, **noisy})
    ]
    pairs = [source for source in sources if isinstance(source, FilePair)]
    if not pairs:
        alone = [source.path for source in sources if isinstance(source, UnmatchedFile)]
        more = f" and {len(alone) - _SHOWN} more" if len(alone) > _SHOWN else ""
        raise ConfigError(
            f"expected a clean and a noisy file of each name, found no counterpart of "
            f"{', '.join(map(str, alone[:_SHOWN]))}{more}"
        )
    first_error: AudioFormatError | None = None
    for pair in pairs:
        try:
            pair.check()
        except AudioFormatError as error:  # reported when it is read
            first_error = first_error or error
        else:
            return sources
    raise first_error or ConfigError("expected pairs, found none")
