"""Fixtures that more than one test file needs, and what has to be in place before any test imports SpeechBrain."""

import os
import runpy
import signal
import sys
from pathlib import Path

import hypothesis
import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"
TORCHAUDIO_FALLBACK = Path(__file__).resolve().parent / "torchaudio_fallback"

# Before torch is imported: where the cores are busy, two threads on layers this small wait for each other six times as
# long as one thread computes. Processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
runpy.run_path(str(TORCHAUDIO_FALLBACK / "sitecustomize.py"))
# Processes that tests start see the installed package as well, not the source tree that they are started in.
os.environ["PYTHONSAFEPATH"] = "1"
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TORCHAUDIO_FALLBACK), os.environ.get("PYTHONPATH")]))
# Shells start background jobs with Ctrl-C ignored, and processes that tests start and interrupt would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)


# No test judges speed, on a machine that may be busy with something else.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def _lazy_modules_stay_lazy() -> None:
    """Keeps SpeechBrain's placeholders from importing what is not installed when hypothesis looks for their files."""
    utilities = sys.modules.get("speechbrain.utils.importutils")
    if utilities is not None:
        utilities.LazyModule.__file__ = None


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the checkout; it is not part of the repository."""
    if not SHARED.is_dir():
        pytest.skip("no folder ../shared with reference data beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def audio_folder() -> Path:
    """Short recordings of the project's own making."""
    return Path(__file__).resolve().parent / "assets" / "audio"


@pytest.fixture(scope="session")
def random_parameters() -> dict[str, np.ndarray]:
    """A state dict of GTCRN whose every value is random, within the bounds of what training might find, and beyond.

    Scales of both signs, statistics far from zero and one, slopes below zero and above one: what a fresh network's
    defaults would hide.
    """
    import torch

    from gtcrn_frontend.nets.gtcrn import GTCRN

    with torch.random.fork_rng():
        torch.manual_seed(2)
        arrays = {name: tensor.numpy().copy() for name, tensor in GTCRN().state_dict().items()}
    rng = np.random.default_rng(2)
    for name, array in arrays.items():
        if name.endswith("running_var"):
            drawn = rng.uniform(0.2, 3, array.shape)
        elif name.endswith("running_mean") or (name.endswith("bias") and ("bn" in name or "ln" in name)):
            drawn = rng.normal(0, 0.3, array.shape)
        elif name.endswith("weight") and ("bn" in name or "ln" in name):
            drawn = rng.uniform(0.5, 1.5, array.shape) * rng.choice([-1, 1], array.shape)
        elif name.endswith("act.weight"):
            drawn = rng.uniform(-0.6, 1.7, array.shape)
        else:
            continue
        arrays[name] = drawn.astype(np.float32)
    return arrays


@pytest.fixture(scope="session")
def lite_rtse_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint file of Lite-RTSE with random weights, those that training begins with."""
    import torch

    from gtcrn_frontend.nets.lite_rtse import LiteRTSE
    from gtcrn_frontend.weights.checkpoint import write_safetensors

    with torch.random.fork_rng():
        torch.manual_seed(5)
        arrays = {name: tensor.numpy() for name, tensor in LiteRTSE().state_dict().items()}
    path = tmp_path_factory.mktemp("models") / "lite_rtse.safetensors"
    write_safetensors(path, arrays, {})
    return path


@pytest.fixture(scope="session")
def random_checkpoint(random_parameters: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint file with random weights: a model without `../shared` and without training."""
    from gtcrn_frontend.weights.checkpoint import write_safetensors

    path = tmp_path_factory.mktemp("models") / "random.safetensors"
    write_safetensors(path, random_parameters, {})
    return path
