"""Lets torchaudio be imported next to a torch build that its C++ extension does not fit.

SpeechBrain requires torchaudio. The torchaudio wheels for Linux are linked against CUDA libraries; next to a CPU
build of torch, loading the extension raises OSError and with it `import torchaudio` fails, although torchaudio works
without the extension (it skips an extension file that is absent). The import hook below turns "cannot be loaded" into
"absent"; where the extension loads, nothing changes.

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
    """Loads `torchaudio._extension`, which in turn loads the shared library, or does without that library."""

    def exec_module(self, module: ModuleType) -> None:
        """Runs the module; if the shared library cannot be loaded, sets what the module sets where it is absent."""
        try:
            super().exec_module(module)
        except OSError:
            namespace: dict[str, Any] = vars(module)
            namespace["_IS_TORCHAUDIO_EXT_AVAILABLE"] = False
            namespace["_IS_ALIGN_AVAILABLE"] = False
            fail_with_message = namespace["fail_with_message"]
            namespace["fail_if_no_align"] = fail_with_message("forced alignment needs torchaudio's C++ extension")


class OptionalExtensionFinder:
    """Finds `torchaudio._extension` where it is installed and has it loaded by `OptionalExtensionLoader`."""

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
    """Makes `import torchaudio` work from now on, if only its C++ extension stands in the way.

    Importing `gtcrn_frontend.adapters.speechbrain` calls it, so import that before SpeechBrain. Forked processes
    inherit the hook; a process that is spawned has it as soon as its main module imports this package.
    """
    names = [getattr(finder, "__name__", None) for finder in sys.meta_path]  # this file may have been run by itself
    if OptionalExtensionFinder.__name__ not in names:
        sys.meta_path.insert(0, OptionalExtensionFinder)
