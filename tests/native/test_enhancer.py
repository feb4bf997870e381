"""The binding of the C object: layouts, defaults, errors, and states that C refuses as Python does."""

import gc

import numpy as np
import pytest

from gtcrn_frontend import AutoStrengthConfig, Enhancer, StateError
from gtcrn_frontend.config import DEFAULT_STRENGTH
from gtcrn_frontend.engines.loading import load
from gtcrn_frontend.errors import AudioFormatError, ConfigError
from gtcrn_frontend.native.binding import ffi, lib, why_absent
from gtcrn_frontend.streaming.stream_state import check_arrays

if reason := why_absent():
    pytest.skip(reason, allow_module_level=True)

from gtcrn_frontend.native.enhancer import _CHUNK, NativeBatch, NativeEnhancer
from gtcrn_frontend.native.sections import pack_sections, unpack_sections

SETTINGS = {
    "sample_rate": 16000,
    "output_sample_rate": 16000,
    "channels": 1,
    "downmix": False,
    "bypass": False,
    "strength": 0.8,
    "auto_strength": vars(AutoStrengthConfig()),
}


@pytest.fixture(scope="module")
def engine():
    return load("gtcrn-asr", "native").engine


def noise(length, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, length).astype(np.float32)


def test_numpy_fills_in_what_c_reads():
    fields = {name: field.offset for name, field in ffi.typeof("gtcrn_chunk").fields}
    assert {name: offset for name, (_, offset) in _CHUNK.fields.items()} == fields
    assert _CHUNK.itemsize == ffi.sizeof("gtcrn_chunk")


def test_the_defaults_of_c_are_those_of_python():
    settings = ffi.new("gtcrn_settings *")
    lib.gtcrn_settings_init(settings)
    assert {name: getattr(settings.auto_strength, name) for name in SETTINGS["auto_strength"]} == SETTINGS[
        "auto_strength"
    ]
    assert (settings.sample_rate, settings.output_sample_rate, settings.channels) == (16000, 16000, 1)
    assert (settings.downmix, settings.bypass, settings.strength) == (0, 0, DEFAULT_STRENGTH)


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("output_rate", [8000, 16000, 44100])
def test_the_latency_is_what_python_says(engine, rate, output_rate):
    enhancer = NativeEnhancer(engine.weights, SETTINGS | {"sample_rate": rate, "output_sample_rate": output_rate})
    assert enhancer.latency == Enhancer(sample_rate=rate, output_sample_rate=output_rate).latency_samples


@pytest.mark.parametrize(
    "change", [{"sample_rate": 7999}, {"output_sample_rate": 192001}, {"channels": 17}, {"strength": 1.5}]
)
def test_wrong_settings_are_refused(engine, change):
    with pytest.raises(ConfigError, match="expected"):
        NativeEnhancer(engine.weights, SETTINGS | change)


def test_what_is_no_audio_is_refused_and_changes_nothing(engine):
    enhancer, bad = NativeEnhancer(engine.weights, SETTINGS), noise(1000)
    bad[500] = np.nan
    for push in (
        enhancer.push,
        enhancer.push_aligned,
        lambda samples: NativeBatch([enhancer], 1).push(samples, [1000]),
    ):
        with pytest.raises(AudioFormatError, match="finite samples"):
            push(bad)
    assert enhancer.frames_in == 0


def test_a_batch_whose_counts_are_wrong_is_refused(engine):
    batch = NativeBatch([NativeEnhancer(engine.weights, SETTINGS) for _ in range(2)], 1)
    with pytest.raises(ValueError, match="got 100"):
        batch.push(noise(100), [60, 60])


def test_a_model_lives_as_long_as_its_enhancers():
    model = load("random:gtcrn", "native").engine.weights
    enhancer, expected = (NativeEnhancer(model, SETTINGS | {"sample_rate": 48000}) for _ in range(2))
    expected = expected.push(noise(3000))
    enhancer._model = model = None
    gc.collect()
    np.testing.assert_array_equal(enhancer.push(noise(3000)), expected)


def mutations(arrays):
    """Yields names, and arrays of which one differs in one value."""
    rng = np.random.default_rng(0)
    floats = (np.nan, np.inf, -1e30, 1e6, 600.0, 33.0, 9.0, 1.5, 1.0, -1.0, 0.5, 0.0)
    integers = (-1, 0, 1, 2, 3, 255, 256, 1000, 2**40, 2**62, -(2**63))
    for name, array in arrays.items():
        for value in floats if array.dtype.kind == "f" else integers:
            for _ in range(2 if array.size else 0):
                flat = array.reshape(-1).copy()
                flat[rng.integers(len(flat))] = value
                yield f"{name} {value}", {**arrays, name: flat.reshape(array.shape)}
        flat = array.reshape(-1)
        yield f"{name} shorter", {**arrays, name: flat[:-1]}
        yield f"{name} longer", {**arrays, name: np.append(flat, flat.dtype.type(0))}
        yield f"without {name}", {other: array for other, array in arrays.items() if other != name}
    yield "more", {**arrays, "0.path.mixer.more": np.zeros(3, np.float32)}
    yield "a channel more", {**arrays, "1.engine.tra": np.zeros(96, np.float32)}


@pytest.mark.parametrize("moment", [0, 700, 5000])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"strength": "auto"},
        {"strength": "auto", "sample_rate": 48000},
        {"output_sample_rate": 44100},
        {"sample_rate": 48000, "output_sample_rate": 16000, "strength": "auto"},
    ],
    ids=str,
)
def test_c_takes_the_states_that_python_takes_and_no_others(change, moment):
    """The rules are written down in `stream_state`, and for users of C in import_state.c."""
    enhancer = Enhancer(engine="native", **change)
    enhancer.process_chunk(noise(moment))
    stream = enhancer._stream
    backend, parameters, spec = stream.backend, stream._parameters, enhancer.spec
    rates = parameters.sample_rate, parameters.output_sample_rate
    refused = accepted = 0
    for name, arrays in mutations(backend.export_state()):
        try:
            check_arrays(arrays, spec, parameters)
        except StateError:
            refused += 1
            before = backend.export_state()
            with pytest.raises(StateError):
                backend.enhancer.import_state(arrays, *rates)
                pytest.fail(f"C accepts {name}")
            after = backend.export_state()
            assert all(np.array_equal(before[key], after[key], equal_nan=True) for key in before)
        else:
            accepted += 1
            try:
                backend.enhancer.import_state(arrays, *rates)
            except StateError as error:
                raise AssertionError(f"C refuses {name}") from error
    assert min(refused, accepted) > 20


def test_sections_hold_arrays_of_all_types():
    arrays = {
        "0.a": np.arange(3, dtype=np.float32),
        "0.b": np.array([2.5]),
        "11.c": np.array([[1, 2]], np.int64),
        "0.empty": np.empty(0, np.float32),
    }
    back = unpack_sections(pack_sections(arrays, 16000, 48000, 12))
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array.reshape(-1))
        assert back[name].dtype == array.dtype
