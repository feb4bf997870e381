import argparse
import json
import os
import signal
import subprocess
import sys
import time

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
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        command.run(parse(str(tmp_path / "absent.yaml")))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_how_to_resume_and_with_which_step(settings, write_config, tmp_path, number):
    settings["optim"]["steps"] = 100_000
    config = write_config(settings)
    main = "import sys; from gtcrn_frontend.cli.main import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", main, "train", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    log = tmp_path / "run" / "log.jsonl"
    while process.poll() is None and not (log.exists() and len(log.read_text().splitlines()) > 1):
        time.sleep(0.1)
    os.killpg(process.pid, number)  # as a terminal does: the worker gets it, too
    out, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number, err
    step = json.loads(out)["step"]
    assert step >= 3
    assert f"interrupted at step {step}, go on with --resume" in err
    assert "Traceback" not in err
