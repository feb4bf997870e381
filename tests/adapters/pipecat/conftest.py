"""pipecat is imported by fixtures: the extra `test` does not install it, and these files are collected without it."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).resolve().parents[3] / "benchmarks" / "hosts"


@pytest.fixture(scope="session")
def frames() -> ModuleType:
    """pipecat's frames."""
    from pipecat.frames import frames

    return frames


@pytest.fixture
def log() -> Iterator[list[str]]:
    """What pipecat's logger, loguru, receives from warnings on."""
    from loguru import logger

    messages: list[str] = []
    sink = logger.add(lambda message: messages.append(str(message)), level="WARNING")
    yield messages
    logger.remove(sink)


@pytest.fixture(scope="session")
def pipecat_call() -> Iterator[ModuleType]:
    """The script that makes a call through a pipeline."""
    sys.path.insert(0, str(SCRIPTS))
    import pipecat_call

    yield pipecat_call
    sys.path.remove(str(SCRIPTS))
