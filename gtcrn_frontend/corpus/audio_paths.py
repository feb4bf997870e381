"""Paths of audio files in manifests: where they begin, and where the enhanced file goes."""

from __future__ import annotations

import os
from pathlib import Path

from gtcrn_frontend.corpus.storage import below, is_url, join
from gtcrn_frontend.evaluation.manifest_formats import audio_path

AUDIO_FOLDER = "audio"
"""Of the enhanced corpus, for files that do not lie in the manifest's folder."""


def resolved(audio: str, folder: str) -> str:
    """Returns the path or URL of an audio file, which begins at the manifest's folder or the working directory."""
    if is_url(audio) or (is_url(folder) and Path(audio).is_absolute()):
        return audio
    return join(folder, audio) if is_url(folder) else str(audio_path({"audio": audio}, Path(folder)))


def output_of(source: str, folder: str, dest: str) -> str:
    """Returns where the enhanced version of a file goes.

    Args:
        source: path or URL of the audio file.
        folder: of the manifest; a file in it keeps its relative path. Others go below `audio/`, with their path from
            the root.
        dest: of the enhanced corpus.
    """
    if is_url(source) or is_url(folder):
        inside = source.startswith(f"{folder.rstrip('/')}/")
        return join(dest, source[len(folder.rstrip("/")) + 1 :] if inside else f"{AUDIO_FOLDER}/{below(source)}")
    path = Path(source)
    if path.is_relative_to(folder) and ".." not in path.parts:
        return join(dest, path.relative_to(folder).as_posix())
    return join(dest, f"{AUDIO_FOLDER}/{below(source)}")


def written(output: str, like: str, beginning_at: str | None = None) -> str:
    """Returns the path of an output as a manifest names it.

    Args:
        output: path or URL.
        like: what the manifest has: an absolute path is replaced by an absolute one.
        beginning_at: folder at which the manifest's relative paths begin; None is the working directory.
    """
    if is_url(output):
        return output
    if is_url(like) or Path(like).is_absolute():
        return str(Path(output).absolute())
    return output if beginning_at is None else Path(os.path.relpath(output, beginning_at)).as_posix()
