import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Ray cluster of two CPUs on this machine, whose workers see the installed package, not the source tree."""
    import ray  # not at the top: this file is also imported where Ray is not installed

    with contextlib.chdir(tmp_path_factory.mktemp("ray")):
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield ray
    ray.shutdown()
