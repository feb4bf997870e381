"""Fixtures that more than one test file needs, and what has to be in place before any test imports SpeechBrain."""

import os
import runpy
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"
TORCHAUDIO_FALLBACK = Path(__file__).resolve().parent / "torchaudio_fallback"

runpy.run_path(str(TORCHAUDIO_FALLBACK / "sitecustomize.py"))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TORCHAUDIO_FALLBACK), os.environ.get("PYTHONPATH")]))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the checkout; it is not part of the repository."""
    if not SHARED.is_dir():
        pytest.skip("no folder ../shared with reference data beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def audio_folder() -> Path:
    """Short recordings of the project's own making."""
    return Path(__file__).resolve().parent / "audio"
