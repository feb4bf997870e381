"""Parts of installed packages, without what these import when they are loaded as a whole."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

_ALIAS = "_gtcrn_frontend_part_of_"


def package_folder(package: str, distribution: str) -> Path:
    """Returns the folder of an installed package, which is not imported.

    Args:
        package: name in Python.
        distribution: name for pip.

    Raises:
        ImportError: it is not installed.
    """
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # a parent is not installed, or a placeholder in sys.modules
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"it is not installed: pip install {distribution}", name=package)
    return Path(next(iter(spec.submodule_search_locations)))


def import_part(folder: Path, module: str) -> ModuleType:
    """Imports one module of a package from its folder, without the package's `__init__`.

    The module can import its siblings. Whatever it raises is passed on.
    """
    alias = _ALIAS + folder.name
    if alias not in sys.modules:
        package = ModuleType(alias)
        package.__path__ = [str(folder)]
        sys.modules[alias] = package
    return importlib.import_module(f"{alias}.{module}")
