"""Import hook that makes torchaudio importable if its C++ extension does not match the torch build.

SpeechBrain requires torchaudio. The torchaudio wheels for Linux are linked against CUDA libraries; next to a CPU
build of torch, loading the extension raises OSError and with it `import torchaudio` fails, although torchaudio works
without the extension (it skips an extension file that is absent). The import hook below turns "cannot be loaded" into
"absent"; if the extension loads, nothing changes.

This file imports neither torch nor torchaudio, nor anything of this package: it can be run on its own, from a
`sitecustomize.py` for example, for processes that import SpeechBrain before they import this package.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

EXTENSION = "torchaudio._extension"


class OptionalExtensionLoader(SourceFileLoader):
    """Loads `torchaudio._extension`, with or without the shared library that it loads."""

    def exec_module(self, module: ModuleType) -> None:
        """Executes the module; if the shared library cannot be loaded, sets the attributes of a build without it."""
        try:
            super().exec_module(module)
        except OSError:
            namespace: dict[str, Any] = vars(module)
            namespace["_IS_TORCHAUDIO_EXT_AVAILABLE"] = False
            namespace["_IS_ALIGN_AVAILABLE"] = False
            fail_with_message = namespace["fail_with_message"]
            namespace["fail_if_no_align"] = fail_with_message("forced alignment needs torchaudio's C++ extension")


class OptionalExtensionFinder:
    """Finds `torchaudio._extension` and has it loaded by `OptionalExtensionLoader`."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Returns the spec of torchaudio's extension module, None for every other module."""
        if name != EXTENSION:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = OptionalExtensionLoader(spec.loader.name, spec.loader.path)
        return spec


def ensure_torchaudio() -> None:
    """Makes `import torchaudio` work if only its C++ extension fails to load.

    Importing `gtcrn_frontend.adapters.speechbrain` calls it, so import that before SpeechBrain. Forked processes
    inherit the hook; a process that is spawned has it as soon as its main module imports this package.
    """
    names = [getattr(finder, "__name__", None) for finder in sys.meta_path]  # this file may be run on its own
    if OptionalExtensionFinder.__name__ not in names:
        sys.meta_path.insert(0, OptionalExtensionFinder)
