"""Saved states: what cannot be is refused with the reason, and states of 0.1 load."""

import numpy as np
import pytest

from gtcrn_frontend import Enhancer, StateError, StreamState
from gtcrn_frontend.audio.polyphase import filter_bank, half_taps, outputs_per_block


def noise(length, channels=1):
    shape = length if channels == 1 else (length, channels)
    return np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)


def changed(state, **arrays):
    return StreamState(state.facts, {**state.arrays, **{f"0.path.{name}": array for name, array in arrays.items()}})


@pytest.mark.parametrize("engine", ["auto", "onnx"])
@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("counters", np.array([2**63 - 1, 0]), "expected counters from 0 to"),
        ("counters", np.array([1000, 1]), "expected 0 samples to drop after 1000 of the stream, got 1"),
        ("auto_strength.hops", np.array([2**63 - 1, 0, 0, 0]), "expected at most .* hops"),
        ("auto_strength.hops", np.array([3, 1, 1, 0]), "expected at most 3 hops"),
        ("auto_strength.hops", np.array([2, 1, 1, 1]), "counts that fit each other"),
        ("auto_strength.hops", np.array([2, 3, 1, 0]), "counts that fit each other"),
        ("auto_strength.levels", np.array([1e9, 1, 1, 1, 0, 0, 0, 9]), "energies of at most"),
        ("auto_strength.past", np.ones(256, np.float32), "the last samples that the network has taken"),
        ("strength_ramp.hop", np.array([2]), "strengths of 3 hops"),
        ("framer.rest", np.zeros(231, np.float32), "expected 232 samples held by the framer"),
        ("framer.rest", np.full(232, 8.1, np.float32), "framer.rest: expected finite values from -8 to 8"),
        ("mixer.dry", np.zeros(487, np.float32), "expected 488 samples of the input waiting"),
        ("mixer.more", np.zeros(3, np.float32), "got '0.path.mixer.more' as well"),
        ("another.stage", np.zeros(3, np.float32), "was it saved at other rates"),
    ],
)
def test_a_state_that_cannot_be_is_refused(engine, name, array, message):
    enhancer = Enhancer(engine=engine, strength="auto")
    enhancer.process_chunk(noise(1000))
    state = enhancer.get_state()
    with pytest.raises(StateError, match=message):
        enhancer.set_state(changed(state, **{name: array}))
    assert enhancer.get_state().to_bytes() == state.to_bytes()
    assert len(enhancer.flush()) == 1000 - 512


def test_channels_that_do_not_exist_are_refused():
    enhancer = Enhancer()
    state = enhancer.get_state()
    more = StreamState(state.facts, {**state.arrays, "1.engine.tra": state.arrays["0.engine.tra"]})
    with pytest.raises(StateError, match=r"a stream of 1 channels, got '1\.engine\.tra' as well"):
        enhancer.set_state(more)


def test_channels_that_are_not_equally_far_are_refused():
    one, other = Enhancer(channels=2), Enhancer(channels=2)
    one.process_chunk(noise(1000, 2))
    other.process_chunk(noise(2000, 2))
    state, further = one.get_state(), other.get_state().arrays
    mixed = {name: further[name] if name.startswith("1.") else array for name, array in state.arrays.items()}
    with pytest.raises(StateError, match="expected equally many samples in all channels"):
        one.set_state(StreamState(state.facts, mixed))


def test_resamplers_that_have_heard_different_things_are_refused():
    enhancer = Enhancer(sample_rate=48000, output_sample_rate=44100)
    enhancer.process_chunk(noise(5000))
    state = enhancer.get_state()
    other = state.arrays["0.path.dry_to_output.pending"] + np.float32(0.01)
    with pytest.raises(StateError, match="the same last samples of the input in both resamplers"):
        enhancer.set_state(changed(state, **{"dry_to_output.pending": other}))


@pytest.mark.parametrize("layout", [3, None, "2"])
def test_a_state_of_another_layout_is_refused(layout):
    enhancer = Enhancer()
    state = enhancer.get_state()
    with pytest.raises(StateError, match="expected a state of layout 2"):
        enhancer.set_state(StreamState({**state.facts, "layout": layout}, state.arrays))


def as_of_0_1(enhancer, samples):
    """The state of an enhancer that has taken these samples, as release 0.1 saved it."""
    state, rate, output_rate = enhancer.get_state(), enhancer.sample_rate, enhancer.output_sample_rate
    arrays = {}
    for name, array in state.arrays.items():
        name = name.replace(".auto_strength.", ".guard.").replace(".strength_ramp.", ".track.")
        arrays[name] = array

    def kept(rate_in, rate_out, signal):
        """The end of a signal from the first sample of the next block of outputs on."""
        bank = filter_bank(rate_in, rate_out)
        block = outputs_per_block(bank.up, half_taps(rate_in)) if bank.up <= 1024 else 1
        begin = bank.begin(bank.ready(len(signal)) // block * block)
        return np.concatenate([np.zeros(max(-begin, 0), np.float32), signal[max(begin, 0) :]])

    if rate != 16000:
        arrays["0.path.to_model.pending"] = kept(rate, 16000, samples)
    if rate != output_rate:
        arrays["0.path.dry_to_output.pending"] = kept(rate, output_rate, samples)
        arrays["0.path.dry_to_output.samples_in"] = np.array(len(samples))
    if output_rate != 16000:  # the network's samples before those that are kept are not known: they have no weight
        needed = arrays["0.path.to_output.pending"]
        count = int(arrays["0.path.to_output.samples_in"])
        length = len(kept(16000, output_rate, np.zeros(count, np.float32)))
        arrays["0.path.to_output.pending"] = np.concatenate([np.ones(length - len(needed), np.float32), needed])
    facts = {name: value for name, value in state.facts.items() if name != "layout"}
    return StreamState.from_bytes(StreamState(facts, arrays).to_bytes())


@pytest.mark.parametrize("strength", ["auto", 0.4])
@pytest.mark.parametrize("engine", ["auto", "onnx"])
@pytest.mark.parametrize(
    ("rate", "output_rate"), [(16000, 16000), (48000, 48000), (48000, 16000), (8000, 44100), (44101, 44101)]
)
def test_a_state_of_0_1_goes_on(rate, output_rate, engine, strength):
    settings = {"sample_rate": rate, "output_sample_rate": output_rate, "strength": strength}
    enhancer, other = Enhancer(**settings), Enhancer(engine=engine, **settings)
    samples = noise(rate // 2)
    enhancer.process_chunk(samples[:5001])
    other.set_state(as_of_0_1(enhancer, samples[:5001]))
    expected = np.concatenate([enhancer.process_chunk(samples[5001:]), enhancer.flush()])
    got = np.concatenate([other.process_chunk(samples[5001:]), other.flush()])
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("change", [lambda array: array[:-1], lambda array: np.append(array, array[:1])])
def test_a_damaged_state_of_0_1_is_refused(change):
    enhancer = Enhancer(sample_rate=48000)
    enhancer.process_chunk(noise(3000))
    state = as_of_0_1(enhancer, noise(3000))
    pending = change(state.arrays["0.path.to_model.pending"])
    with pytest.raises(StateError, match="another number of samples in a resampler"):
        enhancer.set_state(changed(state, **{"to_model.pending": pending}))
    with pytest.raises(StateError, match="one count of samples in a resampler"):
        enhancer.set_state(changed(state, **{"to_model.samples_in": np.array([1.5])}))
