"""Properties of one stream: chunking, totals, alignment, strength, states, bad input."""

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend import AudioFormatError, ConfigError, Enhancer, ModelError, StateError, StreamState

RATE = 16000
chunk_lengths = st.lists(st.integers(0, 5000), max_size=12)


@pytest.fixture(scope="module")
def noisy(audio_folder):
    samples, _ = soundfile.read(audio_folder / "speech_a.flac", dtype="float32")
    noise = np.random.default_rng(1).normal(0, 0.03, len(samples))
    return (samples + noise).astype(np.float32)[: 3 * RATE]


@pytest.fixture(scope="module")
def whole(noisy):
    return Enhancer().enhance(noisy)


@pytest.fixture(scope="module")
def at_full_strength(noisy):
    return Enhancer(strength=1).enhance(noisy)


def run(enhancer, samples, lengths):
    """All samples of a stream fed in chunks of these lengths, what is left over in one more."""
    pieces, start = [], 0
    for length in [*lengths, len(samples)]:
        pieces.append(enhancer.process_chunk(samples[start : start + length]))
        start += length
    return np.concatenate([*pieces, enhancer.flush()])


@pytest.mark.parametrize("strength", [0, 1])
@pytest.mark.parametrize("length", [256, 300])
def test_aligned_signals_are_in_memory_of_their_own(noisy, strength, length):
    enhancer = Enhancer(strength=strength)
    chunks = [enhancer.process_aligned(noisy[start : start + length]) for start in range(0, 4 * length, length)]
    for chunk in [*chunks, enhancer.flush_aligned()]:
        arrays = chunk.dry, chunk.enhanced, chunk.mixed
        assert not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in (*arrays[i + 1 :], noisy))


@settings(deadline=None, max_examples=25)
@given(lengths=chunk_lengths)
def test_any_chunking_gives_the_samples_of_one_call(noisy, whole, lengths):
    chunked = run(Enhancer(), noisy, lengths)
    assert len(chunked) == len(noisy)
    np.testing.assert_allclose(chunked, whole, atol=1e-6)


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_engines_agree(noisy, whole, engine):
    np.testing.assert_allclose(run(Enhancer(engine=engine), noisy, [700] * 50), whole, atol=1e-4)


@settings(deadline=None, max_examples=30)
@given(length=st.integers(0, 3000), lengths=chunk_lengths, dtype=st.sampled_from(["float32", "float64", "int16"]))
def test_totals_and_types_match_and_the_stream_is_as_new(length, lengths, dtype):
    samples = np.random.default_rng(length).normal(0, 0.1, length)
    chunk = (samples * 32767).astype(dtype) if dtype == "int16" else samples.astype(dtype)
    enhancer = Enhancer()
    first = run(enhancer, chunk, lengths)
    assert len(first) == length
    assert (enhancer.samples_in, enhancer.samples_out) == (0, 0)
    np.testing.assert_array_equal(run(enhancer, chunk, lengths), first)
    if length:
        assert first.dtype == dtype


@settings(deadline=None, max_examples=25)
@given(lengths=chunk_lengths)
def test_output_trails_by_no_more_than_the_lag(noisy, lengths):
    enhancer = Enhancer()
    worst = 0
    for length in lengths:
        enhancer.process_chunk(noisy[:length])
        worst = max(worst, enhancer.samples_in - enhancer.samples_out)
    assert worst <= enhancer.lag_samples == 511


