"""One engine of every kind."""

import pytest

from gtcrn_frontend.engines.loading import load


@pytest.fixture(scope="session", params=["onnx", "torch", "ready graph"])
def engine(request, random_checkpoint):
    """An engine with random weights, but for the ready graph, which comes with released ones."""
    if request.param != "ready graph":
        return load(random_checkpoint, request.param).engine
    return load(request.getfixturevalue("shared") / "reference/gtcrn/gtcrn_simple.onnx").engine
