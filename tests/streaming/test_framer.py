import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtcrn_frontend.errors import StateError
from gtcrn_frontend.streaming.framer import Framer


@given(lengths=st.lists(st.integers(0, 40), max_size=20), hop=st.integers(1, 16))
def test_hops_are_the_samples_in_order(lengths, hop):
    samples = np.arange(sum(lengths), dtype=np.float32) + 1
    framer = Framer(hop)
    hops = [framer.push(piece) for piece in np.split(samples, np.cumsum(lengths))]
    assert framer.held == len(samples) % hop
    hops.append(framer.flush())
    assert framer.held == 0
    joined = np.concatenate(hops)
    assert joined.shape == (-(-len(samples) // hop), hop)
    np.testing.assert_array_equal(joined.reshape(-1)[: len(samples)], samples)
    assert not joined.reshape(-1)[len(samples) :].any()


def test_the_rest_is_a_copy_and_travels_as_state():
    framer, other = Framer(4), Framer(4)
    buffer = np.array([1, 2, 3], np.float32)
    framer.push(buffer)
    buffer[:] = 9
    other.load_state(framer.state)
    np.testing.assert_array_equal(other.push(np.array([4], np.float32)), [[1, 2, 3, 4]])


@pytest.mark.parametrize("rest", [None, np.zeros(4, np.float32), np.zeros(2), np.zeros((1, 2), np.float32)])
def test_a_foreign_state_is_refused(rest):
    framer = Framer(4)
    framer.push(np.ones(3, np.float32))
    with pytest.raises(StateError, match="framer"):
        framer.load_state({} if rest is None else {"rest": rest})
    assert framer.held == 3