def test_lag_and_latency_are_reached():
    enhancer = Enhancer()
    lags = []
    for _ in range(1024):
        enhancer.process_chunk(np.zeros(1, np.float32))
        lags.append(enhancer.samples_in - enhancer.samples_out)
    assert max(lags) == enhancer.lag_samples
    assert enhancer.latency_samples == enhancer.lag_samples + 1
    assert enhancer.latency_ms == 32.0
    assert enhancer.hop_length == 256


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_strength_0_returns_the_input_bit_by_bit(noisy, dtype):
    samples = (noisy * 32767).astype(np.int16) if dtype == "int16" else noisy
    out = run(Enhancer(strength=0), samples, [100, 3, 999])
    np.testing.assert_array_equal(out, samples)
    assert out.dtype == dtype


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_aligned_parts_fit_together(noisy, at_full_strength, strength):
    enhancer = Enhancer(strength=strength)
    parts = [enhancer.process_aligned(noisy[start : start + 1000]) for start in range(0, len(noisy), 1000)]
    parts.append(enhancer.flush_aligned())
    starts = np.cumsum([0] + [len(part.dry) for part in parts])
    assert [part.start_sample for part in parts] == list(starts[:-1])
    dry, enhanced, mixed = (np.concatenate([getattr(p, name) for p in parts]) for name in ("dry", "enhanced", "mixed"))
    np.testing.assert_array_equal(dry, noisy)
    np.testing.assert_allclose(enhanced, at_full_strength, atol=1e-6)
    np.testing.assert_allclose(mixed, strength * enhanced + (1 - strength) * dry, atol=1e-6)


def test_a_fifth_of_the_input_is_added_back_by_default(noisy, whole, at_full_strength):
    assert Enhancer().strength == Enhancer().config.strength == 0.8
    np.testing.assert_allclose(whole, 0.8 * at_full_strength + 0.2 * noisy, atol=1e-6)
    assert np.abs(whole - at_full_strength).max() > 0.01


def test_max_attenuation_is_the_strength_in_other_units():
    assert Enhancer(max_attenuation_db=20).strength == pytest.approx(0.9)


def test_strength_changes_ramp_over_one_hop(noisy, at_full_strength):
    enhancer = Enhancer(strength=1.0)
    before = enhancer.process_chunk(noisy[:16000])
    enhancer.strength = 0.0
    after = np.concatenate([enhancer.process_chunk(noisy[16000:]), enhancer.flush()])
    at = len(before)
    np.testing.assert_allclose(before, at_full_strength[:at], atol=1e-6)
    np.testing.assert_array_equal(after[256:], noisy[at + 256 :])
    ramp = np.arange(1, 257) / 256
    expected = (1 - ramp) * at_full_strength[at : at + 256] + ramp * noisy[at : at + 256]
    np.testing.assert_allclose(after[:256], expected, atol=1e-6)


def test_bypass_delivers_the_input_and_switching_back_is_seamless(noisy, whole):
    enhancer = Enhancer()
    strength = enhancer.strength
    pieces = [enhancer.process_chunk(noisy[:16000])]
    enhancer.bypass = True
    pieces.append(enhancer.process_chunk(noisy[16000:32000]))
    enhancer.bypass = False
    pieces += [enhancer.process_chunk(noisy[32000:]), enhancer.flush()]
    first, second = len(pieces[0]), len(pieces[1])
    out = np.concatenate(pieces)
    np.testing.assert_array_equal(out[first + 256 : first + second], noisy[first + 256 : first + second])
    np.testing.assert_allclose(out[first + second + 256 :], whole[first + second + 256 :], atol=1e-6)
    assert enhancer.strength == strength


@pytest.mark.parametrize("strength", [-0.1, 1.1, "full", None, float("nan"), True])
def test_a_wrong_strength_is_refused_and_the_old_one_kept(strength):
    enhancer = Enhancer(strength=0.5)
    with pytest.raises(ConfigError, match="strength"):
        enhancer.strength = strength
    assert enhancer.strength == 0.5


