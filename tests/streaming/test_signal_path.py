import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend.errors import StateError
from gtcrn_frontend.model_spec import GTCRN_SPEC
from gtcrn_frontend.streaming.signal_path import SignalPath

HOP, OVERLAP = GTCRN_SPEC.hop_length, GTCRN_SPEC.overlap


class IdentityEngine:
    """Delivers its input as late as an engine does."""

    def __init__(self):
        self.past = np.zeros(OVERLAP, np.float32)

    def process(self, hops):
        samples = np.concatenate([self.past, hops.reshape(-1)])
        self.past = samples[-OVERLAP:]
        return samples[:-OVERLAP].reshape(-1, HOP)


def run(path, samples, cuts):
    engine = IdentityEngine()
    pieces = np.split(samples, sorted(min(cut, len(samples)) for cut in cuts))
    chunks = [path.pull(engine.process(path.push(piece))) for piece in pieces]
    chunks.append(path.pull(engine.process(path.finish()), last=True))
    return chunks


@settings(deadline=None, max_examples=40)
@given(length=st.integers(0, 3000), cuts=st.lists(st.integers(0, 3000), max_size=6))
def test_an_identity_engine_reconstructs_the_input(length, cuts):
    samples = np.random.default_rng(length).normal(0, 0.1, length).astype(np.float32)
    path = SignalPath(GTCRN_SPEC, 16000, 16000, 1.0)
    chunks = run(path, samples, cuts)
    np.testing.assert_array_equal(np.concatenate([c.enhanced for c in chunks]), samples)
    np.testing.assert_array_equal(np.concatenate([c.dry for c in chunks]), samples)
    assert (path.samples_in, path.samples_out) == (0, 0)


@pytest.mark.parametrize(("rate", "output_rate"), [(8000, 8000), (44100, 44100), (48000, 16000), (16000, 22050)])
def test_dry_and_enhanced_stay_aligned_at_other_rates(rate, output_rate):
    seconds = np.arange(rate // 2) / rate
    tone = (0.3 * np.sin(2 * np.pi * 700 * seconds)).astype(np.float32)
    path = SignalPath(GTCRN_SPEC, rate, output_rate, 1.0)
    chunks = run(path, tone, [100, 5000, 5001])
    dry, enhanced = (np.concatenate([getattr(c, name) for c in chunks]) for name in ("dry", "enhanced"))
    assert len(dry) == len(enhanced) == -(-len(tone) * output_rate // rate)
    inner = slice(output_rate // 20, -output_rate // 20)
    np.testing.assert_allclose(enhanced[inner], dry[inner], atol=2e-4)


def test_a_state_of_other_rates_is_refused():
    at_48k, at_16k = SignalPath(GTCRN_SPEC, 48000, 48000, 1.0), SignalPath(GTCRN_SPEC, 16000, 16000, 1.0)
    with pytest.raises(StateError, match="rates"):
        at_16k.load_state(at_48k.state)
    with pytest.raises(StateError):
        SignalPath(GTCRN_SPEC, 48000, 48000, 1.0).load_state(at_16k.state)
    with pytest.raises(StateError, match="counters"):
        at_16k.load_state({key: array for key, array in at_16k.state.items() if key != "counters"})
