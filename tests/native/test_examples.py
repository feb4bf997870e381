"""The C library without Python: the examples in C and Rust build, and enhance as `Enhancer` does."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from gtcrn_frontend import Enhancer
from gtcrn_frontend.native.binding import why_absent
from gtcrn_frontend.weights.fold import fold_gtcrn
from gtcrn_frontend.weights.model import load_model
from gtcrn_frontend.weights.pack import pack_gtcrn

if reason := why_absent():
    pytest.skip(f"native engine: {reason}", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "gtcrn_frontend/native"
SOURCES = sorted(map(str, LIBRARY.glob("*.c")))
OPTIONS = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-ffp-contract=fast", "-DGTCRN_SINGLE", f"-I{LIBRARY}"]


@pytest.fixture(scope="module")
def weights(random_checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "weights.bin"
    path.write_bytes(pack_gtcrn(fold_gtcrn(load_model(random_checkpoint).parameters)))
    return path


def noise(shape):
    return np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)


def need(*tools):
    if missing := [tool for tool in tools if not shutil.which(tool)]:
        pytest.skip(f"needs {' and '.join(missing)}")


@pytest.mark.parametrize("target", ["this machine", "arm64"])
def test_the_c_example_enhances_two_channels_at_48_khz(weights, random_checkpoint, tmp_path, target):
    """Also for arm64, where a cross compiler and an emulator of it are installed."""
    compiler, runner = ("cc", []) if target == "this machine" else ("aarch64-linux-gnu-gcc", ["qemu-aarch64"])
    need(compiler, *runner)
    program = str(tmp_path / "native")
    libraries = ["-lm", "-pthread", *(["-static"] if runner else [])]
    subprocess.run(
        [compiler, *OPTIONS, str(ROOT / "examples/native.c"), *SOURCES, *libraries, "-o", program], check=True
    )
    samples = noise((20_000, 2))
    done = subprocess.run([*runner, program, str(weights)], input=samples.tobytes(), capture_output=True, check=True)
    enhanced = np.frombuffer(done.stdout, np.float32).reshape(-1, 2)
    settings = {"sample_rate": 48_000, "channels": 2, "strength": "auto"}
    expected = Enhancer(random_checkpoint, "native", **settings).enhance(samples)
    np.testing.assert_allclose(enhanced, expected, atol=1e-5 * np.abs(expected).max())
    refused = subprocess.run([*runner, program, __file__], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "weight blob" in refused.stderr


def test_the_header_is_c_plus_plus_too(tmp_path):
    need("c++")
    (tmp_path / "use.cpp").write_text('#include "gtcrn.h"\nint main() { return GTCRN_API_VERSION != 2; }\n')
    program = str(tmp_path / "use")
    subprocess.run(["c++", "-Wall", "-Werror", f"-I{LIBRARY}", str(tmp_path / "use.cpp"), "-o", program], check=True)
    subprocess.run([program], check=True)


def test_the_rust_example_enhances(weights, random_checkpoint, tmp_path):
    need("cc", "rustc")
    library, program = str(tmp_path / "libgtcrn.so"), str(tmp_path / "native_rs")
    subprocess.run(["cc", *OPTIONS, "-fPIC", "-shared", *SOURCES, "-lm", "-pthread", "-o", library], check=True)
    rust = [
        "rustc",
        "--edition",
        "2021",
        "-O",
        "-D",
        "warnings",
        str(ROOT / "examples/native.rs"),
        "-L",
        str(tmp_path),
        "-l",
        "gtcrn",
    ]
    subprocess.run([*rust, "-C", "link-arg=-Wl,-rpath,$ORIGIN", "-o", program], check=True)
    samples = noise(30_000)
    done = subprocess.run([program, str(weights)], input=samples.tobytes(), capture_output=True, check=True)
    expected = Enhancer(random_checkpoint, "native", sample_rate=48_000).enhance(samples)
    enhanced = np.frombuffer(done.stdout, np.float32)
    np.testing.assert_allclose(enhanced, expected, atol=1e-5 * np.abs(expected).max())
    refused = subprocess.run([program, __file__], capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "weight blob" in refused.stderr
