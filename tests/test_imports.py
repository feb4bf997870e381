"""The core is light: it imports none of the heavy libraries, and works where they are not installed."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "onnx", "sherpa_onnx", "speechbrain", "scipy", "torchaudio", "soxr", "pesq", "pystoi", "matplotlib")

ENHANCE = f"""
import sys
import numpy as np

HEAVY = {HEAVY}

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HEAVY:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

for name in list(sys.modules):  # an interpreter's own start-up may have prepared something
    if name.partition(".")[0] in HEAVY:
        del sys.modules[name]
if sys.argv[2] == "absent":
    sys.meta_path.insert(0, Absent())

import gtcrn_frontend
print(*[name for name in sys.modules if name.partition(".")[0] in HEAVY])

from gtcrn_frontend import Enhancer
enhancer = Enhancer(sys.argv[1], engine=sys.argv[3])
noise = np.random.default_rng(0).normal(0, 0.1, 5000).astype(np.float32)
enhanced = np.concatenate([*(enhancer.process_chunk(chunk) for chunk in np.split(noise, 10)), enhancer.flush()])
assert enhanced.shape == noise.shape and np.isfinite(enhanced).all() and enhanced.any()
print(*[name for name in sys.modules if name.partition(".")[0] in HEAVY])
"""


@pytest.mark.parametrize("installed", ["installed", "absent"])
@pytest.mark.parametrize("model", ["safetensors", "tar"])
def test_importing_and_enhancing_needs_no_heavy_library(
    random_checkpoint, random_parameters, tmp_path, model, installed
):
    path = random_checkpoint
    if model == "tar":
        import torch

        path = tmp_path / "model.tar"
        torch.save({"model": {name: torch.from_numpy(array) for name, array in random_parameters.items()}}, path)
    done = subprocess.run(
        [sys.executable, "-c", ENHANCE, str(path), installed, "onnx"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["", ""], "imported by the package, imported by enhancing"


def test_the_check_would_notice(random_checkpoint):
    """The same program does report torch where the torch engine runs, and fails where it is absent."""
    command = [sys.executable, "-c", ENHANCE, str(random_checkpoint)]
    with_torch = subprocess.run([*command, "installed", "torch"], capture_output=True, text=True, timeout=60)
    assert "torch" in with_torch.stdout.splitlines()[1].split()
    without = subprocess.run([*command, "absent", "torch"], capture_output=True, text=True, timeout=60)
    assert without.returncode != 0
    assert "ModelError" in without.stderr
