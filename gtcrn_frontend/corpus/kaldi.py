"""Kaldi data folders: `wav.scp`, beside it `text`, `utt2spk`, `segments` and so on."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from gtcrn_frontend.corpus.audio_paths import output_of, resolved, written
from gtcrn_frontend.corpus.items import Corpus, Item, Problem, distinct
from gtcrn_frontend.corpus.storage import files_below, join, read_text, write_text

RECORDINGS = "wav.scp"

_SEGMENTS = "segments"
_BY_SPEAKER = "spk2utt"
# Lines of these begin with an utterance or a recording. Other files are not copied: those of features are of the audio
# as it was.
_BY_UTTERANCE = ("text", "utt2spk", "utt2dur", "utt2lang", "utt2uniq", _SEGMENTS, "reco2dur", "reco2file_and_channel")
_AS_THEY_ARE = ("spk2gender", "stm", "glm", "ctm")


def kaldi_corpus(folder: str, dest: str) -> Corpus:
    """Returns the recordings of a Kaldi folder, each enhanced as a whole, also where utterances are segments of it.

    Commands (`sph2pipe ... |`) become problems. What is left out is removed from all files of the folder.
    """
    files: dict[str, str] = {}  # by recording
    problems = []
    for recording, audio in _lines(join(folder, RECORDINGS)):
        if audio.endswith("|"):
            problems.append(Problem(recording, "expected a file in wav.scp, got a command: write its output to a file"))
        else:
            files[recording] = audio
    sources = {recording: resolved(audio, folder) for recording, audio in files.items()}
    items = distinct(Item(source, output_of(source, folder, dest)) for source in sources.values())

    def write_manifests(failed: Collection[str]) -> None:
        kept = [recording for recording, source in sources.items() if source not in failed]
        outputs = {key: written(output_of(sources[key], folder, dest), like=files[key]) for key in kept}
        write_text(join(dest, RECORDINGS), "".join(f"{key} {path}\n" for key, path in outputs.items()))
        _copy_others(folder, dest, kept)

    return Corpus(items, problems, write_manifests)


def _copy_others(folder: str, dest: str, recordings: Collection[str]) -> None:
    """Copies the other files of a folder, but for lines of recordings and utterances that were left out."""
    there = set(files_below(folder))
    keys = set(recordings)  # and those of the utterances, which are the same where there are no segments
    if _SEGMENTS in there:
        keys |= {key for key, rest in _lines(join(folder, _SEGMENTS)) if rest.split(maxsplit=1)[0] in keys}
    for name in there & {*_BY_UTTERANCE, *_AS_THEY_ARE, _BY_SPEAKER}:
        if name in _AS_THEY_ARE:
            write_text(join(dest, name), read_text(join(folder, name)))
            continue
        lines = list(_lines(join(folder, name)))
        if name == _BY_SPEAKER:
            by_speaker = {key: [utterance for utterance in rest.split() if utterance in keys] for key, rest in lines}
            lines = [(key, " ".join(utterances)) for key, utterances in by_speaker.items() if utterances]
        else:
            lines = [(key, rest) for key, rest in lines if key in keys]
        write_text(join(dest, name), "".join(f"{key} {rest}".rstrip() + "\n" for key, rest in lines))


def _lines(path: str) -> Iterator[tuple[str, str]]:
    for line in read_text(path).split("\n"):
        key, *rest = line.split(maxsplit=1) or [""]
        if key:
            yield key, rest[0].strip() if rest else ""
