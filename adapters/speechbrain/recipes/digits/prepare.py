"""Manifests of digit strings in noise for SpeechBrain's datasets; all random choices are made here."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from gtcrn_frontend.atomic_write import write_text
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.training.config import CorpusConfig, HeldOutConfig
from gtcrn_frontend.training.data.corpus import list_recordings, manifest_entries
from gtcrn_frontend.training.data.split import load_or_draw_split

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PARTS = ("train", "valid", "test")
DEFAULT_SPLIT = "gtcrn-asr.split.json"
VALID_TAKES = 5  # the first takes of each digit and speaker are for validation, as in the corpus' own split
DIGITS = (3, 7)
GAP_S = (0.02, 0.5)
EDGE_S = (0.15, 0.6)
PEAK = (0.35, 0.5)
LEVEL_DB = (-12.0, 6.0)
SPEED_PERCENT = (85, 115)
ROOM_DB = (-90.0, -60.0)  # room noise; half of the strings have digital silence between digits
CLEAN_PROB = 0.15

Entry = dict[str, Any]


def prepare_digits(
    data_folder: str | Path,
    save_folder: str | Path,
    *,
    split_file: str | Path | None,
    noise_group: str | None,
    test_speakers: Sequence[str],
    snr_db: tuple[float, float],
    test_snrs_db: Sequence[float],
    strings: dict[str, int],
    seed: int,
) -> None:
    """Writes train.json, valid.json and test.json; the same ones for the same arguments.

    Each entry is a digit string of one speaker: its takes, the gaps between them, the noise and the SNR. `{data_root}`
    in paths stands for `data_folder`.

    Args:
        data_folder: with `manifest.json`, a list of entries with `path`, `set` (digits, noise) and `source`, and for
            digits `speaker` and `text`. The take is the number at the end of a digit's file name.
        save_folder: for the manifests; created if it does not exist.
        split_file: split that names the held-out noise recordings; drawn and written if there is no such file. None is
            that of the default model, whose training excluded them.
        noise_group: regular expression that names noise recordings, see `CorpusConfig.group`.
        test_speakers: speakers of the test set, which uses held-out noise.
        snr_db: lowest and highest SNR in training.
        test_snrs_db: SNRs of the test set; every string is tested at each of them, and clean.
        strings: number of strings in train, valid and test.
        seed: of all random choices.

    Raises:
        ConfigError: the manifest cannot be used, or a part would have no digits or no noise.
    """
    root, target = Path(data_folder), Path(save_folder)
    takes = _takes(root / "manifest.json", test_speakers)
    split = Path(str(files("gtcrn_frontend.models") / DEFAULT_SPLIT)) if split_file is None else Path(split_file)
    noises = _noises(root, split, noise_group, seed)
    target.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(PARTS):
        if not takes[part] or not noises[part]:
            raise ConfigError(f"{root}: no digits or no noise for the part {part!r}: see speakers and split_file")
        rng = np.random.default_rng((seed, number))
        drawn = [_string(takes[part], rng, varied=part == "train") for _ in range(strings[part])]
        entries: dict[str, Entry] = {}
        for index, string in enumerate(drawn):
            if part == "test":
                for test_snr_db in (*test_snrs_db, None):
                    entry = string | _noise(noises[part], rng, test_snr_db)
                    entries[f"{part}-{index:05d}-{entry['condition']}".replace(" ", "")] = entry
            else:
                drawn_db = None if rng.random() < CLEAN_PROB else float(rng.uniform(snr_db[0], snr_db[1]))
                entries[f"{part}-{index:05d}"] = string | _noise(noises[part], rng, drawn_db)
        write_text(target / f"{part}.json", json.dumps(entries, indent=1) + "\n")


def _takes(manifest: Path, test_speakers: Sequence[str]) -> dict[str, list[list[Entry]]]:
    """Returns the recorded digits of each part, one list per speaker."""
    by_part: dict[str, dict[str, list[Entry]]] = {part: {} for part in PARTS}
    for where, entry in manifest_entries(manifest):
        if entry["set"] != "digits":
            continue
        take, speaker = re.search(r"(\d+)\.\w+$", entry["path"]), entry.get("speaker")
        if entry.get("text") not in WORDS or take is None or not speaker:
            raise ConfigError(f"{manifest}: {where}: expected a speaker, a digit as text, and a numbered file")
        valid = int(take[1]) < VALID_TAKES
        part = "test" if speaker in test_speakers else "valid" if valid else "train"
        by_part[part].setdefault(speaker, []).append(dict(entry))
    return {part: list(speakers.values()) for part, speakers in by_part.items()}


def _noises(root: Path, split_file: Path, group: str | None, seed: int) -> dict[str, list[str]]:
    """Returns the noise recordings of each part."""
    recordings = list_recordings([CorpusConfig(manifest=root / "manifest.json", group=group)])
    split = load_or_draw_split(recordings, HeldOutConfig(file=split_file), seed)
    noises = [item for item in recordings if item.kind == "noise"]
    known, held_out = (
        [_below(root, item.path) for item in noises if split.is_held_out(item) == out] for out in (False, True)
    )
    return {"train": known, "valid": known, "test": held_out}


def _below(root: Path, path: Path) -> str:
    return f"{{data_root}}/{path.relative_to(root).as_posix()}"


def _string(speakers: list[list[Entry]], rng: np.random.Generator, *, varied: bool) -> Entry:
    """Returns a digit string of one speaker; `varied` ones have a random level and speed."""
    takes = speakers[int(rng.integers(len(speakers)))]
    chosen = [takes[int(rng.integers(len(takes)))] for _ in range(rng.integers(DIGITS[0], DIGITS[1] + 1))]
    level = 10 ** (float(rng.uniform(*LEVEL_DB)) / 20) if varied else 1.0
    gaps_s = [float(rng.uniform(*GAP_S)) for _ in chosen[1:]]
    return {
        "speaker": chosen[0]["speaker"],
        "words": " ".join(take["text"] for take in chosen),
        "takes": [f"{{data_root}}/{take['path']}" for take in chosen],
        "peaks": [float(rng.uniform(*PEAK)) * level for _ in chosen],
        "gaps_s": [float(rng.uniform(*EDGE_S)), *gaps_s, float(rng.uniform(*EDGE_S))],
        "speed_percent": int(rng.integers(SPEED_PERCENT[0], SPEED_PERCENT[1] + 1)) if varied else 100,
        "room_db": float(rng.uniform(*ROOM_DB)) if rng.random() < 0.5 else None,
    }


def _noise(noises: list[str], rng: np.random.Generator, snr_db: float | None) -> Entry:
    """Returns the noise of an entry; none without an SNR."""
    path = noises[int(rng.integers(len(noises)))]
    seed = int(rng.integers(2**31))  # of the excerpt and of the room noise
    if snr_db is None:
        return {"noise": None, "snr_db": None, "condition": "clean", "seed": seed}
    return {"noise": path, "snr_db": snr_db, "condition": f"{snr_db:g} dB", "seed": seed}
