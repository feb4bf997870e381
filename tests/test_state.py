import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtcrn_frontend import StateError, StreamState

STATE = StreamState(
    {"model": "abc", "sample_rate": 16000},
    {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "empty": np.empty(0, np.float32), "count": np.array(7)},
)
DATA = STATE.to_bytes()


def test_round_trip():
    back = StreamState.from_bytes(DATA)
    assert back.facts == STATE.facts
    assert set(back.arrays) == set(STATE.arrays)
    for name, array in STATE.arrays.items():
        np.testing.assert_array_equal(back.arrays[name], array)
        assert (back.arrays[name].dtype, back.arrays[name].shape) == (array.dtype, array.shape)
    assert back.to_bytes() == DATA


@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_any_changed_byte_is_noticed(index, change):
    damaged = bytearray(DATA)
    damaged[index] ^= change
    with pytest.raises(StateError):
        StreamState.from_bytes(bytes(damaged))


@given(st.integers(0, len(DATA) - 1))
def test_any_truncation_is_noticed(length):
    with pytest.raises(StateError):
        StreamState.from_bytes(DATA[:length])


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(data):
    with pytest.raises(StateError):
        StreamState.from_bytes(data)


def test_another_version_is_named():
    newer = bytearray(DATA)
    newer[len(b"GTCRNSTATE")] = 9
    with pytest.raises(StateError, match="version 9"):
        StreamState.from_bytes(bytes(newer))


@pytest.mark.parametrize(
    "metadata", ["null", '{"facts": "null"}', '{"facts": "%s"}' % ("[" * 5000), '{"facts": "[1]"}']
)
def test_valid_checksums_do_not_make_facts(metadata):
    header = f'{{"__metadata__":{metadata},"w":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}}'.encode()
    body = len(header).to_bytes(8, "little") + header + b"\x00"
    with pytest.raises(StateError):
        StreamState.from_bytes(b"GTCRNSTATE\x01" + hashlib.sha256(body).digest() + body)
