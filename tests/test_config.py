import argparse
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gtcrn_frontend.config
from gtcrn_frontend import AutoStrengthConfig, ConfigError, Enhancer, EnhancerConfig, StreamPool, add_enhancer_args
from gtcrn_frontend.config import EnhancerSettings
from gtcrn_frontend.settings import setting_of, settings_table

configs = st.builds(
    EnhancerConfig,
    model=st.sampled_from(["gtcrn-asr", "some/path.tar"]),
    engine=st.sampled_from(["auto", "onnx"]),
    sample_rate=st.none() | st.integers(8000, 192000),
    output_sample_rate=st.none() | st.integers(8000, 192000),
    channels=st.integers(1, 16),
    downmix=st.booleans(),
    strength=st.floats(0, 1),
    bypass=st.booleans(),
    num_threads=st.integers(1, 8),
    segment_latency_ms=st.none() | st.integers(200, 10_000),
    providers=st.lists(st.sampled_from(["CUDAExecutionProvider", "CPUExecutionProvider"]), max_size=2).map(tuple),
)


@given(configs)
def test_dict_and_back(config):
    assert EnhancerConfig.from_dict(config.to_dict()) == config


def test_yaml_and_back(tmp_path):
    config = EnhancerConfig(strength=0.5, providers=("CPUExecutionProvider",), sample_rate=48000)
    config.to_yaml(tmp_path / "config.yaml")
    assert EnhancerConfig.from_yaml(tmp_path / "config.yaml") == config


@given(configs)
def test_arguments_and_back(config):
    parser = argparse.ArgumentParser()
    add_enhancer_args(parser, prefix="frontend-")
    arguments = []
    for name, value in config.to_dict().items():
        option = "--frontend-" + name.replace("_", "-")
        if value is True:
            arguments.append(option)
        elif value is not None and value is not False and value != []:
            arguments += [option, ",".join(value) if isinstance(value, list) else str(value)]
    assert EnhancerConfig.from_args(parser.parse_args(arguments), prefix="frontend-") == config


def test_no_arguments_are_the_defaults_and_every_setting_has_a_help_text():
    parser = argparse.ArgumentParser()
    add_enhancer_args(parser)
    assert EnhancerConfig.from_args(parser.parse_args([])) == EnhancerConfig()
    assert all(setting_of(f).help for cls in (EnhancerConfig, AutoStrengthConfig) for f in fields(cls))


def test_keyword_arguments_are_the_fields():
    keywords = get_type_hints(EnhancerSettings, vars(gtcrn_frontend.config)) | {"model": str | Path, "engine": str}
    assert keywords == get_type_hints(EnhancerConfig)
    config = EnhancerConfig(strength="auto", auto_strength={"caution": 0.1}, num_threads=2)
    assert EnhancerConfig(config.model, config.engine, **config.stream_settings, **config.engine_settings) == config


def test_the_table_of_the_documentation():
    rows = settings_table(EnhancerConfig).splitlines()
    assert len(rows) == 2 + len(fields(EnhancerConfig))
    (rate,) = (row for row in rows if row.startswith("| `sample_rate` |"))
    expected = "a whole number from 8000 to 192000 Hz, or none"
    assert rate == f"| `sample_rate` | {expected} | the model's | Sample rate of the input. |"
    assert "observation adding" in settings_table(EnhancerConfig)


def test_the_enhancer_keeps_its_config():
    config = EnhancerConfig(strength=0.5, sample_rate=48000, channels=2)
    assert Enhancer.from_config(config).config == config


def test_frozen():
    with pytest.raises(FrozenInstanceError):
        EnhancerConfig().strength = 0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strenght": 0.5}, "did you mean 'strength'"),
        ({"xyz": 1}, "known are model"),
        ({"strength": 2}, "from 0 to 1, got 2"),
        ({"strength": "automatic"}, "auto, or a number from 0 to 1, got 'automatic'"),
        ({"auto_strength": {"clean_snr": 30}}, "did you mean 'clean_snr_db'"),
        ({"auto_strength": {"caution": 2}}, "caution: expected a number from 0 to 1"),
        ({"auto_strength": {"caution": "much"}}, "caution: expected a number"),
        ({"auto_strength": {"noisy_snr_db": 40}}, "noisy_snr_db below clean_snr_db"),
        ({"auto_strength": {"max_strength": 1}}, "max_strength: expected a number of at least 0 and below 1"),
        ({"auto_strength": 3}, "settings by name"),
        ({"strength": 0.5, "max_attenuation_db": 12}, "one setting in two units"),
        ({"max_attenuation_db": 0}, "above 0"),
        ({"channels": 17}, "from 1 to 16"),
        ({"channels": True}, "channels"),
        ({"num_threads": 0}, "num_threads"),
        (
            {"segment_latency_ms": 199},
            "segment_latency_ms: expected a whole number from 200 to 10000 ms, or none, got 199",
        ),
        ({"segment_latency_ms": 10_001}, "segment_latency_ms"),
        ({"segment_latency_ms": 1000.5}, "segment_latency_ms"),
        ({"bypass": "yes"}, "true or false"),
        ({"providers": "CUDAExecutionProvider"}, "list of strings"),
        ({"model": ""}, "model"),
        ({"sample_rate": 0}, "sample_rate"),
        ([1, 2], "by name"),
    ],
)
def test_wrong_settings_are_explained(settings, message):
    with pytest.raises(ConfigError, match=message):
        EnhancerConfig.from_dict(settings)


