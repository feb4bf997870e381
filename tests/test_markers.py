"""Markers let a contributor run a part of the tests: each marks some files and not others, and all names exist."""

import tomllib
from pathlib import Path
from types import ModuleType

import pytest

TESTS = Path(__file__).resolve().parent
PYPROJECT = tomllib.loads((TESTS.parent / "pyproject.toml").read_text())
MARKERS = {line.partition(":")[0] for line in PYPROJECT["tool"]["pytest"]["ini_options"]["markers"]}


@pytest.fixture
def conftest(request: pytest.FixtureRequest) -> ModuleType:
    """The conftest.py of this folder."""
    plugins = request.config.pluginmanager.get_plugins()
    (module,) = (plugin for plugin in plugins if getattr(plugin, "__file__", None) == str(TESTS / "conftest.py"))
    return module


def test_each_marker_is_registered_and_marks_some_files(conftest: ModuleType) -> None:
    assert {*conftest.IMPORTS, "slow"} == MARKERS
    files = list(TESTS.rglob("test_*.py"))
    for marker in conftest.IMPORTS:
        marked = [file for file in files if marker in conftest.markers_of_file(file)]
        assert 0 < len(marked) < len(files), marker


def test_markers_come_from_imports_and_folders(conftest: ModuleType, request: pytest.FixtureRequest) -> None:
    assert conftest.markers_of_file(TESTS / "test_errors.py") == set()
    assert conftest.markers_of_file(TESTS / "nets/test_gtcrn.py") == {"torch"}
    assert "sherpa" in conftest.markers_of_file(TESTS / "adapters/sherpa/test_vad.py")
    assert {"speechbrain", "torch"} <= conftest.markers_of_file(TESTS / "adapters/speechbrain/test_brain.py")


def test_fixtures_made_by_torch_mark_a_test(random_checkpoint: Path, request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("torch")


def test_slow_tests_exist(conftest: ModuleType) -> None:
    for name in conftest.SLOW:
        path, _, test = name.partition("::")
        assert (TESTS / path).is_file(), name
        assert not test or f"def {test}(" in (TESTS / path).read_text(encoding="utf-8"), name
