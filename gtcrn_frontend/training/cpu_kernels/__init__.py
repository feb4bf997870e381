"""Compiled kernels (numba) for training on a CPU; `OptimConfig.fused` turns them off."""

import os

from gtcrn_frontend.weights.registry import cache_folder

# For a user without a home numba would make a folder named `~` in the working directory.
if os.path.expanduser("~") == "~":  # noqa: PTH111  Path's method raises an error instead
    os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_folder() / "numba"))