BAD_CHUNKS = {
    "NaN": (np.array([0, np.nan], np.float32), "finite"),
    "infinity": (np.array([np.inf, 0], np.float32), "finite"),
    "both signs of infinity": (np.array([np.inf, -np.inf], np.float32), "finite"),
    "int16 as float": (np.full(10, 1000, np.float32), "divide by 32768"),
    "two dimensions": (np.zeros((10, 2), np.float32), r"\(n,\).*\(10, 2\)"),
    "no dimension": (np.float32(0), r"\(n,\)"),
    "int32": (np.zeros(10, np.int32), "int32"),
    "complex": (np.zeros(10, np.complex64), "complex64"),
    "text": (["a", "b"], "float32"),
    "nothing": (None, "NoneType"),
    "float64 beyond float32": (np.array([1e300]), "finite|8"),
}


@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_bad_chunks_are_refused_and_cost_nothing(noisy, whole, name):
    bad, message = BAD_CHUNKS[name]
    enhancer = Enhancer()
    pieces = [enhancer.process_chunk(noisy[:10000])]
    for method in (enhancer.process_chunk, enhancer.process_aligned, enhancer.enhance):
        with pytest.raises(AudioFormatError, match=message):
            method(bad)
    pieces += [enhancer.process_chunk(noisy[10000:]), enhancer.flush()]
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-6)


def test_the_callers_buffer_may_be_reused(noisy, whole):
    enhancer, buffer, pieces = Enhancer(), np.empty(777, np.float32), []
    for start in range(0, len(noisy), 777):
        chunk = noisy[start : start + 777]
        buffer[: len(chunk)] = chunk
        pieces.append(enhancer.process_chunk(buffer[: len(chunk)]).copy())
        buffer[:] = 0.5
    np.testing.assert_allclose(np.concatenate([*pieces, enhancer.flush()]), whole, atol=1e-6)


def test_results_do_not_share_memory_with_what_comes_later(noisy):
    enhancer = Enhancer(strength=0)
    first = enhancer.process_chunk(noisy[:5000])
    kept = first.copy()
    first[:] = 7
    enhancer.process_chunk(noisy[5000:9000])
    np.testing.assert_array_equal(kept, noisy[: len(kept)])
    np.testing.assert_array_equal(enhancer.get_state().arrays["0.path.mixer.dry"], noisy[enhancer.samples_out : 9000])


def test_digital_silence_stays_silence(shared):
    model = shared / "reference/gtcrn/model_trained_on_dns3.tar"
    out = Enhancer(model=model).enhance(np.zeros(5 * RATE, np.float32))
    assert np.abs(out).max() < 1e-5


@pytest.mark.parametrize("name", ["square", "offset", "denormal"])
def test_extreme_input_gives_finite_output(name):
    signal = {
        "square": np.where(np.arange(RATE) % 100 < 50, 1.0, -1.0),
        "offset": np.full(RATE, 0.9),
        "denormal": np.full(RATE, 1e-42),
    }[name].astype(np.float32)
    enhancer = Enhancer()
    out = np.concatenate([*(enhancer.process_chunk(signal[i : i + 1]) for i in range(2000)), enhancer.enhance(signal)])
    assert np.isfinite(out).all()


def test_int16_is_clipped_not_wrapped():
    loud = np.where(np.arange(RATE) % 100 < 50, 32767, -32768).astype(np.int16)
    reference = Enhancer().enhance(loud.astype(np.float32) / 32768)
    out = Enhancer().enhance(loud)
    np.testing.assert_array_equal(out, np.clip(np.rint(reference * 32768), -32768, 32767).astype(np.int16))


def test_enhance_leaves_the_running_stream_alone(noisy, whole):
    enhancer = Enhancer()
    pieces = [enhancer.process_chunk(noisy[:9999])]
    np.testing.assert_array_equal(enhancer.enhance(noisy), whole)
    pieces += [enhancer.process_chunk(noisy[9999:]), enhancer.flush()]
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-6)


def test_reset_begins_a_new_stream(noisy, whole):
    enhancer = Enhancer()
    enhancer.process_chunk(noisy[:9999])
    enhancer.reset()
    np.testing.assert_allclose(run(enhancer, noisy, []), whole, atol=1e-6)


