"""Builds the browser package `dist/gtcrn.js`: the C engine as WebAssembly, its weights and the JavaScript in one file.

    python adapters/web/build.py

Needs the installed package and PyPI's `ziglang`, which brings a C compiler for WebAssembly.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

from gtcrn_frontend.weights.model import load_model, model_path
from gtcrn_frontend.weights.pack import pack_model

HERE = Path(__file__).resolve().parent
NATIVE = HERE.parents[1] / "gtcrn_frontend/native"
DEFAULT_MODEL = "gtcrn-asr"

# As in setup.py; a reactor is a module with functions and without main.
FLAGS = (
    *("-target", "wasm32-wasi", "-mexec-model=reactor", "-msimd128", "-std=gnu11", "-DGTCRN_SINGLE", f"-I{NATIVE}"),
    *("-Wall", "-Wextra", "-Werror", "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros"),
)
KERNEL_FLAGS = ("-O3", "-ffp-contract=fast")
OTHER_FLAGS = ("-Os", "-ffp-contract=off")
STACK = 1 << 18  # of the deepest call: buffers of 16 ms at 192 kHz
LINK = ("-s", f"-Wl,-z,stack-size={STACK}")
NOT_BUILT = {"parallel.c", "kernel.c", "export_state.c", "import_state.c"}  # threads; built apart; not offered

WORKLET = ("engine.js", "live_stream.js", "worklet.js")
LIBRARY = ("engine.js", "model.js", "denoiser_node.js", "stream_denoiser.js", "livekit.js")
IMPORT = re.compile(r"^import .*\n", re.MULTILINE)


def compile_engine() -> bytes:
    """Returns the WebAssembly module of the C engine, which imports nothing."""
    if importlib.util.find_spec("ziglang") is None:
        raise SystemExit("expected the package ziglang, which compiles C for WebAssembly: pip install ziglang")
    cc = (sys.executable, "-m", "ziglang", "cc", *FLAGS)
    sources = [str(path) for path in sorted(NATIVE.glob("*.c")) if path.name not in NOT_BUILT]
    with tempfile.TemporaryDirectory() as folder:
        kernel, module = f"{folder}/kernel.o", f"{folder}/gtcrn.wasm"
        subprocess.run([*cc, *KERNEL_FLAGS, "-c", str(NATIVE / "kernel.c"), "-o", kernel], check=True)
        own = str(HERE / "src/engine.c")
        subprocess.run([*cc, *OTHER_FLAGS, *LINK, own, *sources, kernel, "-o", module], check=True)
        return Path(module).read_bytes()


def weights_of(model: str) -> bytes:
    """Returns the weight blob of a GTCRN or UL-UNAS by its name or path."""
    spec, parameters = load_model(model_path(model)).weights_for("native")
    return pack_model(spec.name, parameters)


def bundle(wasm: bytes, weights: bytes) -> str:
    """Returns the JavaScript of the package: one ES module with everything inside."""
    texts = {
        "WASM": base64.b64encode(zlib.compress(wasm, 9)).decode(),
        "WEIGHTS": base64.b64encode(zlib.compress(weights, 9)).decode(),
        "WORKLET": "".join(_script(name).replace("export ", "") for name in WORKLET),
    }
    embedded = "".join(f"const {name} = {json.dumps(text)};\n" for name, text in texts.items())
    return "// gtcrn-web, MIT licence; built by adapters/web/build.py\n" + embedded + "".join(map(_script, LIBRARY))


def _script(name: str) -> str:
    """A source without its imports, as all of them are in one file."""
    return IMPORT.sub("", (HERE / "src" / name).read_text(encoding="utf-8"))


def build(folder: Path, model: str = DEFAULT_MODEL) -> Path:
    """Writes `gtcrn.js` and its types, and `gtcrn.wasm` and `weights.bin` for other hosts; returns the first."""
    folder.mkdir(parents=True, exist_ok=True)
    wasm, weights = compile_engine(), weights_of(model)
    (folder / "gtcrn.wasm").write_bytes(wasm)
    (folder / "weights.bin").write_bytes(weights)
    shutil.copy(HERE / "src/gtcrn.d.ts", folder)
    library = folder / "gtcrn.js"
    library.write_text(bundle(wasm, weights), encoding="utf-8")
    return library


def main() -> None:
    """Builds, and prints what was written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help=f"name or path of a GTCRN or UL-UNAS (default: {DEFAULT_MODEL})"
    )
    parser.add_argument("--output", type=Path, default=HERE / "dist", help="folder (default: dist/ beside this file)")
    args = parser.parse_args()
    library = build(args.output, args.model)
    content = library.read_bytes()
    sys.stdout.write(f"{library}: {len(content):,} bytes, {len(gzip.compress(content, 9)):,} with gzip\n")


if __name__ == "__main__":
    main()
