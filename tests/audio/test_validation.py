import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gtcrn_frontend.audio.validation import check_chunk, restore_type
from gtcrn_frontend.errors import AudioFormatError


@given(arrays(np.int16, st.integers(0, 300)))
def test_int16_survives_the_way_there_and_back(samples):
    checked, dtype = check_chunk(samples)
    assert checked.dtype == np.float32
    assert np.all(np.abs(checked) <= 1)
    np.testing.assert_array_equal(restore_type(checked, dtype), samples)


@given(arrays(np.float32, st.integers(0, 300), elements=st.floats(-8, 8, width=32)))
def test_floats_in_range_pass_unchanged(samples):
    checked, dtype = check_chunk(samples)
    np.testing.assert_array_equal(checked, samples)
    assert restore_type(checked, dtype).dtype == np.float32


@given(
    arrays(np.float32, st.integers(1, 300), elements=st.floats(-8, 8, width=32)),
    st.integers(0, 299),
    st.sampled_from([np.nan, np.inf, -np.inf, 8.01, -8.01, 1e30]),
)
def test_one_bad_sample_anywhere_is_found(samples, index, bad):
    samples = samples.copy()
    samples[index % len(samples)] = bad
    with pytest.raises(AudioFormatError, match="finite" if not np.isfinite(bad) else "divide by 32768"):
        check_chunk(samples)


def test_float64_is_cast_and_comes_back_as_float64():
    checked, dtype = check_chunk(np.array([0.1, -0.2]))
    assert checked.dtype == np.float32
    assert restore_type(checked, dtype).dtype == np.float64


def test_int16_output_is_rounded_and_clipped():
    out = restore_type(np.array([1.5, -1.5, 0.4 / 32768, 0.6 / 32768], np.float32), np.dtype(np.int16))
    assert out.tolist() == [32767, -32768, 0, 1]


def test_strided_views_are_accepted():
    samples = np.arange(20, dtype=np.float32).reshape(10, 2) / 20
    np.testing.assert_array_equal(check_chunk(samples[:, 1])[0], samples[:, 1])
    np.testing.assert_array_equal(check_chunk(samples[::2], channels=2)[0], samples[::2])


def test_a_ragged_list_is_refused():
    with pytest.raises(AudioFormatError, match="convert to an array"):
        check_chunk([[1.0], [2.0, 3.0]])


@pytest.mark.parametrize(
    ("shape", "channels", "hint"),
    [((5, 2), 1, "channels=2"), ((2, 5), 2, "transpose"), ((5, 3), 2, "channels=3"), ((5,), 2, r"\(n, 2\)")],
)
def test_a_wrong_shape_is_explained(shape, channels, hint):
    with pytest.raises(AudioFormatError, match=hint):
        check_chunk(np.zeros(shape, np.float32), channels)


@pytest.mark.parametrize(
    ("chunk", "hint"),
    [(b"\0\0", "process_bytes"), (bytearray(4), "process_bytes"), (None, "NoneType"), ("a.wav", "enhance_file")],
)
def test_what_is_no_array_is_told_where_to_go(chunk, hint):
    with pytest.raises(AudioFormatError, match=hint):
        check_chunk(chunk)


def test_one_column_is_told_apart():
    with pytest.raises(AudioFormatError, match=r"chunk\[:, 0\]"):
        check_chunk(np.zeros((100, 1), np.float32))