@pytest.mark.parametrize("target", ["onnx", "torch"])
@pytest.mark.parametrize("source", ["onnx", "torch"])
@pytest.mark.parametrize("at", [0, 1, 256, 12345])
def test_a_stream_moves_between_engines(noisy, whole, source, target, at):
    first, second = Enhancer(engine=source), Enhancer(engine=target)
    pieces = [first.process_chunk(noisy[:at])]
    second.process_chunk(noisy[:500])  # what it did before does not matter
    second.set_state(StreamState.from_bytes(first.get_state().to_bytes()))
    pieces += [second.process_chunk(noisy[at:]), second.flush()]
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-4)


def test_a_stream_goes_on_in_a_new_process(noisy, whole, tmp_path):
    enhancer = Enhancer()
    head = enhancer.process_chunk(noisy[:20000])
    (tmp_path / "state").write_bytes(enhancer.get_state().to_bytes())
    np.save(tmp_path / "rest.npy", noisy[20000:])
    script = """
import sys, numpy as np
from gtcrn_frontend import Enhancer, StreamState
folder = sys.argv[1]
enhancer = Enhancer()
enhancer.set_state(StreamState.from_bytes(open(folder + "/state", "rb").read()))
out = [enhancer.process_chunk(np.load(folder + "/rest.npy")), enhancer.flush()]
np.save(folder + "/out.npy", np.concatenate(out))
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    np.testing.assert_allclose(np.concatenate([head, np.load(tmp_path / "out.npy")]), whole, atol=1e-4)


def test_setting_a_state_twice_gives_the_same_twice(noisy):
    enhancer = Enhancer()
    enhancer.process_chunk(noisy[:7000])
    state = enhancer.get_state()
    outputs = []
    for _ in range(2):
        enhancer.set_state(state)
        outputs.append(enhancer.process_chunk(noisy[7000:]))
    np.testing.assert_array_equal(*outputs)


def foreign_states(enhancer):
    good = enhancer.get_state()
    arrays = dict(good.arrays)
    yield "another model", StreamState({**good.facts, "model": "0" * 64}, arrays)
    yield "another rate", StreamState({**good.facts, "sample_rate": 8000}, arrays)
    yield "two channels", Enhancer(channels=2).get_state()
    yield "at another rate", Enhancer(sample_rate=48000).get_state()
    yield "no arrays", StreamState(good.facts, {})
    for name in arrays:
        yield f"without {name}", StreamState(good.facts, {key: arrays[key] for key in arrays if key != name})
        wrong = np.zeros((3, 3), np.float16)
        yield f"wrong {name}", StreamState(good.facts, {**arrays, name: wrong})
    nan = np.full_like(arrays["0.engine.tra"], np.nan)
    yield "NaN inside", StreamState(good.facts, {**arrays, "0.engine.tra": nan})


def test_foreign_states_are_refused_and_change_nothing(noisy, whole):
    enhancer = Enhancer()
    pieces = [enhancer.process_chunk(noisy[:10000])]
    states = list(foreign_states(enhancer))
    assert len(states) > 20
    for name, state in states:
        with pytest.raises(StateError):
            enhancer.set_state(state)
            pytest.fail(f"accepted: {name}")
    pieces += [enhancer.process_chunk(noisy[10000:]), enhancer.flush()]
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-6)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_copies_go_on_independently(noisy, whole, copied):
    enhancer = Enhancer()
    head = enhancer.process_chunk(noisy[:10000])
    twin = copied(enhancer)
    for stream in (enhancer, twin):
        rest = [stream.process_chunk(noisy[10000:]), stream.flush()]
        np.testing.assert_allclose(np.concatenate([head, *rest]), whole, atol=1e-6)


def test_copies_keep_strength_bypass_and_type(noisy):
    enhancer = Enhancer(strength=0.5)
    enhancer.process_chunk((noisy[:1000] * 32767).astype(np.int16))
    enhancer.strength, enhancer.bypass = 0.25, True
    for twin in (copy.copy(enhancer), pickle.loads(pickle.dumps(enhancer))):
        assert (twin.strength, twin.bypass) == (0.25, True)
        assert twin.flush().dtype == np.int16


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.parametrize("num_threads", [1, 2])
def test_a_stream_goes_on_after_fork(noisy, whole, num_threads, tmp_path):
    # In a process of its own: pytest's has threads, with which fork is undefined. The child ends as those of
    # multiprocessing do, without destructors: ONNX Runtime's hang in any forked child that merely imported it.
    np.save(tmp_path / "noisy.npy", noisy)
    script = f"""
