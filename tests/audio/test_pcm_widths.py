"""Linear PCM of all widths: levels, cuts, and the way back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtcrn_frontend.audio.pcm_widths import WIDTHS, decode_linear, encode_linear

LEVELS = {  # bytes of -1, 0 and the largest value, and that value
    "u8": (b"\x00\x80\xff", 127 / 128),
    "s16le": (b"\x00\x80\x00\x00\xff\x7f", 32767 / 32768),
    "s24le": (b"\x00\x00\x80\x00\x00\x00\xff\xff\x7f", 1 - 2**-23),
    "s32le": (b"\x00\x00\x00\x80\x00\x00\x00\x00\xff\xff\xff\x7f", 1.0),  # as close as float32 comes
    "f32le": (np.array([-1, 0, 1.5], "<f4").tobytes(), 1.5),
}


@pytest.mark.parametrize("encoding", WIDTHS)
def test_levels_are_those_of_wave_files(encoding):
    data, largest = LEVELS[encoding]
    samples, rest = decode_linear(data, encoding, 1)
    assert rest == b""
    np.testing.assert_allclose(samples, [-1, 0, largest], rtol=0, atol=1e-7)
    assert samples.dtype == np.float32
    assert encode_linear(samples, encoding) == data


@pytest.mark.parametrize("encoding", sorted(set(WIDTHS) - {"f32le"}))
def test_louder_samples_are_clipped(encoding):
    data, _ = LEVELS[encoding]
    width = WIDTHS[encoding]
    clipped = encode_linear(np.array([-8, 8], np.float32), encoding)
    assert (clipped[:width], clipped[width:]) == (data[:width], data[-width:])


@given(
    data=st.binary(max_size=200),
    cut=st.integers(0, 200),
    encoding=st.sampled_from(["u8", "s16le", "s24le"]),  # float32 holds no more than 24 bits
    channels=st.integers(1, 3),
)
def test_any_cutting_gives_the_same_samples_and_the_way_back_the_same_bytes(data, cut, encoding, channels):
    whole, whole_rest = decode_linear(data, encoding, channels)
    first, rest = decode_linear(data[:cut], encoding, channels)
    second, last_rest = decode_linear(rest + data[cut:], encoding, channels)
    assert last_rest == whole_rest
    assert np.array_equal(np.concatenate([first, second]), whole)
    assert encode_linear(whole, encoding) + whole_rest == data
