import argparse
import dataclasses
import re
from pathlib import Path

import pytest

from gtcrn_frontend.cli import data
from gtcrn_frontend.cli.data import DATA_SETS
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.settings import settings_table
from gtcrn_frontend.training import config
from gtcrn_frontend.training.config import TrainConfig
from gtcrn_frontend.training.config_file import load_config
from gtcrn_frontend.training.data.layouts import LAYOUTS

SECTIONS = [name for name in config.__all__ if name.endswith("Config") and name != "TrainConfig"]
ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted({*(ROOT / "examples").glob("train_*.yaml"), ROOT / "examples" / "finish_gtcrn_asr.yaml"})


def test_settings_arrive_and_paths_start_at_the_file(settings, write_config, tmp_path):
    config = load_config(write_config(settings))
    assert config.output == tmp_path / "run"
    assert config.held_out.file == tmp_path / "split.json"
    assert config.mixing.segment_s == 0.5
    assert config.mixing.snr_db == (-5.0, 25.0)
    assert config.optim.steps == 6
    assert len(config.corpora) == 1


def check_parts(begun, finished):
    """The second part continues the first one, on its corpora and its split."""
    assert begun.optim.steps > 1000
    assert any(corpus.manifest for corpus in begun.corpora)
    assert Path(finished.start).resolve() == (begun.output / "last.safetensors").resolve()
    recordings = [dataclasses.replace(corpus, weights={}) for corpus in finished.corpora]
    assert all(dataclasses.replace(corpus, weights={}) in recordings for corpus in begun.corpora)
    others = ("snr_db", "level_db", "segment_s", "synthetic_prob", "synthetic_kinds", "min_speech_snr_db")
    same = dataclasses.replace(finished.mixing, **{name: getattr(begun.mixing, name) for name in others})
    assert (same, finished.held_out) == (begun.mixing, begun.held_out)


def test_the_second_part_of_the_example_and_of_gtcrn_voice_continues_the_first():
    check_parts(*(load_config(ROOT / "examples" / f"{name}_gtcrn_asr.yaml") for name in ("train", "finish")))
    records = ROOT / "benchmarks" / "training"
    check_parts(*(load_config(records / f"gtcrn_voice_{part}.yaml") for part in ("part1", "parts2to12")))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_needs_only_what_its_commands_make(path):
    assert {corpus.manifest for corpus in load_config(path).corpora} == {path.parent / "../data/manifest.jsonl"}
    text = path.read_text()
    if "train_gtcrn_asr.yaml" in text and path.name != "train_gtcrn_asr.yaml":  # where the data comes from
        path = path.with_name("train_gtcrn_asr.yaml")
        text = path.read_text()
    (command,) = re.findall(r"gtcrn-frontend (data .*)", text)
    parser = argparse.ArgumentParser()
    data.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(command.split())
    assert arguments.output == Path("data") and arguments.librispeech
    for name in DATA_SETS:  # each source is named with its public origin
        origins = re.findall(r"https://\S+[^\s)]", LAYOUTS[name].origin)
        origins += ["https://www.openslr.org/31"] * (name == "librispeech")
        assert f"--{name} " not in command or any(origin in text for origin in origins), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outptu": "x"}, "did you mean 'output'"),
        ({"optim": {"step": 3}}, "did you mean 'steps'"),
        ({"optim": {"steps": "many"}}, "optim: steps: expected a whole number of at least 1, got 'many'"),
        ({"optim": {"steps": True}}, "steps: expected a whole number"),
        ({"optim": {"steps": 0}}, "steps: expected a whole number of at least 1, got 0"),
        ({"optim": 3}, "optim: expected settings by name, got 3"),
        ({"mixing": {"snr_db": [1]}}, "snr_db: expected 2 numbers of dB, not falling, got [1]"),
        ({"mixing": {"snr_db": [5, -5]}}, "snr_db: expected 2 numbers of dB, not falling"),
        ({"mixing": {"reverb_prob": 1.5}}, "reverb_prob: expected a number from 0 to 1, got 1.5"),
        ({"mixing": {"degradation": "rain"}}, "degradation: expected noise or compression, got 'rain'"),
        ({"loss": {"log_mel": -1.0}}, "log_mel: expected a number of at least 0"),
        ({"loss": {"distillation": 1.0}}, "loss: distillation needs models to learn from: name them in teachers"),
        ({"loss": {"teachers": "gtcrn-dns3"}}, "teachers: expected a list of names or paths"),
        ({"loss": {"teachers": [3]}}, "teachers: expected a list of names or paths, got [3]"),
        ({"held_out": {"speech": -0.5}}, "held_out: speech: expected a number from 0 to 1"),
        ({"validation": {"metric": "wer"}}, "metric: expected one of pesq, si_snr_db, stoi, log_mel, recognizer"),
        (
            {"validation": {"metric": "recognizer"}},
            "recognizer needs recognisers: name them in loss",
        ),
        ({"corpora": {}}, "corpora: expected a list of"),
        ({"corpora": [{"speech": "a", "noise": "b"}]}, "one of manifest"),
        ({"corpora": [{"clean": "a"}]}, "clean and noisy together"),
        ({"corpora": [{"speech": "a", "group": "("}]}, "not a regular expression"),
        ({"corpora": [{"speech": "a", "group": "x"}]}, "names the speaker"),
        ({"corpora": [{"manifest": "a", "weights": {"b": "c"}}]}, "weights: expected numbers of at least 0 by name"),
        ({"corpora": [{"manifest": "a", "weights": {"b": -1.0}}]}, "weights: expected numbers of at least 0 by name"),
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
    with pytest.raises(ConfigError, match="expected the setting 'output', got none"):
        load_config(write_config(settings))


def test_a_missing_or_broken_file_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.yaml.*cannot be read"):
        load_config(tmp_path / "absent.yaml")
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match="expected a YAML file"):
        load_config(tmp_path / "broken.yaml")


@pytest.mark.parametrize("cls", [TrainConfig, *(config.__dict__[name] for name in SECTIONS)])
def test_every_setting_is_documented_with_its_values(cls):
    table = settings_table(cls)
    for item in dataclasses.fields(cls):
        row = next(line for line in table.splitlines() if line.startswith(f"| `{item.name}` |"))
        assert all(cell.strip() for cell in row.strip("|").split("|")), row
        assert f"{item.name}: " in cls.__doc__