import os, sys, numpy as np
from gtcrn_frontend import Enhancer
noisy = np.load(sys.argv[1] + "/noisy.npy")
enhancer = Enhancer(num_threads={num_threads})
head = enhancer.process_chunk(noisy[:20000])
child = os.fork()
try:
    out = np.concatenate([head, enhancer.process_chunk(noisy[20000:]), enhancer.flush()])
    np.save(sys.argv[1] + ("/parent.npy" if child else "/child.npy"), out)
finally:
    if not child:
        os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, timeout=60)
    for name in ("parent.npy", "child.npy"):
        np.testing.assert_allclose(np.load(tmp_path / name), whole, atol=1e-6)


RATES = [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000]


@pytest.mark.parametrize("rate", RATES)
def test_totals_are_exact_at_any_rate(rate):
    samples = np.random.default_rng(rate).normal(0, 0.1, rate // 3 + 7).astype(np.float32)
    enhancer = Enhancer(sample_rate=rate)
    whole = run(enhancer, samples, [])
    assert len(whole) == len(samples)
    np.testing.assert_allclose(run(enhancer, samples, [1, 0, 17, 1000, 333, rate // 7]), whole, atol=1e-6)


@pytest.mark.parametrize("rate", RATES)
def test_strength_0_is_exact_at_any_rate(rate):
    samples = np.random.default_rng(rate).normal(0, 0.1, rate // 4).astype(np.float32)
    np.testing.assert_array_equal(run(Enhancer(sample_rate=rate, strength=0), samples, [999, 77]), samples)


@pytest.mark.parametrize("rate", RATES)
def test_latency_is_true_at_any_rate(rate):
    enhancer = Enhancer(sample_rate=rate)
    lags, position = [], 0
    step = max(1, rate // 4000)
    for _ in range(rate // 5 // step):
        enhancer.process_chunk(np.zeros(step, np.float32))
        position += step
        lags.append(position - enhancer.samples_out)
    assert enhancer.latency_samples - 0.0003 * rate - step <= max(lags) <= enhancer.lag_samples
    assert 32 <= enhancer.latency_ms <= 32 + (0 if rate == RATE else 9.5)


@pytest.mark.parametrize("rate", RATES)
def test_an_impulse_comes_out_in_its_place_and_when_the_latency_says(rate):
    """At any position within the hop; the longest wait over all positions is the latency."""
    step = max(1, rate // 8000)
    waits = []
    for offset in range(0, rate // 50, max(1, rate // 400)):  # over more than one hop of 16 ms
        position = rate // 20 + offset
        enhancer = Enhancer(sample_rate=rate)
        signal = np.zeros(rate // 5, np.float32)
        signal[position] = 0.5
        dry, came_at = [], None
        for start in range(0, len(signal), step):
            dry.append(enhancer.process_aligned(signal[start : start + step]).dry)
            if enhancer.samples_out > position:
                came_at = enhancer.samples_in
                break
        assert np.flatnonzero(np.concatenate(dry)).tolist() == [position]
        waits.append(came_at - position)
    # Steps and positions are not every sample, so the longest wait may be missed by as much.
    assert enhancer.latency_samples - rate // 300 - step <= max(waits) <= enhancer.latency_samples + step


@pytest.mark.parametrize(("rate", "output_rate"), [(8000, 16000), (48000, 16000), (16000, 8000), (44100, 48000)])
def test_output_at_another_rate(rate, output_rate):
    seconds = np.arange(rate) / rate
    tone = (0.1 * np.sin(2 * np.pi * 440 * seconds)).astype(np.float32)
    enhancer = Enhancer(sample_rate=rate, output_sample_rate=output_rate, strength=0)
    out = run(enhancer, tone, [1000] * 10)
    assert len(out) == -(-len(tone) * output_rate // rate)
    expected = 0.1 * np.sin(2 * np.pi * 440 * np.arange(len(out)) / output_rate)
    inner = slice(len(out) // 10, -len(out) // 10)
    np.testing.assert_allclose(out[inner], expected[inner], atol=1e-3)


@pytest.mark.parametrize("rate", [16000, 48000])
def test_each_channel_is_enhanced_on_its_own(noisy, rate):
    channels = np.stack([noisy, noisy[::-1], 0.5 * noisy], axis=1)
    out = run(Enhancer(sample_rate=rate, channels=3), channels, [1000, 1, 4000])
    assert out.shape == channels.shape
    for channel in range(3):
        alone = run(Enhancer(sample_rate=rate), channels[:, channel].copy(), [1000, 1, 4000])
        np.testing.assert_allclose(out[:, channel], alone, atol=1e-6)


def test_downmix_averages_the_channels(noisy):
    channels = np.stack([noisy, 0.5 * noisy], axis=1)
    out = run(Enhancer(channels=2, downmix=True), channels, [500] * 20)
    np.testing.assert_allclose(out, Enhancer().enhance((0.75 * noisy).astype(np.float32)), atol=1e-6)


@pytest.mark.parametrize("shape", [(100,), (100, 3), (2, 100), (100, 2, 1)])
def test_a_wrong_number_of_channels_is_refused(shape):
    with pytest.raises(AudioFormatError, match=r"\(n, 2\)"):
        Enhancer(channels=2).process_chunk(np.zeros(shape, np.float32))


@pytest.mark.parametrize("rate", [7999, 192001, 0, -16000, 16000.5, "16000"])
def test_a_wrong_rate_is_refused(rate):
    with pytest.raises(ConfigError, match="sample"):
        Enhancer(sample_rate=rate)


def test_max_attenuation_may_be_set_while_running():
    enhancer = Enhancer()
    assert enhancer.max_attenuation_db == pytest.approx(13.979, abs=1e-3)
    enhancer.strength = 1
    assert enhancer.max_attenuation_db == float("inf")
    enhancer.max_attenuation_db = 20
    assert enhancer.strength == pytest.approx(0.9)
    assert enhancer.max_attenuation_db == pytest.approx(20)
    with pytest.raises(ConfigError, match="above 0"):
        enhancer.max_attenuation_db = -1
    assert enhancer.strength == pytest.approx(0.9)


def test_a_misspelt_setting_is_an_error():
    with pytest.raises(AttributeError):
        Enhancer().strenght = 0.5


def test_the_text_form_says_what_it_is():
    assert repr(Enhancer(strength=0.5, sample_rate=48000)) == (
        f"<Enhancer gtcrn-asr, {Enhancer().engine}, 48000 Hz to 48000 Hz, strength 0.5>"
    )


@pytest.mark.parametrize("state", [None, b"bytes", {}])
def test_what_is_no_state_is_refused(state):
    with pytest.raises(StateError):
        Enhancer().set_state(state)


def test_a_state_is_read_from_anything_that_holds_bytes():
    data = Enhancer().get_state().to_bytes()
    for held in (bytearray(data), memoryview(data)):
        assert StreamState.from_bytes(held).to_bytes() == data
    with pytest.raises(StateError, match="NoneType"):
        StreamState.from_bytes(None)


def test_onnx_runtime_reports_no_usage(tmp_path):
    """It would leave a device id in the user's home, and a thread that forked children wait for."""
    script = "import numpy, os; from gtcrn_frontend import Enhancer; Enhancer(); pid = os.fork()\nif pid: os.wait()"
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=60)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("dtype", ["int16", "float64"])
def test_a_saved_stream_ends_in_its_own_sample_type(noisy, dtype):
    samples = (noisy * 32767).astype(dtype) if dtype == "int16" else noisy.astype(dtype)
    enhancer = Enhancer()
    enhancer.process_chunk(samples[:5000])
    other = Enhancer()
    other.set_state(StreamState.from_bytes(enhancer.get_state().to_bytes()))
    tail = other.flush()
    assert tail.dtype == dtype
    np.testing.assert_array_equal(tail, enhancer.flush())


def damaged_states(state):
    def changed(name, change):
        array = state.arrays[name].copy()
        return StreamState(state.facts, {**state.arrays, name: change(array)})

    def with_nan(array):
        array[0] = np.nan
        return array

    yield changed("0.path.framer.rest", with_nan)
    yield changed("0.path.mixer.dry", with_nan)
    yield changed("0.path.mixer.ramp", with_nan)
    yield changed("0.path.mixer.enhanced", lambda array: np.zeros(10, np.float32))
    yield changed("0.path.mixer.dry", lambda array: array[:-1])
    yield changed("0.path.counters", lambda array: np.array([array[0], 10**9]))
    yield changed("0.path.counters", lambda array: np.array([array[0] + 1, array[1]]))
    yield changed("dtype", lambda array: array[:-1])


def test_a_state_that_cannot_be_is_refused(noisy, whole):
    enhancer = Enhancer()
    pieces = [enhancer.process_chunk(noisy[:5000])]
    for damaged in damaged_states(enhancer.get_state()):
        with pytest.raises(StateError):
            enhancer.set_state(damaged)
    pieces += [enhancer.process_chunk(noisy[5000:]), enhancer.flush()]
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-6)


def test_what_numpy_cannot_read_is_an_audio_format_error():
    import torch

    for bad in (torch.zeros(10, requires_grad=True), torch.zeros(10, dtype=torch.bfloat16), [[1.0], [1.0, 2.0]]):
        with pytest.raises(AudioFormatError):
            Enhancer().process_chunk(bad)
    assert Enhancer().process_chunk(torch.zeros(1000)).shape == (512,)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_threads": 20000}, "num_threads"),
        ({"providers": "CPUExecutionProvider"}, "list of strings"),
        ({"providers": 5}, "list of strings"),
        ({"sample_rate": 5}, "8000 to 192000"),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        Enhancer(**settings)


@pytest.mark.parametrize("model", ["x" * 300, "examples", 48000])
def test_what_is_no_model_is_an_error_of_this_package(model):
    with pytest.raises((ModelError, ConfigError)):
        Enhancer(model)


def test_weights_that_were_replaced_do_not_go_on_after_fork(noisy, tmp_path, random_checkpoint):
    """The child loads the file again; a stream must not continue in other weights."""
    import shutil

    script = """
import os, shutil, sys, numpy as np
from gtcrn_frontend import Enhancer, ModelError
enhancer = Enhancer(sys.argv[1])
enhancer.process_chunk(np.zeros(1000, np.float32))
shutil.copy(sys.argv[2], sys.argv[1])
child = os.fork()
if not child:
    try:
        enhancer.process_chunk(np.zeros(1000, np.float32))
        os._exit(1)
    except ModelError:
        os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    from gtcrn_frontend.weights.model import installed_model_file

    model = tmp_path / "model.safetensors"
    shutil.copy(installed_model_file("gtcrn-asr.safetensors"), model)
    command = [sys.executable, "-c", script, str(model), str(random_checkpoint)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "7"
