"""Choosing and sharing engines: one loaded model per request, freed with its last stream, reloaded after a fork."""

import gc
import os
import shutil
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from gtcrn_frontend.engines import loading
from gtcrn_frontend.engines.loading import ENGINES, absent_engines, load
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.install_hint import install_hint
from gtcrn_frontend.weights.checkpoint import write_safetensors


def run_python(code, *arguments):
    """What a fresh interpreter prints; fails with its errors if it fails, hangs or is killed."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_equal_requests_share_one_loaded_model(random_checkpoint):
    loaded = load(random_checkpoint, "onnx")
    assert load(random_checkpoint, "onnx") is loaded
    assert load(str(random_checkpoint), "onnx", 1, []) is loaded
    assert load(os.path.relpath(random_checkpoint), "onnx") is loaded
    assert loaded.process_id == os.getpid()


def test_other_requests_get_their_own(random_checkpoint, tmp_path):
    copy = shutil.copy(random_checkpoint, tmp_path)
    requests = [
        (random_checkpoint, "onnx"),
        (random_checkpoint, "torch"),
        (random_checkpoint, "onnx", 2),
        (random_checkpoint, "onnx", 1, ["CPUExecutionProvider"]),
        (copy, "onnx"),
    ]
    loaded = [load(*request) for request in requests]
    assert len({id(each) for each in loaded}) == len(requests)
    assert len({each.model.digest for each in loaded}) == 1


def test_a_file_that_was_replaced_is_loaded_anew(random_parameters, tmp_path):
    path = tmp_path / "model.safetensors"
    write_safetensors(path, random_parameters, {})
    before = load(path, "onnx")
    changed = random_parameters | {"decoder.de_convs.4.conv.bias": np.zeros(2, np.float32)}
    write_safetensors(path, changed, {"comment": "of another size"})
    after = load(path, "onnx")
    assert after is not before
    assert after.model.digest != before.model.digest


def test_it_is_freed_with_its_last_user(random_checkpoint, tmp_path):
    path = shutil.copy(random_checkpoint, tmp_path)
    loaded = load(path, "onnx")
    watched = [weakref.ref(loaded), weakref.ref(loaded.engine), weakref.ref(loaded.model)]
    second = load(path, "onnx")
    del loaded
    gc.collect()
    assert watched[0]() is second
    del second
    gc.collect()
    assert [reference() for reference in watched] == [None, None, None]


def test_threads_that_ask_at_once_get_the_same(random_checkpoint, tmp_path, monkeypatch):
    path = shutil.copy(random_checkpoint, tmp_path)
    calls, load_model = [], loading.load_model
    monkeypatch.setattr(loading, "load_model", lambda path: calls.append(path) or load_model(path))
    barrier, results = threading.Barrier(4), []

    def ask():
        barrier.wait()
        results.append(load(path, "onnx"))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(loaded) for loaded in results}) == 1
    assert len(calls) == 1


def test_auto_takes_the_first_that_is_present(random_checkpoint, monkeypatch):
    assert load(random_checkpoint).engine.name == next(name for name in ENGINES if name not in absent_engines())
    monkeypatch.setattr(loading, "ENGINES", ("torch", "onnx"))
    assert load(random_checkpoint, num_threads=3).engine.name == "torch"
    assert load(random_checkpoint, providers=["CPUExecutionProvider"]).engine.name == "onnx", "providers ask for it"
    monkeypatch.setattr(loading, "_importable", lambda module: False)
    assert load(random_checkpoint, num_threads=4).engine.name == "onnx"


def test_auto_runs_a_ready_graph_in_onnx_runtime(shared, monkeypatch):
    monkeypatch.setattr(loading, "ENGINES", ("torch", "onnx"))
    path = shared / "reference/gtcrn/gtcrn_simple.onnx"
    assert load(path, num_threads=2).engine.name == "onnx"
    with pytest.raises(ModelError, match="engine='onnx' only"):
        load(path, "torch")


@pytest.mark.parametrize("engine", ["ONNX", "", "tensorflow", None])
def test_an_unknown_engine(random_checkpoint, engine):
    with pytest.raises(ConfigError, match=r"expected an engine out of \('auto', .*'onnx', 'torch'\), got"):
        load(random_checkpoint, engine)


def test_providers_are_for_onnx_runtime_only(random_checkpoint):
    with pytest.raises(ConfigError, match="providers are ONNX Runtime's"):
        load(random_checkpoint, "torch", providers=["CPUExecutionProvider"])
    with pytest.raises(ModelError, match="onnxruntime build"):
        load(random_checkpoint, "auto", providers=["NoSuchProvider"])


@pytest.mark.parametrize("model", ["no-such-model", Path("no/such/file.tar"), "", "a\0b"])
def test_a_model_that_is_not_there(model):
    with pytest.raises(ModelError, match="no such file"):
        load(model)


def test_a_failed_load_leaves_nothing_behind(tmp_path, random_parameters):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"not yet")
    with pytest.raises(ModelError):
        load(path, "onnx")
    write_safetensors(path, random_parameters, {})
    assert load(path, "onnx").engine.name == "onnx"


BLOCKED = {
    "absent": "sys.modules['torch'] = None",
    "forbidden": """
