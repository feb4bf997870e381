"""The native engine: torch's samples on every instruction set, whatever the chunks, neighbours and threads."""

import itertools
import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend.engines.loading import ENGINES, absent_engines, load
from gtcrn_frontend.engines.onnx.loading import load_onnx
from gtcrn_frontend.engines.torch import TorchEngine
from gtcrn_frontend.errors import ModelError, StateError
from gtcrn_frontend.model_spec import GTCRN_SPEC
from gtcrn_frontend.native import binding
from gtcrn_frontend.weights.checkpoint import write_safetensors
from gtcrn_frontend.weights.fold import fold_gtcrn
from gtcrn_frontend.weights.model import load_model
from gtcrn_frontend.weights.pack import pack_gtcrn

if binding.why_absent():
    pytest.skip(f"native engine: {binding.why_absent()}", allow_module_level=True)

from gtcrn_frontend.engines.native import NativeEngine, load_blob

HOP = GTCRN_SPEC.hop_length
ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "gtcrn_frontend/native"
ffi, lib = binding.ffi, binding.lib


@pytest.fixture(scope="module")
def random_model(random_checkpoint):
    return load_model(random_checkpoint)


@pytest.fixture(scope="module")
def blob(random_model):
    return pack_gtcrn(fold_gtcrn(random_model.parameters))


