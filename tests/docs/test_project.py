"""The files by which a public project is known agree with each other, and stay small."""

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import soundfile
import yaml

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MEDIA = [
    *(ROOT / "examples" / name for name in ("noisy.flac", "enhanced.flac", "noisy_digits.flac")),
    *(ROOT / "docs/images").iterdir(),
]


def test_the_version_is_the_same_everywhere() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## (\d+\.\d+\.\d+)", changelog, re.MULTILINE)
    assert versions[0] == PROJECT["version"]
    assert versions == sorted(versions, reverse=True)
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == PROJECT["version"]
    assert json.loads((ROOT / "adapters/web/package.json").read_text(encoding="utf-8"))["version"] == PROJECT["version"]


def test_templates_and_hooks_are_yaml() -> None:
    for path in [*(ROOT / ".github/ISSUE_TEMPLATE").iterdir(), ROOT / ".pre-commit-config.yaml"]:
        assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict), path
    for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert path.name == "config.yml" or {"name", "description", "body"} <= form.keys(), path


def test_one_repository_is_named() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nplugins:")[0])
    assert PROJECT["urls"]["Source"] == site["repo_url"]
    assert all(url.startswith(site["repo_url"]) for url in PROJECT["urls"].values())


def test_media_are_small() -> None:
    assert sum(path.stat().st_size for path in MEDIA) < 4_000_000
    assert (ROOT / "docs/images/before_after.png").stat().st_size < 300_000


def test_the_enhanced_example_is_nearer_to_the_speech_in_it(audio_folder: Path) -> None:
    speech, noisy, enhanced = (soundfile.read(path)[0] for path in (audio_folder / "clean.flac", *MEDIA[:2]))
    assert len(speech) == len(noisy) == len(enhanced)
    ratios_db = [10 * np.log10(np.sum(speech**2) / np.sum((x - speech) ** 2)) for x in (noisy, enhanced)]
    assert ratios_db[1] > ratios_db[0] + 3
