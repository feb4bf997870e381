"""The seam: what a canonical state is, and the single stream as a batch of one."""

import numpy as np
import pytest

from gtcrn_frontend.engines.base import Engine, check_canonical, check_hops
from gtcrn_frontend.errors import StateError
from gtcrn_frontend.model_spec import FRCRN_CAUSAL_SPEC, FRCRN_SPEC, GTCRN_SPEC


def canonical():
    rng = np.random.default_rng(0)
    return {name: rng.uniform(-1, 1, shape).astype(np.float32) for name, shape in GTCRN_SPEC.cache_shapes.items()}


def test_a_canonical_state_comes_back():
    arrays = canonical()
    checked = check_canonical(arrays, GTCRN_SPEC)
    assert checked.keys() == arrays.keys()
    assert all(checked[name] is arrays[name] for name in arrays)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("tra"), r"expected the state of gtcrn with \['analysis', .*was it saved for another model"),
        (lambda a: a.update(other=np.zeros(1, np.float32)), r"got \['analysis', .*'other'"),
        (
            lambda a: a.update(conv=a["conv"][:, :, :15]),
            r"conv: expected \(2, 16, 16, 33\) float32, got \(2, 16, 15, 33\)",
        ),
        (lambda a: a.update(inter=a["inter"][None]), r"inter: .* got \(1, 2, 33, 16\)"),
        (lambda a: a.update(analysis=a["analysis"].astype(np.float64)), r"analysis: .* got \(256,\) float64"),
        (lambda a: a.update(analysis=a["analysis"].astype(">f4")), r"analysis: .* got \(256,\) >f4"),
        (lambda a: a.update(synthesis=a["synthesis"].tolist()), "synthesis: .* got list"),
        (lambda a: a.update(synthesis=None), "synthesis: .* got NoneType"),
        (lambda a: a["tra"].fill(np.nan), "tra: expected finite values"),
        (lambda a: a["tra"].__setitem__((1, 2, 3), -np.inf), "tra: expected finite values"),
        (lambda a: a["tra"].__setitem__((1, 2, 3), 1.01), "tra: expected finite values from -1.001 to 1.001"),
        (lambda a: a["analysis"].__setitem__(5, 1e38), "analysis: expected finite values from -32 to 32, got .* 1e"),
        (lambda a: a["synthesis"].__setitem__(5, -513), "synthesis: expected finite values from -512 to 512"),
        (lambda a: a["conv"].__setitem__((1, 1, 1, 1), 2e6), "conv: expected finite values"),
        (lambda a: a.clear(), r"got \[\]"),
    ],
)
def test_any_other_state_is_refused(change, message):
    arrays = canonical()
    change(arrays)
    with pytest.raises(StateError, match=message):
        check_canonical(arrays, GTCRN_SPEC)


@pytest.mark.parametrize(
    ("spec", "name", "hops", "count"),
    [
        (FRCRN_SPEC, "position", 0, 0),
        (FRCRN_SPEC, "position", 29, 29),
        (FRCRN_SPEC, "position", 67, 7),
        (FRCRN_CAUSAL_SPEC, "frames", 1000, 1000),
        (FRCRN_CAUSAL_SPEC, "frames", 2**30, 2**24),  # float32 counts no further
    ],
)
def test_a_state_counts_as_many_hops_as_its_stream(spec, name, hops, count):
    check_hops({name: np.array([count], np.float32)}, spec, hops)
    for other in (count + 1, count - 1):
        if min(other, 2**24) != count:
            with pytest.raises(StateError, match=f"{name}: expected {count} after {hops} hops"):
                check_hops({name: np.array([other], np.float32)}, spec, hops)


class Doubling(Engine[list]):
    """Doubles the samples; counts hops in its state."""

    def new_state(self):
        return [0]

    def process_many(self, streams):
        for hops, state in streams:
            state[0] += len(hops)
        return [2 * hops for hops, _ in streams]

    def export_state(self, state):
        return {"count": np.array(state)}

    def import_state(self, arrays):
        return arrays["count"].tolist()


def test_an_engine_needs_no_way_of_its_own_for_a_single_stream():
    engine = Doubling()
    state = engine.new_state()
    hops = np.ones((3, 4), np.float32)
    np.testing.assert_array_equal(engine.process(hops, state), 2 * hops)
    assert state == [3]


def test_an_incomplete_engine_cannot_be_made():
    class Incomplete(Engine[list]):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Incomplete()