@pytest.fixture(scope="module", params=binding.instruction_sets())
def isa(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(binding.ISA_VARIABLE, request.param)
        yield request.param


@pytest.fixture(scope="module")
def engine(isa, random_model):
    """Random weights, on each instruction set that this machine has."""
    engine = NativeEngine(random_model)
    assert engine.instruction_set == isa
    return engine


def noise(n_hops, seed=0, scale=0.1):
    return np.random.default_rng(seed).normal(0, scale, (n_hops, HOP)).astype(np.float32)


def in_blocks(engine, hops, sizes):
    state, pieces, start = engine.new_state(), [], 0
    for size in [*sizes, len(hops)]:
        pieces.append(engine.process(hops[start : start + size], state))
        start += size
    return np.concatenate(pieces)


def assert_close_to_torch(model, hops):
    reference, native = TorchEngine(model), NativeEngine(model)
    expected = reference.process(hops, reference.new_state())
    error = native.process(hops, native.new_state()) - expected
    assert np.abs(error).max() < 1e-5 * max(1, np.abs(expected).max())
    assert 10 * np.log10(np.square(expected).sum() / np.square(error).sum()) >= 110


@pytest.mark.parametrize("name", ["dns3", "dns3_stream", "vctk"])
def test_released_weights_on_the_released_example(shared, isa, name):
    samples, _ = soundfile.read(shared / "reference/gtcrn/mix.flac", dtype="float32")
    hops = samples[: len(samples) // HOP * HOP].reshape(-1, HOP)
    assert_close_to_torch(load_model(shared / f"reference/gtcrn/model_trained_on_{name}.tar"), hops)


def test_random_weights(isa, random_model):
    assert_close_to_torch(random_model, noise(150))


def test_erb_filters_that_are_not_banded(isa, random_parameters, tmp_path):
    rng = np.random.default_rng(5)
    erb = {
        "erb.erb_fc.weight": rng.normal(0, 0.05, (64, 192)).astype(np.float32),
        "erb.ierb_fc.weight": rng.normal(0, 0.1, (192, 64)).astype(np.float32),
    }
    erb["erb.erb_fc.weight"][7] = 0
    erb["erb.ierb_fc.weight"][[0, 191]] = 0
    write_safetensors(tmp_path / "dense.safetensors", random_parameters | erb, {})
    assert_close_to_torch(load_model(tmp_path / "dense.safetensors"), noise(60))


@settings(deadline=None, max_examples=20)
@given(sizes=st.lists(st.integers(0, 20), max_size=12))
def test_any_chunking_gives_the_same_bits(engine, sizes):
    hops = noise(50)
    np.testing.assert_array_equal(in_blocks(engine, hops, sizes), engine.process(hops, engine.new_state()))


def test_neighbours_and_threads_do_not_change_a_bit(isa, random_model):
    signals = [noise(5 + i % 7, seed=i) for i in range(64)]
    alone = NativeEngine(random_model)
    expected = [alone.process(hops, alone.new_state()) for hops in signals]
    for threads in (1, 4):
        engine = NativeEngine(random_model, num_threads=threads)
        states = [engine.new_state() for _ in signals]
        first = engine.process_many([(hops[:3], state) for hops, state in zip(signals, states, strict=True)])
        rest = engine.process_many([(hops[3:], state) for hops, state in zip(signals, states, strict=True)])
        for start, end, whole in zip(first, rest, expected, strict=True):
            np.testing.assert_array_equal(np.concatenate([start, end]), whole)


def test_no_streams_and_no_hops(engine):
    assert engine.process_many([]) == []
    state = engine.new_state()
    assert engine.process(noise(0), state).shape == (0, HOP)
    np.testing.assert_array_equal(engine.process(noise(4), state), engine.process(noise(4), engine.new_state()))


def test_hops_in_any_memory_layout_and_only_hops(engine):
    wide = noise(12)
    expected = engine.process(wide[::3].copy(), engine.new_state())
    np.testing.assert_array_equal(engine.process(wide[::3], engine.new_state()), expected)
    with pytest.raises(ValueError, match=r"\(n, 256\), got \(2, 255\)"):
        engine.process(wide[:2, 1:], engine.new_state())


def test_the_input_is_not_changed(engine):
    hops = noise(3)
    engine.process(hops, engine.new_state())
    np.testing.assert_array_equal(hops, noise(3))


@pytest.mark.parametrize("route", list(itertools.permutations(["native", "onnx", "torch"])), ids="-".join)
def test_a_stream_moves_between_engines(isa, random_model, route):
    make = {"native": NativeEngine, "onnx": load_onnx, "torch": TorchEngine}
    engines = [make[name](random_model) for name in route]
    hops = noise(60)
    expected = TorchEngine(random_model)
    expected = expected.process(hops, expected.new_state())
    state, pieces = engines[0].new_state(), []
    for i, part in enumerate(np.split(hops, [7, 24, 41])):  # 7, 17, 17: rings of 2, 4 and 10 frames in odd places
        engine = engines[i % 3]
        if i:
            state = engine.import_state(engines[(i - 1) % 3].export_state(state))
        pieces.append(engine.process(part, state))
    np.testing.assert_allclose(np.concatenate(pieces), expected, atol=1e-5 * np.abs(expected).max())


def test_an_exported_state_goes_on_bit_by_bit(engine):
    hops = noise(40)
    state = engine.new_state()
    start = engine.process(hops[:13], state)
    moved = engine.import_state(engine.export_state(state))
    rest = engine.process(hops[13:], moved)
    np.testing.assert_array_equal(np.concatenate([start, rest]), engine.process(hops, engine.new_state()))
    np.testing.assert_array_equal(engine.process(hops[13:], state), rest)


def test_a_state_is_small():
    assert lib.gtcrn_stream_bytes() < 100_000


def test_strength_in_the_mask_is_mixing(engine):
    hops = noise(20)
    state = engine.new_state()
    state.job.strength = 0.3
    mixed = engine.process(hops, state)
    dry = np.concatenate([np.zeros((1, HOP), np.float32), hops[:-1]])
    expected = 0.3 * engine.process(hops, engine.new_state()) + 0.7 * dry
    np.testing.assert_allclose(mixed, expected, atol=1e-5 * np.abs(expected).max())


def test_energies_are_those_of_the_same_moment(engine):
    hops = noise(20)
    enhanced, energies = engine.process_measured(hops, engine.new_state())
    np.testing.assert_array_equal(enhanced, engine.process(hops, engine.new_state()))
    np.testing.assert_allclose(energies[1:, 0], np.square(hops[:-1]).sum(axis=1), rtol=1e-5)
    assert energies[0, 0] == 0
    np.testing.assert_allclose(energies[:, 1], np.square(enhanced).sum(axis=1), rtol=1e-5)


def test_ten_minutes_of_silence(engine):
    state = engine.new_state()
    engine.process(noise(20), state)
    silence = np.zeros((625, HOP), np.float32)
    for _ in range(60):
        assert np.isfinite(engine.process(silence, state)).all()
    after = engine.export_state(state)
    for name, array in after.items():
        assert np.isfinite(array).all(), name
        assert not ((array != 0) & (np.abs(array) < np.finfo(np.float32).tiny)).any(), f"denormals in {name}"


def test_denormal_samples_are_silence(engine):
    tiny = np.full((5, HOP), 1e-41, np.float32)
    np.testing.assert_array_equal(
        engine.process(tiny, engine.new_state()), engine.process(np.zeros_like(tiny), engine.new_state())
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, 3e38])
def test_a_reset_stream_recovers_from_values_that_are_no_audio(engine, value):
    hops = noise(10)
    bad = hops.copy()
    bad[3, 100:110] = value
    state = engine.new_state()
    engine.process(bad, state)
    lib.gtcrn_stream_reset(state.stream)
    np.testing.assert_array_equal(engine.process(hops, state), engine.process(hops, engine.new_state()))


def test_the_processes_own_floating_point_mode_stays_as_it_was(isa, random_checkpoint):
    """Denormals live on beside the engine, in its thread and others; where the caller flushes them, it still does."""
    code = f"""if True:
        import threading
        import numpy as np
        def alive():
            return bool(np.float32(1e-38) * np.float32(0.01) > 0)
        from gtcrn_frontend.engines.loading import load
        engine = load({str(random_checkpoint)!r}, "native", 4).engine
        assert alive(), "loading"
        hops = np.full((3, {HOP}), 0.1, np.float32)
        engine.process(hops, engine.new_state())
        engine.process_many([(hops, engine.new_state()) for _ in range(4)])
        assert alive(), "processing"
        seen = []
        thread = threading.Thread(target=lambda: seen.append(alive()))
        thread.start(); thread.join()
        assert seen == [True], "a new thread"
        import torch
        torch.set_flush_denormal(True)
        assert not alive()
        engine.process(hops, engine.new_state())
        assert not alive(), "the caller's own mode"
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def rechecked(blob):
    return blob[:16] + zlib.crc32(blob[20:]).to_bytes(4, sys.byteorder) + blob[20:]


def test_damaged_blobs_are_refused(isa, blob):
    load_blob(blob, isa)
    assert rechecked(blob) == blob
    for bad in (b"", blob[:19], blob[:-1], blob + b"\0", blob[::-1]):
        with pytest.raises(ModelError, match="weight blob"):
            load_blob(bad, isa)
    for place in (*range(20), 64, 2112, 3000, len(blob) // 2, len(blob) - 1):
        damaged = bytearray(blob)
        damaged[place] ^= 16
        with pytest.raises(ModelError, match="weight blob"):
            load_blob(bytes(damaged), isa)


@pytest.mark.parametrize(
    ("row", "run"), [(0, (-1, 2)), (3, (190, 3)), (63, (0, 193)), (64, (2**31 - 1, 1)), (255, (60, 5))]
)
def test_erb_runs_outside_of_the_matrix_are_refused(isa, blob, row, run):
    start = 64 + 8 * row
    bad = blob[:start] + np.array(run, np.int32).tobytes() + blob[start + 8 :]
    with pytest.raises(ModelError, match="ERB matrix"):
        load_blob(rechecked(bad), isa)


def test_damaged_states_are_refused_and_change_nothing(engine):
    state = engine.new_state()
    engine.process(noise(5), state)
    before = engine.export_state(state)
    flat = np.concatenate([array.reshape(-1) for array in before.values()])
    for damaged in (flat[:-1], np.append(flat, np.float32(0)), flat[:0]):
        assert lib.gtcrn_stream_import(state.stream, ffi.from_buffer("float[]", damaged), len(damaged)) == -1
    for place, value in ((0, np.nan), (5000, np.inf), (len(flat) - 1, -np.inf)):
        damaged = flat.copy()
        damaged[place] = value
        assert lib.gtcrn_stream_import(state.stream, ffi.from_buffer("float[]", damaged), len(damaged)) == -1
    for name, array in engine.export_state(state).items():
        np.testing.assert_array_equal(array, before[name])


def test_an_instruction_set_can_be_forced_and_must_be_present(random_model, monkeypatch):
    monkeypatch.delenv(binding.ISA_VARIABLE, raising=False)
    assert NativeEngine(random_model).instruction_set == binding.instruction_sets()[0]
    monkeypatch.setenv(binding.ISA_VARIABLE, "x86-64-v9")
    with pytest.raises(ModelError, match=r"expected GTCRN_FRONTEND_NATIVE_ISA out of .*, got 'x86-64-v9'"):
        NativeEngine(random_model)


def test_it_is_what_auto_takes_and_ready_graphs_are_not_for_it(random_checkpoint, shared):
    assert ENGINES[0] == "native"
    assert load(random_checkpoint).engine.name == "native"
    graph = shared / "reference/gtcrn/gtcrn_simple.onnx"
    assert load(graph).engine.name == "onnx"
    with pytest.raises(ModelError, match="an ONNX graph runs with"):
        load(graph, "native")


def test_without_the_extension_onnx_runs_and_the_error_says_what_to_do(random_checkpoint, monkeypatch):
    monkeypatch.setattr(binding, "lib", None)
    monkeypatch.setattr(binding, "_import_error", "No module named _native")
    assert "No module named _native" in absent_engines()["native"]
    assert load(random_checkpoint, "auto", num_threads=2).engine.name == "onnx"
    with pytest.raises(ModelError, match=r"engine 'native' is not available: .*install gcc or clang"):
        load(random_checkpoint, "native", num_threads=2)


def test_sources_that_hide_an_installed_extension_say_so(tmp_path):
    """A checkout without a build, in which Python was started: it would run many times slower without a word."""
    package = Path(binding.__file__).parents[1]
    shutil.copytree(
        package, tmp_path / "checkout/gtcrn_frontend", ignore=shutil.ignore_patterns("_native.*", "models", "adapters")
    )
    (tmp_path / "site/gtcrn_frontend/native").mkdir(parents=True)
    (tmp_path / "site/gtcrn_frontend/native/_native.abi3.so").write_bytes(b"")
    program = "from gtcrn_frontend.native.binding import why_absent; print(why_absent())"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        env=os.environ | {"PYTHONPATH": f"{tmp_path / 'checkout'}{os.pathsep}{tmp_path / 'site'}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "pip install -e ." in done.stdout
    assert "no native engine, ONNX Runtime is 8 to 20 times slower: Python imported the sources in" in done.stderr


@pytest.mark.parametrize("target", ["this machine", "arm64"])
def test_the_c_example_builds_and_enhances(blob, random_model, tmp_path, target):
    """Also for arm64, where a cross compiler and an emulator of it are installed."""
    compiler, runner = ("cc", []) if target == "this machine" else ("aarch64-linux-gnu-gcc", ["qemu-aarch64"])
    if not all(shutil.which(tool) for tool in (compiler, *runner)):
        pytest.skip(f"{target}: needs {' and '.join((compiler, *runner))} (Debian: gcc-aarch64-linux-gnu, qemu-user)")
    sources = [str(path) for path in LIBRARY.glob("*.c")]
    options = [
        "-std=gnu11",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-ffp-contract=fast",
        "-DGTCRN_SINGLE",
        f"-I{LIBRARY}",
    ]
    libraries = ["-lm", "-pthread", *(["-static"] if runner else [])]
    program, weights = str(tmp_path / "native"), str(tmp_path / "weights.bin")
    command = [compiler, *options, str(ROOT / "examples/native.c"), *sources, *libraries, "-o", program]
    subprocess.run(command, check=True)
    Path(weights).write_bytes(blob)
    hops = noise(30)
    done = subprocess.run([*runner, program, weights], input=hops.tobytes(), capture_output=True, check=True)
    engine = NativeEngine(random_model)
    expected = engine.process(hops, engine.new_state())
    enhanced = np.frombuffer(done.stdout, np.float32).reshape(-1, HOP)
    np.testing.assert_allclose(enhanced, expected, atol=1e-5 * np.abs(expected).max())
    refused = subprocess.run([*runner, program, __file__], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "weight blob" in refused.stderr


def test_c_refuses_what_python_does(engine):
    """The limits of a state are written down in spec.py and, for users of C, in model.c."""
    spec = engine.spec
    for name in spec.cache_shapes:
        limit = np.float32(spec.cache_limit(name))
        for value, is_fine in ((limit, True), (-limit, True), (np.nextafter(limit, np.float32(np.inf)), False)):
            arrays = engine.export_state(engine.new_state())
            arrays[name].reshape(-1)[-1] = value
            flat = np.concatenate([array.reshape(-1) for array in arrays.values()])
            stream = engine.new_state().stream
            status = lib.gtcrn_stream_import(stream, ffi.from_buffer("float[]", flat), len(flat))
            assert status == (0 if is_fine else lib.GTCRN_REFUSED), (name, value)
            if not is_fine:
                with pytest.raises(StateError, match=name):
                    engine.import_state(arrays)
