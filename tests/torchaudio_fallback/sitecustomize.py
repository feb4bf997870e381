"""Lets torchaudio be imported next to a torch build that its C++ extension does not fit.

SpeechBrain requires torchaudio. The torchaudio wheels for Linux are linked against CUDA libraries; next to a CPU
build of torch, loading the extension raises OSError and with it `import torchaudio` fails, although torchaudio works
without the extension (it skips an extension file that is absent). This import hook turns "cannot be loaded" into
"absent"; where the extension loads, nothing changes.

The file is called `sitecustomize.py` because Python imports a module of that name at start-up: with this folder in
`PYTHONPATH`, every Python process has the hook before its first import. `tests/conftest.py` sets that for the
subprocesses of tests and runs this file for the test process itself. It imports neither torch nor torchaudio.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType

EXTENSION = "torchaudio._extension"


class OptionalExtensionLoader(SourceFileLoader):
    """Loads `torchaudio._extension`, which in turn loads the shared library, or does without that library."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module; if the shared library cannot be loaded, set what the module sets where it is absent."""
        try:
            super().exec_module(module)
        except OSError:
            module._IS_TORCHAUDIO_EXT_AVAILABLE = False
            module._IS_ALIGN_AVAILABLE = False
            module.fail_if_no_align = module.fail_with_message("forced alignment needs torchaudio's C++ extension")


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


sys.meta_path.insert(0, OptionalExtensionFinder)
