"""`--config FILE` of commands: the file's settings, and options that override them."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gtcrn_frontend import ConfigError, Enhancer, EnhancerConfig, add_enhancer_args
from gtcrn_frontend.cli._config_file import add_config_arg, config_of
from gtcrn_frontend.cli.main import main
from gtcrn_frontend.evaluation.bench import benchmark


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "frontend.yaml"
    path.write_text("# gtcrn-frontend calibrate\nstrength: 0.5\nengine: onnx\n", encoding="utf-8")
    return path


def parsed(*arguments: object) -> EnhancerConfig:
    parser = argparse.ArgumentParser()
    add_enhancer_args(parser)
    add_config_arg(parser)
    return config_of(parser.parse_args([str(argument) for argument in arguments]))


def test_settings_come_from_the_file_and_options_override_them(file: Path) -> None:
    assert parsed() == EnhancerConfig()
    assert parsed("--config", file) == EnhancerConfig(strength=0.5, engine="onnx")
    assert parsed("--config", file, "--engine", "auto") == EnhancerConfig(strength=0.5)
    assert parsed("--strength", "0.8", "--config", file) == EnhancerConfig(engine="onnx"), "also with a default value"
    assert parsed("--downmix", "--config", file).downmix


def test_an_option_replaces_the_setting_in_its_other_unit(file: Path) -> None:
    assert parsed("--config", file, "--max-attenuation-db", "12") == EnhancerConfig(
        max_attenuation_db=12, engine="onnx"
    )
    file.write_text("max_attenuation_db: 12\n", encoding="utf-8")
    assert parsed("--config", file, "--strength", "0.3") == EnhancerConfig(strength=0.3)
    with pytest.raises(ConfigError, match="got both"):
        parsed("--max-attenuation-db", "12", "--strength", "0.3")


def test_defaults_stay_in_the_help() -> None:
    parser = argparse.ArgumentParser()
    add_enhancer_args(parser)
    add_config_arg(parser)
    text = " ".join(parser.format_help().split())
    assert "SUPPRESS" not in text
    assert f"(default: {EnhancerConfig.model})" in text


def test_a_file_that_cannot_be_used_is_named(file: Path) -> None:
    file.write_text("stregth: 0.5\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"frontend\.yaml.*stregth.*did you mean 'strength'"):
        parsed("--config", file)
    with pytest.raises(ConfigError, match="expected a YAML file of settings"):
        parsed("--config", file.parent / "absent.yaml")


def test_enhance_uses_the_file(file: Path, audio_folder: Path, tmp_path: Path) -> None:
    samples, rate = soundfile.read(audio_folder / "speech_a.flac", frames=16000, dtype="float32")
    soundfile.write(tmp_path / "in.wav", samples, rate, subtype="FLOAT")
    assert main(["enhance", str(tmp_path / "in.wav"), "-o", str(tmp_path / "out.wav"), "--config", str(file)]) == 0
    expected = Enhancer(engine="onnx", strength=0.5).enhance(samples)
    np.testing.assert_allclose(soundfile.read(tmp_path / "out.wav", dtype="float32")[0], expected, atol=1e-5)


def test_bench_measures_the_engine_of_the_file(file: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(benchmark, "QUICK", benchmark.Effort((1,), (16,), seconds=0.001, opened=2))
    monkeypatch.setattr(benchmark, "STREAMS_PER_CALL", 2)
    monkeypatch.setattr(benchmark, "in_fresh_process", lambda function, *args: function(*args))
    assert main(["bench", "--quick", "--config", str(file)]) == 0
    text = capsys.readouterr().out
    assert "| onnx" in text
    assert "| native" not in text
