"""Installs the import hook of `adapters/speechbrain/torchaudio_fallback.py` in every Python process that starts.

Python imports a module called `sitecustomize` at start-up: with this folder in `PYTHONPATH`, a process has the hook
before its first import. `tests/conftest.py` sets that for the subprocesses of tests and runs this file for the test
process itself. It imports neither torch nor torchaudio, nor the package.
"""

import runpy
from pathlib import Path

FALLBACK = Path(__file__).resolve().parents[2] / "adapters" / "speechbrain" / "torchaudio_fallback.py"

runpy.run_path(str(FALLBACK))["ensure_torchaudio"]()
