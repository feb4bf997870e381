"""Public data sets for training, in the folder layouts that their archives unpack to.

Each layout lists the recordings below a folder; none downloads anything.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.training.data.corpus import AUDIO_SUFFIXES


@dataclass(frozen=True)
class Found:
    """A recording of a public data set; see `corpus.Recording` and the fields of `CorpusConfig.manifest`."""

    path: Path
    set: str
    source: str
    speaker: str | None = None
    group: str | None = None
    text: str | None = None
    noisy: Path | None = None


@dataclass(frozen=True)
class Layout:
    """A public data set.

    Attributes:
        name: as an option of `gtcrn-frontend data`.
        title: its name and content.
        origin: where its authors publish it.
        expected: what a folder of it contains, for error messages.
        find: lists the recordings below folders; none if they have another layout.
    """

    name: str
    title: str
    origin: str
    expected: str
    find: Callable[[Sequence[Path]], Iterator[Found]]


def _librispeech(folders: Sequence[Path]) -> Iterator[Found]:
    """Utterances by speaker, with transcripts; the source is the subset, such as `librispeech-train-clean-100`."""
    for listing in _files(folders, "*.trans.txt"):
        speaker, subset = listing.parents[1].name, listing.parents[2].name
        for line in listing.read_text(encoding="utf-8").splitlines():
            name, _, text = line.strip().partition(" ")
            if name:
                path = _existing(listing.with_name(f"{name}.flac"), listing)
                yield Found(path, "speech", f"librispeech-{subset}", speaker=speaker, text=text)


def _voicebank_demand(folders: Sequence[Path]) -> Iterator[Found]:
    """Pairs of the training sets by speaker; the test set is left for evaluation."""
    noisy, texts = (
        {path.name: path for path in _folders(folders, re.compile(name))}
        for name in (r"noisy_trainset_\w+", r"trainset_\w+_txt")
    )
    for clean in _folders(folders, re.compile(r"clean_trainset_\w+")):
        name = clean.name.removeprefix("clean_")
        if f"noisy_{name}" not in noisy:
            raise ConfigError(f"{clean}: expected noisy_{name} as well, found none: give its folder or archive, too")
        transcripts = texts.get(f"{name.removesuffix('_wav')}_txt")
        for path in _audio(clean):
            text = transcripts / f"{path.stem}.txt" if transcripts else None
            yield Found(
                path,
                "pair",
                "voicebank-demand",
                speaker=path.stem.partition("_")[0],
                text=" ".join(text.read_text(encoding="utf-8").split()) if text and text.is_file() else None,
                noisy=_existing(noisy[f"noisy_{name}"] / path.name, path),
            )


def _dns_noise(folders: Sequence[Path]) -> Iterator[Found]:
    """Noise of the DNS Challenge; parts of one Freesound clip are one recording."""
    flat = [folder for folder in folders if any(path.suffix.lower() in AUDIO_SUFFIXES for path in folder.iterdir())]
    for root in _folders(folders, re.compile("noise(_fullband)?")) or flat:
        for path in _audio(root):
            group = re.sub(r"(_Freesound(?:_validated)?_\d+)_\d+$", r"\1", path.stem)
            yield Found(path, "noise", "dns-noise", group=group)


def _musan(folders: Sequence[Path]) -> Iterator[Found]:
    """Noise, music (as noise) and speech of unknown speakers; sources `musan-noise`, `musan-music`, `musan-speech`."""
    for root in _folders(folders, re.compile("noise")):
        for part, kind in (("noise", "noise"), ("music", "noise"), ("speech", "speech")):
            for path in _audio(root.parent / part):
                yield Found(path, kind, f"musan-{part}", group=path.stem)


def _esc50(folders: Sequence[Path]) -> Iterator[Found]:
    """Environmental sounds; takes of one Freesound clip are one recording."""
    for listing in _files(folders, "esc50.csv"):
        audio = listing.parents[1] / "audio"
        with listing.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                path = _existing(audio / str(row.get("filename")), listing)
                yield Found(path, "noise", "esc50", group=f"freesound-{row.get('src_file')}")


def _rirs_noises(folders: Sequence[Path]) -> Iterator[Found]:
    """Simulated and measured room impulse responses by room, isotropic and point-source noises."""
    for root in _folders(folders, re.compile("RIRS_NOISES")):
        for path in _audio(root / "simulated_rirs"):
            yield Found(path, "rir", "rirs-simulated", group=f"{path.parents[1].name}-{path.parent.name}")
        real = root / "real_rirs_isotropic_noises"
        rooms = _rooms(real / "rir_list")
        for path in _audio(real):
            if path.name in rooms or (not rooms and "noise" not in path.name):
                yield Found(path, "rir", "rirs-real", group=rooms.get(path.name, path.stem))
            else:
                yield Found(path, "noise", "rirs-isotropic", group=path.stem)
        for path in _audio(root / "pointsource_noises"):
            yield Found(path, "noise", "rirs-pointsource", group=path.stem)


def _rooms(listing: Path) -> dict[str, str]:
    """Returns the rooms in Kaldi's list of impulse responses by file name: `--rir-id 1 --room-id R ... PATH`."""
    if not listing.is_file():
        return {}
    rooms = {}
    for line in listing.read_text(encoding="utf-8").splitlines():
        room = re.search(r"--room-id\s+(\S+)", line)
        if room and line.split():
            rooms[Path(line.split()[-1]).name] = f"real-{room[1]}"
    return rooms


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout(
            "librispeech",
            "LibriSpeech, read speech with transcripts (CC BY 4.0)",
            "https://www.openslr.org/12 (openslr.org/31 has small subsets)",
            "SUBSET/SPEAKER/CHAPTER/*.trans.txt with *.flac beside it",
            _librispeech,
        ),
        Layout(
            "voicebank-demand",
            "VoiceBank-DEMAND, clean and noisy speech (CC BY 4.0)",
            "https://datashare.ed.ac.uk/handle/10283/2791",
            "clean_trainset_28spk_wav/*.wav and noisy_trainset_28spk_wav/*.wav",
            _voicebank_demand,
        ),
        Layout(
            "dns-noise",
            "noise of the DNS Challenge (CC BY 4.0 and CC0)",
            "https://github.com/microsoft/DNS-Challenge",
            "noise_fullband/*.wav or noise/*.wav",
            _dns_noise,
        ),
        Layout(
            "musan",
            "MUSAN, noise, music and speech (CC BY 4.0)",
            "https://www.openslr.org/17",
            "musan/noise, musan/music and musan/speech",
            _musan,
        ),
        Layout(
            "esc50",
            "ESC-50, environmental sounds (CC BY-NC 3.0)",
            "https://github.com/karolpiczak/ESC-50",
            "meta/esc50.csv and audio/*.wav",
            _esc50,
        ),
        Layout(
            "rirs-noises",
            "RIRS_NOISES, room impulse responses and noises (Apache-2.0)",
            "https://www.openslr.org/28",
            "RIRS_NOISES/simulated_rirs, real_rirs_isotropic_noises and pointsource_noises",
            _rirs_noises,
        ),
    )
}


def _folders(folders: Sequence[Path], name: re.Pattern[str]) -> list[Path]:
    """Returns the folders, or those below them, whose whole name matches; of nested ones, the innermost.

    Programs that unpack `x.zip` often put its folder `x` into another folder `x`.
    """
    matches: list[Path] = []
    for folder in folders:
        for path in (folder.resolve(), *sorted(folder.resolve().rglob("*"))):
            if name.fullmatch(path.name) and path.is_dir():
                matches = [match for match in matches if match not in path.parents]
                matches.append(path)
    return matches


def _files(folders: Sequence[Path], pattern: str) -> list[Path]:
    return [path for folder in folders for path in sorted(folder.resolve().rglob(pattern))]


def _audio(folder: Path) -> Sequence[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)


def _existing(path: Path, beside: Path) -> Path:
    if not path.is_file():
        raise ConfigError(f"{beside}: expected {path}, found nothing there: the download or its archive is incomplete")
    return path
