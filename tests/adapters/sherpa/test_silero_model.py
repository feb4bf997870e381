"""Where the file of Silero VAD comes from, with a package in the shape of the real one."""

import sys

import pytest

from gtcrn_frontend.adapters.sherpa.silero_model import installed_silero_vad
from gtcrn_frontend.adapters.sherpa.vad_config import VadConfig
from gtcrn_frontend.adapters.sherpa.vad_source import vad_source
from gtcrn_frontend.cli.main import main
from gtcrn_frontend.errors import ConfigError


@pytest.fixture
def absent(monkeypatch):
    monkeypatch.setitem(sys.modules, "silero_vad", None)


@pytest.fixture
def installed(tmp_path, tiny, monkeypatch):
    """The file of an installed package; its Python code would fail."""
    folder = tmp_path / "silero_vad"
    (folder / "data").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('not to be imported')")
    path = folder / "data" / "silero_vad.onnx"
    path.write_bytes((tiny / "vad_4.onnx").read_bytes())
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "silero_vad", raising=False)
    return path


def test_the_file_of_the_package_is_found_without_importing_it(installed):
    assert installed_silero_vad() == installed


def test_without_the_package_there_is_none(absent):
    assert installed_silero_vad() is None


def test_a_pipeline_file_need_not_name_it(installed, tmp_path):
    config = VadConfig.from_dict({"silero_vad": {"threshold": 0.4}}, tmp_path)
    assert config.settings == {"model": str(installed), "threshold": 0.4}
    config.check_model(trial=False)
    assert config.create() is not None


def test_calibrate_takes_it_by_the_name_of_the_package(installed):
    assert vad_source("silero-vad").identity == vad_source(installed).identity


def test_where_it_is_missing_it_says_where_to_get_it(absent, tmp_path):
    hint = "pip install --no-deps silero-vad"
    with pytest.raises(ConfigError, match=hint):
        VadConfig.from_dict({"silero_vad": {"threshold": 0.4}}, tmp_path)
    with pytest.raises(ConfigError, match=hint):
        vad_source("silero-vad")


def test_models_tells_where_it_is(installed, capsys):
    assert main(["models", "list"]) == 0
    assert str(installed) in capsys.readouterr().out


def test_models_tells_where_to_get_it(absent, capsys):
    assert main(["models", "list"]) == 0
    assert "not here: pip install --no-deps silero-vad brings it" in capsys.readouterr().out
