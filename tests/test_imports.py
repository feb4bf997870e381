"""The core is light: it imports none of the heavy libraries, and works where they are not installed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "onnx", "sherpa_onnx", "speechbrain", "scipy", "torchaudio", "soxr", "pesq", "pystoi", "matplotlib")

ENHANCE = f"""
import sys
from pathlib import Path
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


ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "gtcrn_frontend"
FOUNDATION = {
    *(
        "errors",
        "deprecation",
        "install_hint",
        "parsing",
        "settings",
        "atomic_write",
        "audio",
        "native",
        "model_spec",
        "state",
        "config",
    ),
}
# What each part of the package may import, besides itself.
ALLOWED = {
    "errors": set[str](),
    "install_hint": set[str](),
    "atomic_write": set[str](),
    "model_spec": {"errors"},
    "deprecation": {"errors"},
    "parsing": {"errors"},
    "settings": {"errors", "deprecation", "parsing", "atomic_write"},
    "state": {"errors", "parsing"},
    "native": {"errors", "audio"},
    "audio": {"errors", "install_hint", "native", "atomic_write"},
    "config": {"errors", "deprecation", "settings", "audio", "model_spec"},
    "weights": FOUNDATION,
    "nets": FOUNDATION | {"weights"},
    "engines": FOUNDATION | {"weights", "nets"},
    "streaming": FOUNDATION | {"engines"},
    "enhancer": FOUNDATION | {"engines", "streaming"},
    "pool": FOUNDATION | {"engines", "streaming"},
    "duplex": FOUNDATION | {"streaming", "enhancer"},
    "file_enhancement": FOUNDATION | {"enhancer"},
    "corpus": FOUNDATION | {"engines", "enhancer", "file_enhancement", "evaluation"},
    "export": FOUNDATION | {"engines", "weights"},
    "evaluation": FOUNDATION | {"engines", "weights", "streaming", "enhancer", "pool", "file_enhancement"},
    "training": FOUNDATION | {"weights", "nets", "enhancer", "evaluation"},
}
# Everything but the command line; commands print what these do.
ALLOWED["adapters"] = set(ALLOWED) | {"export"}
ALLOWED["models"] = FOUNDATION | {"engines", "export", "weights"}
# Libraries that only some parts may import, at whatever place in a file.
ONLY_IN = {
    "torch": ("nets", "training", "engines.torch", "adapters.speechbrain"),
    "numba": ("training",),
    "sherpa_onnx": ("adapters.sherpa",),
    "aiortc": ("adapters.aiortc",),
    "livekit": ("adapters.livekit",),
    "pipecat": ("adapters.pipecat",),
    "speechbrain": ("adapters.speechbrain",),
    "lhotse": ("adapters.lhotse",),
    "nemo_curator": ("adapters.nemo_curator",),
    "ray": ("adapters.ray",),
    "fsspec": ("corpus",),
    "cffi": ("native",),
    "onnxruntime": ("engines.onnx", "evaluation", "adapters"),
    "websockets": ("adapters.servers", "adapters.wyoming"),
}


def module_name(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] != PACKAGE:
        parts.insert(0, PACKAGE)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(p): p for tree in (PACKAGE, "adapters", "models") for p in (ROOT / tree).rglob("*.py")}


def imports_of(module: str, *, late: bool) -> set[str]:
    """Names of the modules that a module imports, also for types only; with `late`, also those inside functions."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found.update(alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0 and child.module, f"{module}: relative import"
                names = {f"{child.module}.{alias.name}" for alias in child.names}
                found.update(names & MODULES.keys())
                if names - MODULES.keys():
                    found.add(child.module)
            if late or not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                visit(child)

    visit(ast.parse(MODULES[module].read_text(encoding="utf-8")))
    return found - {module}


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of nodes that reach each other (Kosaraju): visit by finishing time, then backwards."""
    order: list[str] = []
    seen: set[str] = set()

    def visit(node: str, edges: dict[str, set[str]], into: list[str]) -> None:
        seen.add(node)
        for following in sorted(edges[node] - seen):
            if following not in seen:
                visit(following, edges, into)
        into.append(node)

    for node in graph:
        if node not in seen:
            visit(node, graph, order)
    backwards: dict[str, set[str]] = {node: set() for node in graph}
    for node, targets in graph.items():
        for target in targets:
            backwards[target].add(node)
    seen.clear()
    groups: list[list[str]] = []
    for node in reversed(order):
        if node not in seen:
            group: list[str] = []
            visit(node, backwards, group)
            groups.append(group)
    return [sorted(group) for group in groups if len(group) > 1]


def test_cycles_are_found():
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": set()}) == [["a", "b", "c"]]
    assert cycles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_no_module_imports_itself_by_a_detour_even_for_types():
    graph = {module: imports_of(module, late=False) & MODULES.keys() for module in MODULES}
    assert len(graph) > 100
    assert cycles(graph) == []


def test_parts_import_only_what_is_below_them():
    wrong = []
    for module in MODULES:
        part = module.split(".")[1] if "." in module else ""
        if part in ("", "cli"):  # the public names; the commands
            continue
        for imported in imports_of(module, late=True):
            other = imported.split(".")[1] if imported.startswith(f"{PACKAGE}.") else part
            if other != part and other not in ALLOWED[part]:
                wrong.append(f"{module} imports {imported}")
    assert not wrong


def test_each_library_has_its_place():
    wrong = []
    for module in MODULES:
        for imported in imports_of(module, late=True):
            places = ONLY_IN.get(imported.partition(".")[0])
            if places and not any(f"{module}.".startswith(f"{PACKAGE}.{place}.") for place in places):
                wrong.append(f"{module} imports {imported}")
    assert not wrong


def test_only_native_knows_what_cffi_makes():
    """Others call the classes and functions of `native`, and never see `ffi`, `lib` or a pointer."""
    wrong = []
    for module, path in MODULES.items():
        if module.startswith(f"{PACKAGE}.native"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(f"{PACKAGE}.native"):
                wrong += [f"{module}: {alias.name}" for alias in node.names if alias.name in ("ffi", "lib", "_native")]
            if isinstance(node, ast.Attribute) and ast.unparse(node) in ("binding.ffi", "binding.lib"):
                wrong.append(f"{module}: {ast.unparse(node)}")
    assert not wrong
