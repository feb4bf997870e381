import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[3] / "benchmarks" / "hosts"


@pytest.fixture(scope="session", autouse=True)
def _scripts_can_be_imported() -> Iterator[None]:
    """Puts the folder of the scripts where they find each other, as when one of them is run."""
    sys.path.insert(0, str(SCRIPTS))
    yield
    sys.path.remove(str(SCRIPTS))
