import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtcrn_frontend.audio import g711
from gtcrn_frontend.audio.pcm import PCM_FORMATS, frame_bytes, pcm_bytes, recoded, whole_frames


@given(
    data=st.binary(max_size=200),
    cuts=st.lists(st.integers(0, 200), max_size=8),
    pcm_format=st.sampled_from(sorted(PCM_FORMATS)),
    channels=st.integers(1, 3),
)
def test_any_cutting_gives_the_same_samples(data, cuts, pcm_format, channels):
    whole, whole_rest = whole_frames(data, pcm_format, channels)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    rest, pieces = b"", []
    for start, end in itertools.pairwise(edges):
        samples, rest = whole_frames(rest + data[start:end], pcm_format, channels)
        assert len(rest) < frame_bytes(pcm_format, channels)
        pieces.append(samples)
    assert rest == whole_rest
    np.testing.assert_array_equal(np.concatenate(pieces), whole)  # NaN equals NaN here


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("pcm_format", sorted(PCM_FORMATS))
def test_samples_to_bytes_and_back(pcm_format, channels):
    shape = (6,) if channels == 1 else (6, channels)
    samples = np.random.default_rng(0).uniform(-1, 1, shape)
    samples = samples.astype(np.float32) if pcm_format == "f32le" else (samples * 32767).astype(np.int16)
    if law := g711.law_of(pcm_format):  # of the levels that it has
        samples = (g711.decode(g711.encode(samples / 32768, law), law) * 32768).astype(np.int16)
    back, rest = whole_frames(pcm_bytes(samples, pcm_format), pcm_format, channels)
    assert rest == b""
    assert back.dtype == samples.dtype
    np.testing.assert_array_equal(back, samples)


def test_bytes_are_little_endian_and_interleaved():
    assert pcm_bytes(np.array([[1, 2], [3, -1]], np.int16), "s16le") == b"\x01\x00\x02\x00\x03\x00\xff\xff"


def test_full_scale_stays_full_scale():
    integers = np.array([-32768, 0, 16384], np.int16)
    floats = np.array([-1, 0, 0.5], np.float32)
    assert pcm_bytes(integers, "f32le") == pcm_bytes(floats, "f32le")
    assert pcm_bytes(floats, "s16le") == pcm_bytes(integers, "s16le")
    assert pcm_bytes(np.array([1.5, -1.5]), "s16le") == pcm_bytes(np.array([32767, -32768], np.int16), "s16le")


@pytest.mark.parametrize("law", g711.LAWS)
def test_g711_in_16_bits_and_back_is_the_same_but_for_negative_zero(law):
    codes = bytes(range(256))
    back = recoded(recoded(codes, law, "s16le"), "s16le", law)
    assert back == (codes.replace(b"\x7f", b"\xff") if law == "mulaw" else codes)
    assert recoded(codes, law, "f32le") == recoded(recoded(codes, law, "s16le"), "s16le", "f32le")
