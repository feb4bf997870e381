"""Help texts fit the terminal, and say defaults in words."""

import argparse
import re

import pytest

from gtcrn_frontend.cli.main import _parser

COMMANDS = ["", *next(a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction)).choices]
COMMANDS += ["models list", "models download", "models verify", "models convert"]


def help_of(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        _parser().parse_args([*command.split(), "--help"])
    return capsys.readouterr().out


@pytest.mark.parametrize("columns", [80, 100, 200])
@pytest.mark.parametrize("command", COMMANDS)
def test_it_fits_the_terminal(command, columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    text = help_of(command, capsys)
    examples = re.search(r"^(examples|layouts|A pipeline file).*", text, re.MULTILINE | re.DOTALL)
    verbatim = {line for line in (examples[0] if examples else "").splitlines() if line.startswith("  ")}
    for line in text.splitlines():
        assert len(line) <= (100 if line in verbatim else min(columns, 100)), line


@pytest.mark.parametrize("command", COMMANDS)
def test_defaults_are_words_and_numbers(command, capsys):
    text = " ".join(help_of(command, capsys).split())
    assert not re.search(r"default: ?(\(|\[|\{|None|==SUPPRESS|[A-Z]\w*\(|<)", text)


def test_paragraphs_are_wrapped_and_examples_are_kept(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    text = help_of("calibrate", capsys)
    assert "\n  gtcrn-frontend calibrate --recognizer pipeline.yaml --manifest test.jsonl --noise noise/ \\\n" in text
    assert re.search(r"^Manifest: JSON lines with audio and text, a CSV or TSV file with$", text, re.MULTILINE)
