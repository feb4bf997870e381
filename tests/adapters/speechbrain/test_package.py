"""The package itself: what it imports, in which order, and what it says where something is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import speechbrain

import gtcrn_frontend.adapters.speechbrain as package
from gtcrn_frontend.adapters.speechbrain import torchaudio_fallback
from gtcrn_frontend.install_hint import install_hint

WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {library!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
{statement}
"""


def run_python(code: str, *, pythonpath: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": pythonpath, "PYTHONSAFEPATH": "1"}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("library", ["torch", "speechbrain"])
@pytest.mark.parametrize(
    "statement",
    [
        "from gtcrn_frontend.adapters.speechbrain import EnhanceFrontend",
        "import gtcrn_frontend.adapters.speechbrain.dataio",
    ],
)
def test_what_is_missing_is_named_with_the_extra(library: str, statement: str) -> None:
    done = run_python(WITHOUT.format(library=library, statement=statement))
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: gtcrn_frontend.adapters.speechbrain needs")
    assert f"{library}, which is not installed: {install_hint('speechbrain')}" in last


def test_importing_the_package_imports_no_library() -> None:
    done = run_python("import gtcrn_frontend.adapters.speechbrain, sys; print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    assert not {"torch", "torchaudio", "speechbrain"} & set(done.stdout.split())


def test_importing_the_package_first_makes_speechbrain_importable() -> None:
    """In a process without the hook that the tests put into others."""
    code = """if True:
        import sys
        assert "sitecustomize" not in sys.modules or "torchaudio_fallback" not in str(sys.modules["sitecustomize"])
        from gtcrn_frontend.adapters.speechbrain import EnhanceFrontend
        import torchaudio
        import speechbrain
        print(speechbrain.__file__, EnhanceFrontend.__module__)
    """
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [speechbrain.__file__, "gtcrn_frontend.adapters.speechbrain.frontend"]


def test_the_package_does_not_shadow_the_library() -> None:
    folder = Path(package.__file__).parent
    assert "adapters" not in Path(speechbrain.__file__).parts
    assert not {"speechbrain.py", "torch.py", "torchaudio.py"} & {path.name for path in folder.iterdir()}


def test_every_public_name_is_there() -> None:
    for name in package.__all__:
        assert getattr(package, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'EnhanceFrontends'"):
        _ = package.EnhanceFrontends


def test_the_hook_is_installed_once() -> None:
    before = list(sys.meta_path)
    torchaudio_fallback.ensure_torchaudio()
    assert sys.meta_path == before
    assert [getattr(finder, "__name__", "") for finder in before].count("OptionalExtensionFinder") == 1
