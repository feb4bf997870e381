"""Markers let a contributor run a part of the tests; what they are given by exists."""

import tomllib
from pathlib import Path
from types import ModuleType

import pytest

TESTS = Path(__file__).resolve().parent
PYPROJECT = tomllib.loads((TESTS.parent / "pyproject.toml").read_text())
REGISTERED = {line.partition(":")[0] for line in PYPROJECT["tool"]["pytest"]["ini_options"]["markers"]}


@pytest.fixture
def conftest(request: pytest.FixtureRequest) -> ModuleType:
    """The conftest.py of this folder."""
    plugins = request.config.pluginmanager.get_plugins()
    (module,) = (plugin for plugin in plugins if getattr(plugin, "__file__", None) == str(TESTS / "conftest.py"))
    return module


def test_folders_and_slow_files_exist(conftest: ModuleType) -> None:
    assert [folder for folder in conftest.MARKERS if not (TESTS / folder).is_dir()] == []
    assert [name for name in conftest.SLOW if not (TESTS / name).is_file()] == []
    assert {name for names in conftest.MARKERS.values() for name in names} <= REGISTERED


def test_a_file_that_imports_torch_is_marked(request: pytest.FixtureRequest, conftest: ModuleType) -> None:
    assert request.node.get_closest_marker("torch"), "this file has the words: import torch"
    assert not request.node.get_closest_marker("sherpa")
