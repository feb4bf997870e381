"""G.711 against the codes of the Recommendation, and the properties of both laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtcrn_frontend.audio import g711

# Level (16 bits) of some codes: ITU-T G.711, tables 1 and 2; A-law's 13 bits and mu-law's 14 bits are shifted up.
KNOWN = {
    "mulaw": {0x80: 32124, 0x00: -32124, 0xFF: 0, 0x7F: 0, 0xEF: 132, 0x6F: -132, 0x8F: 16764},
    "alaw": {0xAA: 32256, 0x2A: -32256, 0xD5: 8, 0x55: -8, 0xC5: 264, 0x85: 4224},
}


@pytest.mark.parametrize("law", g711.LAWS)
def test_codes_decode_to_the_levels_of_the_recommendation(law):
    codes = np.array(list(KNOWN[law]), np.uint8)
    np.testing.assert_array_equal(g711.decode(codes, law) * 32768, list(KNOWN[law].values()))


@pytest.mark.parametrize("law", g711.LAWS)
def test_every_level_encodes_to_a_code_of_that_level(law):
    codes = np.arange(256, dtype=np.uint8)
    levels = g711.decode(codes, law)
    np.testing.assert_array_equal(g711.decode(g711.encode(levels, law), law), levels)


@pytest.mark.parametrize("law", g711.LAWS)
@given(value=st.floats(-1.5, 1.5, width=32))
def test_the_error_is_a_small_part_of_the_sample(law, value):
    decoded = float(g711.decode(g711.encode(np.float32([value]), law), law)[0])
    loudest = float(g711.decode(np.arange(256, dtype=np.uint8), law).max())
    clipped = float(np.clip(value, -loudest, loudest))
    # A segment's 16 steps are a 1/16 to 1/32 of its levels wide; below 1/512 of full scale they do not shrink further.
    assert abs(decoded - clipped) <= max(abs(clipped) / 32, 16 / 32768) * (1 + 1e-6)


def test_shapes_are_kept():
    assert g711.decode(g711.encode(np.zeros((2, 3), np.float32), "alaw"), "alaw").shape == (2, 3)


@pytest.mark.parametrize("law", g711.LAWS)
def test_16_bit_integers_have_the_same_codes_and_levels(law):
    samples = np.arange(-32768, 32768).astype(np.int16)
    codes = g711.encode_int16(samples, law)
    np.testing.assert_array_equal(codes, g711.encode(samples / 32768, law))
    np.testing.assert_array_equal(g711.decode_int16(codes, law), g711.decode(codes, law) * 32768)
