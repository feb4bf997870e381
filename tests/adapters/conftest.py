"""What the tests of all adapters share."""

from collections.abc import Callable

import numpy as np
import pytest

from gtcrn_frontend import Enhancer


@pytest.fixture
def break_engine(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Returns a function after which each call of the default engine raises, in all streams."""
    enhancer = Enhancer()
    enhancer.process_chunk(np.zeros(1000, np.int16))
    backend = enhancer._stream.backend

    def fail(*_: object) -> None:
        raise RuntimeError("the engine is broken")

    def break_it() -> None:
        for name in ("push", "push_aligned", "finish", "finish_aligned"):
            monkeypatch.setattr(type(backend), name, fail)

    return break_it
