"""FRCRN and WaveCRN through `Enhancer`: latency as declared, any chunks, states, whole signals, ONNX, causal FRCRN."""

import copy
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch

from gtcrn_frontend import Enhancer, EnhancerConfig, StreamPool, StreamState, enhance_file
from gtcrn_frontend.cli.main import main
from gtcrn_frontend.errors import ConfigError, ModelError, StateError
from gtcrn_frontend.export import export_model
from gtcrn_frontend.model_spec import FRCRN_CAUSAL_SPEC
from gtcrn_frontend.nets.frcrn import FRCRN
from gtcrn_frontend.nets.frcrn_causal import CausalFRCRN
from gtcrn_frontend.nets.wavecrn import WaveCRN
from gtcrn_frontend.training.checkpoint import save_weights
from gtcrn_frontend.weights.model import load_model
from gtcrn_frontend.weights.networks import recognise

RATE = 16000


def drawn(cls):
    """A network with random weights, scaled so that its output is neither silence nor the input."""
    with torch.random.fork_rng():
        torch.manual_seed(6)
        return cls().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def wavecrn():
    net = drawn(WaveCRN)
    net.net.deconv.weight *= 10
    return net


@pytest.fixture(scope="module")
def wavecrn_path(wavecrn, tmp_path_factory):
    path = tmp_path_factory.mktemp("wavecrn") / "wavecrn.safetensors"
    save_weights(path, wavecrn, {})
    kept = Enhancer(path)  # while there is one, the others share its model
    yield path
    del kept


@pytest.fixture(scope="module")
def frcrn():
    return drawn(FRCRN)


