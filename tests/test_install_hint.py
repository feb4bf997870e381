"""The command that installs an extra works from wherever the package came."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from gtcrn_frontend import install_hint as module
from gtcrn_frontend.install_hint import install_hint

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


class Distribution:
    def __init__(self, recorded: str | None) -> None:
        self.recorded = recorded

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self.recorded


@pytest.fixture
def came_from(monkeypatch):
    """Pretends that pip has recorded an origin."""

    def pretend(origin: dict | None) -> None:
        recorded = Distribution(None if origin is None else json.dumps(origin))
        monkeypatch.setattr(module, "distribution", lambda name: recorded)
        module._command.cache_clear()

    yield pretend
    monkeypatch.undo()
    module._command.cache_clear()


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (None, "pip install 'gtcrn-frontend[a,b]'"),
        (
            {"url": "https://example.org/x.git", "vcs_info": {"vcs": "git", "commit_id": "1234"}},
            "pip install 'gtcrn-frontend[a,b] @ git+https://example.org/x.git'",
        ),
        (
            {"url": "https://example.org/x.whl", "archive_info": {}},
            "pip install 'gtcrn-frontend[a,b] @ https://example.org/x.whl'",
        ),
        (
            {"url": "file:///no/such/folder", "dir_info": {}},
            "in a checkout of gtcrn_frontend: pip install '.[a,b]'",
        ),
    ],
)
def test_it_names_what_the_package_came_from(came_from, origin, command):
    came_from(origin)
    assert install_hint("a", "b") == command


@pytest.mark.parametrize(("dir_info", "option"), [({}, ""), ({"editable": True}, "-e ")])
def test_a_folder_is_named_as_it_is(came_from, tmp_path, dir_info, option):
    folder = tmp_path / "a {folder} of mine"
    folder.mkdir()
    came_from({"url": folder.as_uri(), "dir_info": dir_info})
    assert install_hint("plot") == f"pip install {option}'{folder}[plot]'"


def test_pip_understands_the_one_of_this_installation():
    command = install_hint("sherpa").removeprefix("in a checkout of gtcrn_frontend: ")
    target = re.fullmatch(r"pip install (?:-e )?'(.+)'", command)
    assert target, command
    if target[1].startswith("."):
        return
    parsed = "from pip._internal.req.constructors import install_req_from_line as parse; import sys; "
    done = subprocess.run(
        [sys.executable, "-c", parsed + "print(*parse(sys.argv[1]).extras)", target[1]], capture_output=True, text=True
    )
    assert done.stdout.split() == ["sherpa"], done.stderr


def test_the_extras_of_all_messages_exist():
    sources = [path for folder in ("gtcrn_frontend", "adapters") for path in (ROOT / folder).rglob("*.py")]
    named = {
        extra
        for source in sources
        for arguments in re.findall(r"install_hint\(([^)]*)\)\}", source.read_text(encoding="utf-8"))
        for extra in re.findall(r"'(\w+)'", arguments)
    }
    assert {"sherpa", "export", "train", "calibrate"} <= named <= set(EXTRAS)
