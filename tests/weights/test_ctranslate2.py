"""The reader of CTranslate2's weights: values as they were written, and no harm from a damaged file."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.weights.ctranslate2 import read_ctranslate2

TYPES = {"<f4": 0, "|i1": 1, "<i2": 2, "<i4": 3, "<f2": 4, "<u2": 5}


def name(text):
    return struct.pack("<H", len(text.encode()) + 1) + text.encode() + b"\0"


def variable(label, values):
    shape = struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)
    return name(label) + shape + struct.pack("<BI", TYPES[values.dtype.str], values.nbytes) + values.tobytes()


def model(variables, aliases=(), version=6):
    head = struct.pack("<I", version) + name("WhisperSpec") + struct.pack("<II", 3, len(variables))
    tail = struct.pack("<I", len(aliases)) + b"".join(name(alias) + name(target) for alias, target in aliases)
    return head + b"".join(variable(label, values) for label, values in variables.items()) + tail


@pytest.fixture
def read(tmp_path):
    def read(data):
        path = tmp_path / "model.bin"
        path.write_bytes(data)
        return read_ctranslate2(path)

    return read


def test_floats_and_integers_keep_their_values_and_shapes(read, tmp_path):
    rng = np.random.default_rng(0)
    written = {
        "a/weight": rng.standard_normal((3, 4)).astype("<f4"),
        "half": rng.standard_normal(5).astype("<f2"),
        "heads": np.array(6, "<i2"),
        "ids": np.array([[1, -2], [3, 70000]], "<i4"),
        "flag": np.array(1, "i1"),
    }
    got = read(model(written))
    assert list(got) == list(written)
    for label, values in written.items():
        assert got[label].dtype == np.float32
        assert got[label].shape == values.shape
        np.testing.assert_array_equal(got[label], values)
    assert read_ctranslate2(tmp_path).keys() == got.keys()  # the folder is a name for the file in it


def test_bfloat16_is_the_upper_half_of_a_float32(read):
    values = np.array([1.0, -2.5, 0.0, 3e38], np.float32)
    upper = (values.view(np.uint32) >> 16).astype("<u2")
    np.testing.assert_allclose(read(model({"b": upper}))["b"], values, rtol=1 / 128)


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3)])
def test_int8_is_divided_by_the_scale_of_its_row(read, shape):
    rng = np.random.default_rng(1)
    exact = rng.standard_normal(shape).astype(np.float32)
    scale = (127 / np.abs(exact).reshape(len(exact), -1).max(axis=1)).astype("<f4")
    quantized = np.rint(exact * scale.reshape(-1, *[1] * (exact.ndim - 1))).astype("i1")
    got = read(model({"w/weight": quantized, "w/weight_scale": scale}))
    assert list(got) == ["w/weight"]
    assert np.abs(got["w/weight"] - exact).max() <= 0.51 / scale.min()


def test_int16_is_divided_by_one_scale(read):
    quantized = np.array([[512, -1024]], "<i2")
    got = read(model({"w/weight": quantized, "w/weight_scale": np.array(1024, "<f4")}))
    np.testing.assert_array_equal(got["w/weight"], [[0.5, -1.0]])


def test_aliases_share_their_array_and_a_shared_scale_divides_both_weights(read):
    weights = {
        "a/weight": np.array([[4, 8]], "i1"),
        "a/weight_scale": np.array([4], "<f4"),
        "b/weight": np.array([[12, 16]], "i1"),
    }
    aliases = [("b/weight_scale", "a/weight_scale"), ("c/weight", "a/weight"), ("c/weight_scale", "a/weight_scale")]
    got = read(model(weights, aliases))
    assert set(got) == {"a/weight", "b/weight", "c/weight"}
    assert got["c/weight"] is got["a/weight"]
    np.testing.assert_array_equal(got["a/weight"], [[1, 2]])
    np.testing.assert_array_equal(got["b/weight"], [[3, 4]])


ONES = np.ones((2, 2), "<f4")
GOOD = model({"a": ONES, "w/weight": np.ones((2, 2), "i1"), "w/weight_scale": np.ones(2, "<f4")}, [("b", "a")])


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "expected 4 bytes more at byte 0, got 0"),
        (model({}, version=4), "version 6, got 4"),
        (b"PK\x03\x04 a zip file", "version 6, got"),
        (GOOD + b"\0", "1 bytes after its end"),
        (model({"a": ONES}, [("b", "c")]), "stands for 'c'"),
        (model({"a": ONES}, [("a", "a")]), "holds 'a' twice"),
        (model({"a": ONES * np.float32("nan")}), "expected finite values in 'a'"),
        (model({"w/weight": np.ones((2, 2), "i1")}), "its scale is not in it"),
        (model({"w": np.ones((2, 2), "i1"), "w_scale": np.zeros(2, "<f4")}), "expected positive scales for 'w'"),
        (model({"w": np.ones((2, 2), "i1"), "w_scale": np.ones(3, "<f4")}), "got shape \\(3,\\)"),
        (model({"w": np.ones(1, "i1"), "w_scale": np.full(1, 1e-40, "<f4")}), "got a scale near 0"),
        (model({"a": ONES.reshape(1, 1, 1, 1, 1, 1, 1, 2, 2)}), "at most 8 axes, got 9"),
        (model({"a": ONES[:0]}), "expected 'a' with values"),
        (model({"a": ONES}).replace(struct.pack("<BI", 0, 16), struct.pack("<BI", 9, 16)), "type from 0 to 5, got 9"),
        (model({"a": ONES}).replace(struct.pack("<BI", 0, 16), struct.pack("<BI", 0, 12)), "expected 16 bytes for 'a'"),
        (model({"a": ONES}).replace(b"\x02\0a\0", b"\x02\0\xff\0"), "a name in UTF-8"),
        (model({"a": ONES}).replace(b"\x02\0a\0", b"\x02\0ab"), "ends with its only NUL"),
    ],
)
def test_a_damaged_file_says_what_was_expected(read, tmp_path, data, match):
    with pytest.raises(ModelError, match=match) as error:
        read(data)
    assert str(tmp_path / "model.bin") in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"nothing\.bin"):
        read_ctranslate2(tmp_path / "nothing.bin")


@pytest.mark.parametrize("length", range(len(GOOD)))
def test_a_file_that_breaks_off_is_refused(read, length):
    with pytest.raises(ModelError):
        read(GOOD[:length])


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damage_anywhere_is_refused_or_gives_arrays(tmp_path_factory, data):
    damaged = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "model.bin"
    path.write_bytes(damaged)
    try:
        weights = read_ctranslate2(path)
    except ModelError:
        return
    assert all(values.dtype == np.float32 and values.size for values in weights.values())
