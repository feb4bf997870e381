import dataclasses
import re
from pathlib import Path

import pytest

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.training.config_file import load_config

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_settings_arrive_and_paths_start_at_the_file(settings, write_config, tmp_path):
    config = load_config(write_config(settings))
    assert config.output == tmp_path / "run"
    assert config.held_out.file == tmp_path / "split.json"
    assert config.mixing.segment_s == 0.5
    assert config.mixing.snr_db == (-5.0, 25.0)
    assert config.optim.steps == 6
    assert len(config.corpora) == 1


def test_the_examples_are_valid_and_the_second_goes_on_from_the_first():
    begun, finished = (load_config(EXAMPLES / f"{name}_gtcrn_asr.yaml") for name in ("train", "finish"))
    assert begun.optim.steps > 1000
    assert any(corpus.manifest for corpus in begun.corpora)
    assert Path(finished.start).resolve() == (begun.output / "last.safetensors").resolve()
    # The second learns from more and cleaner data, weighted otherwise, in longer and louder pieces and in more noise,
    # more of it generated.
    recordings = [dataclasses.replace(corpus, weights={}) for corpus in finished.corpora]
    assert all(dataclasses.replace(corpus, weights={}) in recordings for corpus in begun.corpora)
    others = ("snr_db", "level_db", "segment_s", "synthetic_prob", "synthetic_kinds", "min_speech_snr_db")
    same = dataclasses.replace(finished.mixing, **{name: getattr(begun.mixing, name) for name in others})
    assert (same, finished.held_out) == (begun.mixing, begun.held_out)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outptu": "x"}, "did you mean 'output'"),
        ({"optim": {"step": 3}}, "did you mean 'steps'"),
        ({"optim": {"steps": "many"}}, "optim: steps: expected int, got 'many'"),
        ({"optim": {"steps": True}}, "expected int"),
        ({"optim": {"steps": 0}}, "steps: expected more than 0"),
        ({"optim": 3}, "expected settings by name"),
        ({"mixing": {"snr_db": [1]}}, "expected 2 values"),
        ({"mixing": {"snr_db": [5, -5]}}, "lowest, highest"),
        ({"mixing": {"reverb_prob": 1.5}}, "a number from 0 to 1"),
        ({"loss": {"log_mel": -1.0}}, "log_mel: expected 0 or more"),
        ({"loss": {"distillation": 1.0}}, "name them in teachers"),
        ({"loss": {"teachers": "gtcrn-dns3"}}, "expected a list"),
        ({"loss": {"teachers": [3]}}, "expected ModelSource, got 3"),
        ({"held_out": {"speech": -0.5}}, "a number from 0 to 1"),
        ({"corpora": {}}, "expected a list"),
        ({"corpora": [{"speech": "a", "noise": "b"}]}, "one of manifest"),
        ({"corpora": [{"clean": "a"}]}, "clean and noisy together"),
        ({"corpora": [{"speech": "a", "group": "("}]}, "not a regular expression"),
        ({"corpora": [{"speech": "a", "group": "x"}]}, "names the speaker"),
        ({"corpora": [{"manifest": "a", "weights": {"b": "c"}}]}, "expected float"),
        ({"corpora": [{"manifest": "a", "weights": {"b": -1.0}}]}, "weights: b: expected 0 or more, got -1.0"),
    ],
)
def test_wrong_settings_are_named(settings, write_config, change, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_config(write_config({**settings, **change}))


def test_teachers_are_files_beside_the_config_or_names(settings, write_config, tmp_path):
    (tmp_path / "teacher.tar").touch()
    loss = {"distillation": 1.0, "teachers": ["teacher.tar", "gtcrn-dns3"]}
    config = load_config(write_config({**settings, "loss": loss}))
    assert config.loss.teachers == (str(tmp_path / "teacher.tar"), "gtcrn-dns3")


def test_a_missing_setting_is_named(settings, write_config):
    del settings["output"]
    with pytest.raises(ConfigError, match="'output' is missing"):
        load_config(write_config(settings))


def test_a_missing_or_broken_file_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "absent.yaml")
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match="expected a YAML file"):
        load_config(tmp_path / "broken.yaml")
