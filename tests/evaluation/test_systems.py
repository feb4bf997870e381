import numpy as np
import pytest
import soundfile

from gtcrn_frontend import Enhancer, EnhancerConfig
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation import systems as module
from gtcrn_frontend.evaluation.systems import (
    RAW,
    distinct_models,
    name_of_setting,
    outputs,
    setting_key,
    systems_of,
)

NOISY = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)


def test_each_output_is_what_the_enhancer_gives() -> None:
    settings = [RAW, *(EnhancerConfig(strength=s) for s in (1.0, 0.5, 0.125)), EnhancerConfig(max_attenuation_db=6)]
    for setting, output in zip(settings, outputs(NOISY, 16000, settings), strict=True):
        expected = NOISY if setting.bypass else Enhancer.from_config(setting).enhance(NOISY)
        np.testing.assert_allclose(output.samples, expected, atol=1e-6)
        assert (output.took_s == 0) == setting.bypass


def test_the_rate_is_that_of_the_signal() -> None:
    (output,) = outputs(NOISY, 8000, [EnhancerConfig(strength=0.5)])
    np.testing.assert_allclose(output.samples, Enhancer(sample_rate=8000, strength=0.5).enhance(NOISY), atol=1e-6)


@pytest.mark.parametrize("rate", [16000, 48000])
@pytest.mark.parametrize("auto_strength", [None, {"noisy_snr_db": -5, "clean_snr_db": 10, "min_strength": 0.1}])
def test_so_it_is_with_the_guard(audio_folder, rate: int, auto_strength: dict[str, float] | None) -> None:
    speech, _ = soundfile.read(audio_folder / "speech_a.flac", dtype="float32")
    noisy = speech + np.random.default_rng(1).normal(0, 0.01, len(speech)).astype(np.float32)
    setting = EnhancerConfig(strength="auto", auto_strength=auto_strength, sample_rate=rate)
    (output,) = outputs(noisy, rate, [setting])
    np.testing.assert_allclose(output.samples, Enhancer.from_config(setting).enhance(noisy), atol=1e-4)


def test_the_network_runs_once_for_all_strengths(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    enhancer = module._enhancer

    def counted(setting: EnhancerConfig) -> Enhancer:
        runs.append(setting)
        return enhancer(setting)

    monkeypatch.setattr(module, "_enhancer", counted)
    strengths = [EnhancerConfig(strength=s) for s in (0.2, 1.0, "auto", 0.7)]
    list(outputs(NOISY, 16000, [*strengths, EnhancerConfig(strength="auto", auto_strength={"caution": 1})]))
    assert len(runs) == 1


def test_keys_name_weights_and_strength(random_checkpoint, tmp_path) -> None:
    copy = tmp_path / "other_name.safetensors"
    copy.write_bytes(random_checkpoint.read_bytes())
    half, full = EnhancerConfig(random_checkpoint, strength=0.5), EnhancerConfig(random_checkpoint, strength=1.0)
    auto, other = (
        EnhancerConfig(strength="auto", auto_strength=auto_strength) for auto_strength in (None, {"caution": 1})
    )
    keys = {setting_key(setting) for setting in (RAW, half, full, EnhancerConfig(strength=1.0), auto, other)}
    assert len(keys) == 6
    assert setting_key(EnhancerConfig(copy, strength=0.5)) == setting_key(half)


def test_settings_have_short_names() -> None:
    assert name_of_setting(RAW) == "no front-end"
    assert name_of_setting(EnhancerConfig("x/y.tar", strength=0.25)) == "y 0.25"
    assert name_of_setting(EnhancerConfig("x/y.tar", strength="auto")) == "y auto"
    assert name_of_setting(EnhancerConfig("x/y.tar", strength="auto", auto_strength={"caution": 1})) == "y auto, fitted"


def test_models_that_a_report_could_not_tell_apart_are_refused() -> None:
    """The second of two files of the same name took the first one's row, without a word."""
    assert distinct_models(["gtcrn-asr", "runs/a/last.safetensors", "gtcrn-asr"]) == [
        "gtcrn-asr",
        "runs/a/last.safetensors",
    ]
    with pytest.raises(ConfigError, match=r"runs/a/last\.safetensors and runs/b/last\.safetensors, both called 'last'"):
        distinct_models(["runs/a/last.safetensors", "runs/b/last.safetensors"])


def test_names_are_as_short_as_they_can_be(random_checkpoint, tmp_path) -> None:
    paths = []
    for folder in ("a/very/long/one", "a/very/long/other", "b/other", "c"):
        paths.append(tmp_path / folder / ("noisy.safetensors" if folder == "c" else "best.safetensors"))
        paths[-1].parent.mkdir(parents=True)
        paths[-1].write_bytes(random_checkpoint.read_bytes())
    named = systems_of(["gtcrn-asr", *paths], [1.0])
    assert list(named) == ["noisy", "gtcrn-asr", "one/best", "long/other/best", "b/other/best", "c/noisy"]
    assert [str(setting.model) for setting in named.values()][1:] == ["gtcrn-asr", *map(str, paths)]


def test_the_same_name_in_two_formats_is_told_apart(random_checkpoint, tmp_path) -> None:
    paths = [tmp_path / "best.safetensors", tmp_path / "best.ckpt.safetensors", tmp_path / "best.bin.safetensors"]
    for path in paths:
        path.write_bytes(random_checkpoint.read_bytes())
    assert list(systems_of(paths, [1.0]))[1:] == ["best", "best.ckpt", "best.bin"]
