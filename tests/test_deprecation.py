"""Old names work, with a warning, and do what the new ones do."""

from pathlib import Path

import numpy as np
import pytest
import yaml

import gtcrn_frontend
from gtcrn_frontend import AutoStrengthConfig, ConfigError, Enhancer, EnhancerConfig, StreamPool
from gtcrn_frontend.cli.main import main
from gtcrn_frontend.training.config import LossConfig, MixingConfig, OptimConfig
from gtcrn_frontend.training.config_file import load_config

NEW = EnhancerConfig(strength="auto", auto_strength={"caution": 0.1})


def renamed(old: str, new: str):
    return pytest.warns(DeprecationWarning, match=f"{old}' was renamed to '{new}'")


def test_a_setting_by_its_old_name(tmp_path: Path) -> None:
    with renamed("guard", "auto_strength"):
        assert EnhancerConfig(strength="auto", guard={"caution": 0.1}) == NEW
    with renamed("guard", "auto_strength"):
        assert EnhancerConfig.from_dict({"strength": "auto", "guard": {"caution": 0.1}}) == NEW
    (tmp_path / "old.yaml").write_text("strength: auto\nguard: {caution: 0.1}\n")
    with renamed("guard", "auto_strength"):
        assert EnhancerConfig.from_yaml(tmp_path / "old.yaml") == NEW


def test_the_warning_names_the_line_that_is_to_be_changed() -> None:
    with renamed("guard", "auto_strength") as caught:
        EnhancerConfig(guard=None)
    assert [warning.filename for warning in caught] == [__file__]


def test_both_names_at_once_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected 'auto_strength' only, got its old name 'guard'"):
        EnhancerConfig(guard={"caution": 0.1}, auto_strength=None)


def test_attributes_by_their_old_names() -> None:
    with renamed("guard", "auto_strength"):
        assert NEW.guard == NEW.auto_strength
    with renamed("guard_config", "auto_strength_config"):
        assert NEW.guard_config == AutoStrengthConfig(caution=0.1)
    with renamed("guard", "auto_strength"):
        enhancer = Enhancer(strength="auto", guard={"caution": 0.1})
    assert enhancer.config == NEW
    enhancer.process_chunk(np.zeros(1024, np.float32))
    with renamed("guard", "auto_strength_report"):
        assert enhancer.guard == enhancer.auto_strength_report
    with renamed("guards", "auto_strength_reports"):
        assert enhancer.guards == enhancer.auto_strength_reports != ()


def test_a_pool_takes_them_too() -> None:
    pool = StreamPool()
    with renamed("guard", "auto_strength"):
        stream = pool.open(strength="auto", guard={"caution": 0.1})
    info = pool.info(stream)
    with renamed("guards", "auto_strength_reports"):
        assert info.guards == info.auto_strength_reports


def test_classes_by_their_old_names() -> None:
    with renamed("GuardConfig", "AutoStrengthConfig"):
        assert gtcrn_frontend.GuardConfig is AutoStrengthConfig
    with renamed("GuardReport", "AutoStrengthReport"):
        assert gtcrn_frontend.GuardReport is gtcrn_frontend.AutoStrengthReport
    with pytest.raises(AttributeError, match="GuardRail"):
        _ = gtcrn_frontend.GuardRail


def test_an_option_by_its_old_name(tmp_path: Path, audio_folder: Path) -> None:
    source, auto = str(audio_folder / "speech_a.flac"), ["--strength", "auto"]
    old, new = tmp_path / "old.wav", tmp_path / "new.wav"
    with renamed("--guard", "--auto-strength"):
        assert main(["enhance", source, "-o", str(old), *auto, "--guard", "max_strength=0.3"]) == 0
    assert main(["enhance", source, "-o", str(new), *auto, "--auto-strength", "max_strength=0.3"]) == 0
    assert old.read_bytes() == new.read_bytes()


def test_the_option_of_calibrate(tmp_path: Path) -> None:
    with renamed("--fit-guard", "--fit-auto-strength"):
        assert main(["calibrate", "--recognizer", "absent.yaml", "--manifest", "absent", "--fit-guard"]) == 1


def test_help_shows_the_new_names_only(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("enhance", "calibrate"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        shown = capsys.readouterr().out
        assert "auto-strength" in shown
        assert "guard" not in shown.partition("options:")[2].replace("parameters of the guard", "")


@pytest.mark.parametrize(
    ("cls", "old", "new", "value"),
    [
        (MixingConfig, "piece_s", "segment_s", 1.5),
        (MixingConfig, "reverb_share", "reverb_prob", 0.1),
        (OptimConfig, "peak_rate", "peak_lr", 0.5),
        (OptimConfig, "freeze_norm_share", "freeze_norm_fraction", 0.5),
        (OptimConfig, "average_decay", "ema_decay", 0.5),
        (LossConfig, "disturbance", "pesq_like", 0.5),
        (LossConfig, "dnsmos", "dnsmos_folder", Path("x")),
    ],
)
def test_settings_of_a_training(cls: type, old: str, new: str, value: object) -> None:
    with renamed(old, new):
        assert cls(**{old: value}) == cls(**{new: value})


def test_a_training_config_from_before(tmp_path: Path) -> None:
    common = {"output": "run", "corpora": [{"speech": "speech"}]}
    old = {"mixing": {"piece_s": 2.0, "clip_share": 0.1}, "loss": {"opinion": 2.0, "dnsmos": "dns"}}
    new = {"mixing": {"segment_s": 2.0, "clip_prob": 0.1}, "loss": {"dnsmos_ovrl": 2.0, "dnsmos_folder": "dns"}}
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(common | old))
    (tmp_path / "new.yaml").write_text(yaml.safe_dump(common | new))
    with pytest.warns(DeprecationWarning) as caught:
        read = load_config(tmp_path / "old.yaml")
    assert len(caught) == 4
    assert read == load_config(tmp_path / "new.yaml")
