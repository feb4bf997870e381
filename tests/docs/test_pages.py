"""The code of README.md and of the pages below docs/: what readers copy has to work."""

import argparse
import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hyperpyyaml import load_hyperpyyaml

from gtcrn_frontend import EnhancerConfig
from gtcrn_frontend.cli.main import _parser, main
from gtcrn_frontend.training.config_file import load_config

from .code_blocks import PAGES, ROOT, Block, blocks_of

pytestmark = pytest.mark.filterwarnings("error:.*was renamed to:DeprecationWarning")  # pages show present names

COMMAND = "gtcrn-frontend"
BLOCKS = [block for page in PAGES for block in blocks_of(page)]
RUN = [block for block in BLOCKS if block.run]
SHELL = [block for block in BLOCKS if block.language == "sh" and COMMAND in block.code]
YAML = [block for block in BLOCKS if block.language == "yaml"]
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)(?:#([^)]*))?\)")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a folder that looks like a checkout as far as pages use it, and may be written to."""
    for name in ("examples", "gtcrn_frontend", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GTCRN_FRONTEND_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_blocks_run_one_after_the_other(page: Path, checkout: Path) -> None:
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks_of(page):
        if block.language in ("python", "setup"):
            code = compile("\n" * (block.line - 1) + block.code, str(page), "exec")
            if not block.skip:
                exec(code, namespace)  # noqa: S102


@pytest.mark.parametrize("block", RUN, ids=str)
def test_shell_blocks_that_are_marked_run(block: Block, checkout: Path) -> None:
    if re.search(r"^cc ", block.code, re.MULTILINE) and shutil.which("cc") is None:
        pytest.skip("no C compiler to build the example with")
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    command = ["bash", "-euo", "pipefail", "-c", block.code]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PATH": path}, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_commands_and_their_options_exist(block: Block, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in _commands(block.code):
        try:
            _parser().parse_args(arguments)
        except SystemExit as ended:
            if not ended.code:  # it has done what it was asked at once
                continue
            pytest.fail(f"{block}: {COMMAND} {shlex.join(arguments)}\n{capsys.readouterr().err}")


@pytest.mark.parametrize("block", YAML, ids=str)
def test_yaml_blocks_load(block: Block, tmp_path: Path) -> None:
    loaded = load_hyperpyyaml(block.code) if "!" in block.code else yaml.safe_load(block.code)
    assert isinstance(loaded, dict)
    if "corpora" in loaded:
        path = tmp_path / "config.yaml"
        path.write_text(block.code, encoding="utf-8")
        assert load_config(path).output == tmp_path / loaded["output"]
    if "frontend" in loaded and "recognizer" in loaded:
        EnhancerConfig.from_dict(loaded["frontend"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        path = page.parent / target
        assert path.exists(), f"{page.name} links to {target}"
        if anchor and path.suffix == ".md" and path.name != "api.md":  # there, mkdocstrings makes the anchors
            assert anchor in _anchors(path), f"{page.name} links to {target}#{anchor}"


def test_the_set_up_comes_first_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    marks = [text.index(f"<!-- ci: {name} -->") for name in ("enhance", "test")]
    assert marks == sorted(marks)
    assert text.index("```sh") > marks[0]


def test_the_first_command_of_the_readme_may_be_run_twice(checkout: Path) -> None:
    block = next(block for block in blocks_of(ROOT / "README.md") if block.code.startswith("pip install"))
    (arguments,) = _commands(block.code)
    assert arguments[0] == "enhance"
    for _ in range(2):
        assert main(arguments) == 0
    assert (checkout / "enhanced.wav").is_file()


def test_no_page_promises_a_published_package() -> None:
    for page in PAGES:
        assert "pip install 'gtcrn-frontend" not in page.read_text(encoding="utf-8")


def _commands(code: str) -> Iterator[list[str]]:
    """The arguments of every call of this project's command; pipes, redirections and comments end one."""
    for line in code.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer) if COMMAND in line else []
        while COMMAND in words:
            words = words[words.index(COMMAND) + 1 :]
            ends = (number for number, word in enumerate(words) if set(word) <= set("|&;<>()"))
            yield words[: next(ends, len(words))]


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.replace("`", "")).strip().lower().replace(" ", "-") for heading in headings}


def test_what_the_checks_find() -> None:
    code = "arecord -r 16000 | gtcrn-frontend enhance - - | aplay\ngtcrn-frontend info  # all of it"
    assert list(_commands(code)) == [["enhance", "-", "-"], ["info"]]
    with contextlib.redirect_stderr(None), pytest.raises((SystemExit, argparse.ArgumentError)):
        _parser().parse_args(["enhance", "--no-such-option"])
