"""Late import of Ray, and the connection to a cluster."""

from __future__ import annotations

import contextlib
import logging
import signal
import tempfile
import threading
from typing import Any

from gtcrn_frontend.install_hint import install_hint


def imported_ray() -> Any:
    """Returns the module `ray`, with `ray.data`.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ImportError(f"this needs Ray Data ({error}): {install_hint('ray')}", name="ray") from error
    return ray


def connect(address: str | None = None) -> None:
    """Connects to a cluster, unless the program is connected to one.

    Args:
        address: of the cluster; None is the one that `RAY_ADDRESS` names, or that runs on this machine, or a
            new one on it.
    """
    ray = imported_ray()
    if ray.is_initialized():
        return
    handler = signal.getsignal(signal.SIGTERM)
    # The working directory becomes the first place where workers look for modules: a checkout there would hide the
    # package that is installed.
    with tempfile.TemporaryDirectory() as empty, contextlib.chdir(empty):
        settings = {} if address else {"include_dashboard": False}  # of a new cluster
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **settings)
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)  # Ray's own aborts the process


def prepare_data() -> None:
    """Makes Ray Data quiet, and blocks whose worker died too often missing instead of the end of all work."""
    context = imported_ray().data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)


def cpus() -> int:
    """Returns the number of CPUs of the cluster."""
    return max(1, int(imported_ray().cluster_resources().get("CPU", 1)))