@pytest.fixture(scope="module")
def frcrn_path(frcrn, tmp_path_factory):
    path = tmp_path_factory.mktemp("frcrn") / "frcrn.safetensors"
    save_weights(path, frcrn, {})
    kept = Enhancer(path)
    yield path
    del kept


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).normal(0, 0.1, 3 * RATE // 2).astype(np.float32)


def alone(net, samples):
    return net.enhance(torch.from_numpy(samples)[None])[0].numpy()


def streamed(enhancer, samples, *, size):
    pieces = [enhancer.process_chunk(samples[i : i + size]) for i in range(0, len(samples), size)]
    return np.concatenate([*pieces, enhancer.flush()])


def test_wavecrn_waits_one_second_and_no_longer(wavecrn_path, noise):
    enhancer = Enhancer(wavecrn_path)
    assert (enhancer.engine, enhancer.spec.name, enhancer.latency_ms) == ("torch", "wavecrn", 1000)
    lags = []
    for chunk in np.split(noise, 400):
        enhancer.process_chunk(chunk)
        lags.append(enhancer.samples_in - enhancer.samples_out)
    assert max(lags) <= enhancer.lag_samples == 15999
    assert max(lags) > enhancer.lag_samples - len(chunk), "the declared latency is reached"
    assert enhancer.samples_out + len(enhancer.flush()) == len(noise)


def test_any_chunks_give_the_same_samples(wavecrn_path, noise):
    whole = streamed(Enhancer(wavecrn_path), noise, size=len(noise))
    assert np.abs(whole - noise).max() > 0.01
    for size in (777, 8000):
        np.testing.assert_array_equal(streamed(Enhancer(wavecrn_path), noise, size=size), whole)


def test_a_saved_state_goes_on_in_another_enhancer(wavecrn_path, noise):
    whole = streamed(Enhancer(wavecrn_path), noise, size=len(noise))
    first = Enhancer(wavecrn_path)
    head = first.process_chunk(noise[:20001])
    state = first.get_state().to_bytes()
    second = Enhancer(wavecrn_path)
    second.set_state(StreamState.from_bytes(state))
    tail = np.concatenate([second.process_chunk(noise[20001:]), second.flush()])
    np.testing.assert_array_equal(np.concatenate([head, tail]), whole)


def test_no_enhancement_is_the_input_bit_by_bit(wavecrn_path, noise):
    np.testing.assert_array_equal(streamed(Enhancer(wavecrn_path, strength=0), noise, size=999), noise)


def test_the_guard_chooses_the_strength_of_what_comes_out_a_second_later(wavecrn_path, noise):
    enhancer = Enhancer(wavecrn_path, strength="auto")
    whole = streamed(enhancer, noise, size=len(noise))
    np.testing.assert_array_equal(streamed(enhancer, noise, size=999), whole)
    assert not np.array_equal(whole, streamed(Enhancer(wavecrn_path), noise, size=len(noise)))
    enhancer.process_chunk(noise)
    before = -(-enhancer.spec.delay // enhancer.hop_length)  # hops that lie before the stream
    assert enhancer.auto_strength_report.hops == len(noise) // enhancer.hop_length - before


@pytest.mark.parametrize("latency_ms", [500, 1530])
def test_the_latency_is_a_setting_and_reported_as_it_is(wavecrn_path, noise, latency_ms):
    samples = np.tile(noise, 2)
    enhancer = Enhancer(wavecrn_path, segment_latency_ms=latency_ms)
    assert enhancer.latency_ms == latency_ms
    pieces, lags = [], []
    for chunk in np.array_split(samples, 300):
        pieces.append(enhancer.process_chunk(chunk))
        lags.append(enhancer.samples_in - enhancer.samples_out)
    assert enhancer.lag_samples - len(chunk) < max(lags) <= enhancer.lag_samples == 16 * latency_ms - 1
    whole = np.concatenate([*pieces, enhancer.flush()])
    assert len(whole) == len(samples)
    np.testing.assert_array_equal(streamed(enhancer, samples, size=len(samples)), whole)
    pool = StreamPool(wavecrn_path, segment_latency_ms=latency_ms)
    stream = pool.open()
    assert pool.info(stream).latency_ms == latency_ms
    first = pool.process({stream: samples[:30000]})[stream]
    enhancer.set_state(pool.get_state(stream))
    tail = np.concatenate([enhancer.process_chunk(samples[30000:]), enhancer.flush()])
    np.testing.assert_array_equal(np.concatenate([first, tail]), whole)


def test_no_output_depends_on_input_beyond_the_latency(wavecrn_path, noise):
    enhancer = Enhancer(wavecrn_path, segment_latency_ms=300)
    expected, moment = streamed(enhancer, noise, size=len(noise)), 12000
    changed = noise.copy()
    changed[moment:] *= -1
    moved = streamed(enhancer, changed, size=len(noise)) != expected
    assert not moved[: moment - enhancer.latency_samples].any()
    assert moved[moment - enhancer.latency_samples : moment].any()


def test_whole_signals_are_the_same_at_any_latency_of_the_stream(wavecrn_path, noise):
    enhancer = Enhancer(wavecrn_path, segment_latency_ms=400)
    np.testing.assert_array_equal(enhancer.enhance(noise), Enhancer(wavecrn_path).enhance(noise))
    assert enhancer.for_whole_signal().latency_ms == 4770


def test_a_state_of_another_latency_is_refused(wavecrn_path, noise):
    short, long = (Enhancer(wavecrn_path, segment_latency_ms=ms) for ms in (500, 2000))
    long.process_chunk(noise[:5000])
    short.process_chunk(noise[:100])
    with pytest.raises(StateError, match="expected a state of segment_latency_ms 500, got 2000"):
        short.set_state(long.get_state())
    assert short.samples_in == 100
    one_second = Enhancer(wavecrn_path, segment_latency_ms=1000)
    one_second.set_state(Enhancer(wavecrn_path).get_state())  # what is meant if nothing is said


def test_enhancers_of_any_latency_share_the_weights(wavecrn_path, monkeypatch):
    kept = Enhancer(wavecrn_path, segment_latency_ms=700)
    monkeypatch.setattr("gtcrn_frontend.engines.loading.load_model", None)  # nothing is loaded again
    twins = [Enhancer(wavecrn_path), Enhancer(wavecrn_path, segment_latency_ms=900), pickle.loads(pickle.dumps(kept))]
    assert [each.latency_ms for each in twins] == [1000, 900, 700]


def test_a_network_that_runs_frame_by_frame_refuses_a_segment_latency(random_checkpoint):
    for make in (Enhancer, StreamPool):
        with pytest.raises(ConfigError, match="gtcrn runs frame by frame and always has 32 ms, got 500"):
            make(random_checkpoint, segment_latency_ms=500)


def test_another_rate_and_two_channels_keep_their_length(wavecrn_path, noise):
    stereo = np.stack([noise, noise[::-1]], axis=1)[: RATE + 11]
    enhancer = Enhancer(wavecrn_path, sample_rate=48000, channels=2)
    assert enhancer.latency_ms == pytest.approx(1000, abs=11)
    assert streamed(enhancer, stereo, size=5000).shape == stereo.shape


@pytest.mark.parametrize("length", [1, 700, 40000])
def test_a_short_signal_is_enhanced_as_the_network_does_by_itself(wavecrn, wavecrn_path, noise, length):
    samples = np.tile(noise, 2)[:length]
    np.testing.assert_allclose(Enhancer(wavecrn_path, strength=1).enhance(samples), alone(wavecrn, samples), atol=1e-6)


def test_a_long_signal_is_enhanced_in_bounded_segments(wavecrn, wavecrn_path, noise, monkeypatch):
    samples, seen, forward = np.tile(noise, 7), [], WaveCRN.forward

    def spying(self, signal):
        seen.append(signal.shape[1])
        return forward(self, signal)

    monkeypatch.setattr(WaveCRN, "forward", spying)
    enhanced = Enhancer(wavecrn_path, strength=1).enhance(samples)
    assert enhanced.shape == samples.shape
    assert max(seen) <= 92160
    assert len(seen) <= 4
    assert np.abs(enhanced - alone(wavecrn, samples)).max() < 0.05 * np.abs(enhanced).max()


def test_a_file_is_a_whole_signal(wavecrn_path, noise, tmp_path):
    soundfile.write(tmp_path / "noise.wav", noise, RATE, subtype="FLOAT")
    from_file = enhance_file(tmp_path / "noise.wav", config=EnhancerConfig(model=wavecrn_path))
    np.testing.assert_array_equal(from_file, Enhancer(wavecrn_path).enhance(noise))


def test_an_enhancer_for_a_whole_signal_can_be_copied_and_pickled_on_its_way(wavecrn_path, noise):
    enhancer = Enhancer(wavecrn_path, strength=0.5)
    enhancer.bypass = True
    whole = enhancer.for_whole_signal()
    assert (whole.strength, whole.bypass, whole.latency_ms) == (0.5, True, 4770)
    whole.bypass = False
    head = whole.process_chunk(noise[:5000])
    twins = [copy.deepcopy(whole), pickle.loads(pickle.dumps(whole))]
    tails = [np.concatenate([each.process_chunk(noise[5000:]), each.flush()]) for each in (whole, *twins)]
    enhancer.bypass = False
    for tail in tails:
        np.testing.assert_array_equal(np.concatenate([head, tail]), enhancer.enhance(noise))


def test_a_running_stream_is_not_touched_by_a_whole_signal(wavecrn_path, noise):
    whole = streamed(Enhancer(wavecrn_path), noise, size=len(noise))
    enhancer = Enhancer(wavecrn_path)
    head = enhancer.process_chunk(noise[:9000])
    enhancer.enhance(noise[:500])
    np.testing.assert_array_equal(np.concatenate([head, enhancer.process_chunk(noise[9000:]), enhancer.flush()]), whole)


def released(frcrn, prefix):
    """The state dict as in the releases: with a prefix, and each layer of a U-Net under two names."""
    names = {"encoders": "encoder", "decoders": "decoder", "se_layers_enc": "se_layer_enc"}
    state = {}
    for name, tensor in frcrn.state_dict().items():
        state[prefix + name] = tensor
        unet, _, rest = name.partition(".")
        kind, _, rest = rest.partition(".")
        if rest and rest[0].isdigit() and rest[1] == ".":
            state[f"{prefix}{unet}.{names.get(kind, kind.replace('layers', 'layer'))}{rest}"] = tensor
    return state


def test_released_names_are_the_reference_ones(frcrn, shared):
    expected = json.loads((shared / "reference/frcrn.keys.json").read_text())
    assert {name: list(tensor.shape) for name, tensor in released(frcrn, "model.").items()} == expected


@pytest.mark.parametrize("prefix", ["", "model.", "module.model."])
def test_frcrn_is_known_by_the_names_of_its_releases(frcrn, prefix):
    """ModelScope's, ClearerVoice's, and those of a network trained on several devices."""
    spec, parameters = recognise({name: tensor.numpy() for name, tensor in released(frcrn, prefix).items()})
    assert spec.name == "frcrn"
    state = frcrn.state_dict()
    assert all(np.array_equal(array, state[name].numpy()) for name, array in parameters.items())


def test_frcrn_loads_from_a_file_of_torch_as_it_is_released(frcrn, tmp_path):
    torch.save({"model": released(frcrn, "model."), "step": 3}, tmp_path / "last_best_checkpoint.pt")
    model = load_model(tmp_path / "last_best_checkpoint.pt")
    assert model.spec.name == "frcrn"
    name = "unet2.decoders.3.transconv.tconv_im.weight"
    np.testing.assert_array_equal(model.parameters[name], frcrn.state_dict()[name].numpy())


def test_frcrn_enhances_a_short_signal_as_the_network_does_by_itself(frcrn, frcrn_path, noise):
    enhancer = Enhancer(frcrn_path, strength=1)
    assert enhancer.latency_ms == 1000
    np.testing.assert_allclose(enhancer.enhance(noise[:3000]), alone(frcrn, noise[:3000]), atol=1e-6)


def test_frcrn_in_onnx_runtime_is_frcrn_in_torch_and_needs_no_torch(frcrn, frcrn_path, noise, tmp_path):
    graph = tmp_path / "frcrn.onnx"
    export_model(frcrn_path, graph, "onnx")
    enhancer = Enhancer(graph, strength=1)
    assert (enhancer.engine, enhancer.spec.name, enhancer.latency_ms) == ("onnx", "frcrn", 1000)
    expected = alone(frcrn, noise[:3000])
    np.testing.assert_allclose(enhancer.enhance(noise[:3000]), expected, atol=1e-5)
    np.save(tmp_path / "noise.npy", noise[:3000])
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np; from gtcrn_frontend import Enhancer\n"
        "np.save('out.npy', Enhancer('frcrn.onnx', strength=1).enhance(np.load('noise.npy')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, cwd=tmp_path)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, atol=1e-5)


def test_wavecrn_has_no_graph_and_says_so(wavecrn_path, tmp_path):
    with pytest.raises(ModelError, match="wavecrn"):
        export_model(wavecrn_path, tmp_path / "wavecrn.onnx", "onnx")


def test_causal_frcrn_streams_with_the_look_ahead_that_it_declares(frcrn, frcrn_path, noise, tmp_path):
    """The same weights under the other name; a stream is the whole signal, 14 frames and a window late."""
    path, samples = tmp_path / "causal.safetensors", noise[:7000]
    assert main(["models", "convert", str(frcrn_path), str(path), "--network", "frcrn_causal"]) == 0
    enhancer, tail = Enhancer(path, strength=1), np.zeros(FRCRN_CAUSAL_SPEC.look_ahead, np.float32)
    assert enhancer.spec is FRCRN_CAUSAL_SPEC
    assert enhancer.latency_ms == 320
    net = CausalFRCRN().eval().requires_grad_(False)
    net.load_state_dict(frcrn.state_dict())
    expected = alone(net, np.concatenate([samples, tail]))[: len(samples)]
    np.testing.assert_allclose(streamed(enhancer, samples, size=2600), expected, atol=1e-5)

    changed, moment = samples.copy(), 6500
    changed[moment:] *= -1
    moved = np.abs(alone(net, np.concatenate([changed, tail]))[: len(samples)] - expected) > 1e-7
    first = moment - enhancer.latency_samples
    assert first > 1000
    assert not moved[:first].any()
    assert moved[moment:].any()
