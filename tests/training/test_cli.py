import argparse
import json

import pytest

from gtcrn_frontend.cli import train as command
from gtcrn_frontend.errors import ConfigError


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers(required=True))
    return parser.parse_args(["train", *arguments])


def test_the_command_trains_and_prints_the_scores(settings, write_config, tmp_path, capsys):
    args = parse(str(write_config(settings)))
    assert args.run(args) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["output"] == str(tmp_path / "run")
    assert {"si_snr_db", "pesq", "stoi"} < printed.keys()


def test_a_slice_of_no_time_can_be_resumed(settings, write_config, tmp_path, capsys):
    path = str(write_config(settings))
    for arguments in (["--max-seconds", "0"], ["--resume", "--max-seconds", "0"]):
        args = parse(path, *arguments)
        assert args.run(args) == 0
    assert (tmp_path / "run" / "checkpoint.pt").is_file()
    assert "pesq" not in capsys.readouterr().out


def test_a_wrong_config_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        command.run(parse(str(tmp_path / "absent.yaml")))