class Forbids:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] == 'torch':
            raise ModuleNotFoundError(f'{name} is forbidden')
sys.meta_path.insert(0, Forbids())""",
    "a stand-in": "import types; sys.modules['torch'] = types.ModuleType('torch')",
}


@pytest.mark.parametrize("how", BLOCKED)
def test_an_engine_that_is_not_installed_is_named_with_what_to_install(random_checkpoint, how):
    code = f"""
import sys
{BLOCKED[how]}
from gtcrn_frontend.engines.loading import absent_engines, load
from gtcrn_frontend.errors import ModelError
print(*absent_engines())
print(load(sys.argv[1]).engine.name)
try:
    load(sys.argv[1], "torch")
except ModelError as error:
    print(error)
"""
    absent, auto, message = run_python(code, random_checkpoint).splitlines()
    assert absent.split() == [name for name in ENGINES if name == "torch" or name in absent_engines()]
    assert auto == next(name for name in ENGINES if name not in absent_engines())
    assert message == "engine 'torch' is not available: torch is not installed: " + install_hint("torch")


FORK = """
import gc, multiprocessing, os, sys
import numpy as np
from gtcrn_frontend.engines.loading import load

path, engine, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
if engine == "torch":
    import torch
    torch.set_num_threads(2)  # whose second thread the child will lack
loaded = load(path, engine, threads)
hops = np.random.default_rng(0).normal(0, 0.1, (20, 256)).astype(np.float32)
whole = loaded.engine.process(hops, loaded.engine.new_state())
state = loaded.engine.new_state()
start = loaded.engine.process(hops[:8], state)

def go_on(generations):
    again = load(path, engine, threads)
    assert again is not loaded, "the parent's engine must not be used"
    assert again.process_id == os.getpid() != loaded.process_id
    assert load(path, engine, threads) is again
    moved = again.engine.import_state(loaded.engine.export_state(state))
    rest = again.engine.process(hops[8:], moved)
    np.testing.assert_allclose(np.concatenate([start, rest]), whole, atol=1e-6)
    if generations:
        in_child(generations - 1)
    del globals()["loaded"]  # must not wait for the parent's threads
    gc.collect()

def in_child(generations):
    child = multiprocessing.get_context("fork").Process(target=go_on, args=(generations,))
    child.start()
    child.join(30)
    assert child.exitcode == 0, child.exitcode

in_child(1)
assert load(path, engine, threads) is loaded
rest = loaded.engine.process(hops[8:], state)
np.testing.assert_allclose(np.concatenate([start, rest]), whole, atol=1e-6)
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(("engine", "threads"), [("onnx", 1), ("onnx", 2), ("torch", 1)])
def test_a_forked_child_and_its_child_load_anew_and_go_on(random_checkpoint, engine, threads):
    assert run_python(FORK, random_checkpoint, engine, threads) == "done"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_that_was_forked_during_a_load_can_load(random_checkpoint):
    code = """
import os, sys, threading
from gtcrn_frontend.engines import loading
busy, forked = threading.Event(), threading.Event()
load_model = loading.load_model
def slow(path):
    busy.set()
    forked.wait(30)
    return load_model(path)
loading.load_model = slow
thread = threading.Thread(target=loading.load, args=(sys.argv[1], "onnx"))
thread.start()
busy.wait(30)
child = os.fork()
if child == 0:
    forked.set()
    loading.load(sys.argv[1], "onnx")
    os._exit(7)
forked.set()
thread.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run_python(code, random_checkpoint) == "7"
