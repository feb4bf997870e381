"""`enhance_corpus`: thousands of hours, in any runner, resumable."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from gtcrn_frontend.atomic_write import remove_leftovers
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.corpus import kaldi, manifests, shards
from gtcrn_frontend.corpus.folders import folder_corpus, shards_corpus
from gtcrn_frontend.corpus.items import Corpus, Item, Outcome, Problem, Runner
from gtcrn_frontend.corpus.storage import exists, is_empty, is_folder, is_url, join, normal, read_text, write_text
from gtcrn_frontend.engines.loading import LoadedModel, load
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.parsing import parse_json

RECORD = "enhance-corpus.json"
"""In the output folder: what it was made of and with which settings."""
FAILED = "failed.jsonl"
"""In the output folder: what was left out, and why."""


class Progress(Protocol):
    """Is told how far it is."""

    def begin(self, count: int, problems: Sequence[Problem]) -> None:
        """Called once, with the number of items, and the entries of the source that are none."""

    def update(self, outcome: Outcome) -> None:
        """Called for each item."""


@dataclasses.dataclass(frozen=True)
class CorpusReport:
    """Numbers of items by outcome, seconds of enhanced audio, time that it took, engine, and what was left out."""

    done: int
    kept: int
    failed: int
    audio_s: float
    took_s: float
    engine: str
    problems: tuple[Problem, ...]


def enhance_corpus(
    source: str,
    dest: str,
    config: EnhancerConfig | None = None,
    *,
    run: Runner,
    resume: bool = False,
    progress: Progress | None = None,
) -> CorpusReport:
    """Enhances a corpus into a new folder; what fails is listed and left out.

    Each file or shard is an item of its own: the results depend neither on the runner nor on its number of workers.
    Sample rates, channels, sample formats, durations and texts stay.

    Args:
        source: path or fsspec URL of a folder of audio files and tar shards, a Kaldi data folder, a manifest in JSON
            lines of NeMo or Lhotse, or tar shards (`shard-{000..099}.tar`, `shards/*.tar`).
        dest: folder or URL to write to. When all is done it also has the manifests of the enhanced corpus, `RECORD`
            and, if something was left out, `FAILED`.
        config: settings; rates and channels are those of the audio.
        run: where to compute: `local_runner(jobs)`, or `ray_runner(...)` of `gtcrn_frontend.adapters.ray`.
        resume: continue an earlier run with the same source and settings: what is there is kept.
        progress: is told the outcome of each item.

    Raises:
        ConfigError: the source is none of these, settings change rate or channels, the folder is not empty, or was
            made of something else.
        ModelError: the model or the engine cannot be loaded.
        OSError: the source cannot be listed, or manifests cannot be written.
    """
    source, dest = normal(source), normal(dest)
    loaded, config = _checked(config or EnhancerConfig())
    record = _record(source, loaded, config)
    _check_dest(dest, record, resume)
    corpus = _opened(source, dest)
    _check_apart(corpus.items)
    write_text(join(dest, RECORD), json.dumps(record, indent=1) + "\n")
    if resume and not is_url(dest):
        remove_leftovers(Path(item.output) for item in corpus.items)
    if progress:
        progress.begin(len(corpus.items), corpus.problems)
    began_s, audio_s, kept, failed = time.perf_counter(), 0.0, 0, set[str]()
    problems = list(corpus.problems)
    with closing(run(corpus.items, config)) as outcomes:
        for outcome in outcomes:
            audio_s += outcome.audio_s
            kept += outcome.kept
            problems += outcome.problems
            failed.update([outcome.source] if outcome.failed else [])
            if progress:
                progress.update(outcome)
    problems.sort()
    corpus.write_manifests(failed)
    listed = (json.dumps(problem._asdict(), ensure_ascii=False) + "\n" for problem in problems)
    if problems or exists(join(dest, FAILED)):
        write_text(join(dest, FAILED), "".join(listed))
    took_s = time.perf_counter() - began_s
    done = len(corpus.items) - kept - len(failed)
    return CorpusReport(done, kept, len(problems), audio_s, took_s, loaded.engine.name, tuple(problems))


def _checked(config: EnhancerConfig) -> tuple[LoadedModel, EnhancerConfig]:
    """The loaded model, and the settings with the engine that all workers should use."""
    if config.output_sample_rate is not None or config.downmix:
        raise ConfigError(
            "expected settings that keep rate and channels, which manifests name, got output_sample_rate or downmix"
        )
    loaded = load(config.model, config.engine, config.num_threads, config.providers)
    return loaded, dataclasses.replace(config, engine=loaded.engine.name, sample_rate=None, channels=1)


def _record(source: str, loaded: LoadedModel, config: EnhancerConfig) -> dict[str, Any]:
    where = source if is_url(source) else str(Path(source).resolve())
    settings = config.to_dict() | {"model": str(config.model), "digest": loaded.model.digest, "num_threads": None}
    return {"source": where, "settings": settings}


def _check_dest(dest: str, record: dict[str, Any], resume: bool) -> None:
    if is_empty(dest):
        return
    if not resume:
        raise ConfigError(f"{dest}: expected a new or empty folder, or --resume to continue an earlier run")
    path = join(dest, RECORD)
    if not exists(path):
        raise ConfigError(f"{dest}: expected the folder of an earlier run, it has no {RECORD}")
    try:
        earlier = parse_json(read_text(path))
        before, now = earlier["settings"] | {"source": earlier["source"]}, record["settings"] | record
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: expected the record of an earlier run: {error}") from error
    for name, value in before.items():
        if now.get(name) != value:
            raise ConfigError(
                f"{dest} was made with {name} {value!r}, expected to resume with the same, got {now.get(name)!r}: "
                "use a new folder"
            )


def _opened(source: str, dest: str) -> Corpus:
    if shards.is_shard(source):
        found = shards_corpus(source, dest)
    elif source.endswith(manifests.SUFFIXES):
        found = manifests.manifest_corpus(source, dest)
    elif not is_folder(source):
        expected = "a folder, a Kaldi data folder, a manifest (.jsonl, .json, .jsonl.gz) or tar shards"
        raise ConfigError(f"{source}: expected {expected}, found {'a file' if exists(source) else 'nothing there'}")
    elif exists(join(source, kaldi.RECORDINGS)):
        found = kaldi.kaldi_corpus(source, dest)
    else:
        found = folder_corpus(source, dest)
    if not found.items and not found.problems:
        raise ConfigError(f"{source}: expected audio files or tar shards, found none")
    return found


def _check_apart(items: Sequence[Item]) -> None:
    sources: dict[str, str] = {}
    for item in items:
        other = sources.setdefault(PurePosixPath(item.output).as_posix(), item.source)
        if other != item.source:
            raise ConfigError(f"{other} and {item.source} have the same output {item.output}: enhance them separately")
        if item.source == item.output:
            raise ConfigError(f"{item.source} is input and output: expected another folder to write to")