@pytest.mark.parametrize("text", ["strength: 7", "strenght: 1", "- 1\n- 2", "a: [", "\x00"])
def test_a_wrong_file_is_named(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        EnhancerConfig.from_yaml(path)


def test_a_missing_file_is_named_and_an_empty_one_is_the_defaults(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        EnhancerConfig.from_yaml(tmp_path / "nowhere.yaml")
    (tmp_path / "empty.yaml").write_text("")
    assert EnhancerConfig.from_yaml(tmp_path / "empty.yaml") == EnhancerConfig()


def test_a_path_is_a_model():
    assert EnhancerConfig(model=Path("a") / "b.tar").model == str(Path("a") / "b.tar")


def test_numbers_of_numpy_are_numbers(tmp_path):
    config = EnhancerConfig(sample_rate=np.int64(48000), strength=np.float32(0.5), channels=np.int16(2))
    config.to_yaml(tmp_path / "config.yaml")
    assert EnhancerConfig.from_yaml(tmp_path / "config.yaml") == config
    assert type(config.sample_rate) is int


def test_files_of_the_former_default_may_hold_an_attenuation_too():
    assert EnhancerConfig(strength=1.0, max_attenuation_db=12).effective_strength == pytest.approx(0.749, abs=1e-3)


def test_the_guard_is_a_strength_and_its_parameters_go_everywhere(tmp_path):
    config = EnhancerConfig.from_dict({"strength": "auto", "auto_strength": {"caution": 0.1}})
    assert config.auto_strength == AutoStrengthConfig(caution=0.1)
    assert (config.strength_or_auto, config.auto_strength_config.caution) == ("auto", 0.1)
    config.to_yaml(tmp_path / "config.yaml")
    assert EnhancerConfig.from_yaml(tmp_path / "config.yaml") == config
    parser = argparse.ArgumentParser()
    add_enhancer_args(parser)
    args = parser.parse_args(["--strength", "auto", "--auto-strength", "caution=0.1"])
    assert EnhancerConfig.from_args(args) == config
    with pytest.raises(ConfigError, match="'auto'"):
        _ = config.effective_strength
    with pytest.raises(ConfigError, match="one setting in two units"):
        EnhancerConfig(strength="auto", max_attenuation_db=12)


@pytest.mark.parametrize(
    ("option", "value"), [("--strength", "loud"), ("--auto-strength", "caution"), ("--auto-strength", "a=b")]
)
def test_a_wrong_option_is_explained(option, value, capsys):
    parser = argparse.ArgumentParser()
    add_enhancer_args(parser)
    with pytest.raises(SystemExit):
        parser.parse_args([option, value])
    assert f"got '{value}'" in capsys.readouterr().err


def test_a_model_in_a_file_starts_at_its_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    path = tmp_path / "a.yaml"
    for text, model in (
        ("models/a.tar", str(tmp_path / "models/a.tar")),
        ("/a.tar", "/a.tar"),
        ("~/a.tar", str(tmp_path / "home/a.tar")),
        ("gtcrn-dns3", "gtcrn-dns3"),
    ):
        path.write_text(f"model: {text}")
        assert EnhancerConfig.from_yaml(path).model == model
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    EnhancerConfig(model="models/a.tar").to_yaml("elsewhere/b.yaml")
    assert EnhancerConfig.from_yaml("elsewhere/b.yaml").model == str(tmp_path / "models/a.tar")


@pytest.mark.parametrize(
    "text", ["strength: 2001-99-99", "channels: 0b_", f"strength: {'9' * 400}", "model: " + "[" * 3000]
)
def test_what_yaml_cannot_read_is_a_config_error(tmp_path, text):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"a\.yaml"):
        EnhancerConfig.from_yaml(tmp_path / "a.yaml")


@pytest.mark.parametrize("rate", [44100.0, np.float64(44100), "44100", True])
@pytest.mark.parametrize("name", ["sample_rate", "output_sample_rate"])
def test_a_sample_rate_is_a_whole_number(name, rate):
    """44100.0 as well is refused: whoever computes rates shall round them."""
    for make in (Enhancer, EnhancerConfig, StreamPool().open):
        with pytest.raises(ConfigError, match=f"{name}: expected a whole number from 8000 to 192000 Hz, or none, got"):
            make(**{name: rate})
