"""The measured latency is the true one, of streams whose latency is known."""

import numpy as np
import pytest

from gtcrn_frontend import Enhancer
from gtcrn_frontend.evaluation.bench.latency import SECONDS, measured_latency_ms, synthetic_speech

RATE = 16_000


class Line:
    """Delays its input, and keeps some samples of the output back."""

    def __init__(self, delay, kept=0, noise=0.0):
        self.pending = np.zeros(delay, np.float32)
        self.kept, self.noise = kept, noise
        self.rng = np.random.default_rng(0)

    def process(self, chunk):
        noisy = chunk + self.noise * self.rng.standard_normal(len(chunk)).astype(np.float32)
        self.pending = np.concatenate([self.pending, noisy])
        count = min(len(chunk), max(0, len(self.pending) - self.kept))
        output, self.pending = self.pending[:count], self.pending[count:]
        return output


@pytest.mark.parametrize("rate", [RATE, 48_000])
@pytest.mark.parametrize(("delay", "hop"), [(0, 160), (384, 128), (960, 480)])
def test_a_sample_waits_for_its_hop_and_then_for_the_delay(rate, delay, hop):
    assert measured_latency_ms(Line(delay).process, rate, hop) == pytest.approx(1000 * (hop + delay) / rate)


def test_output_that_arrives_later_waits_as_long_as_output_with_zeros_before():
    delayed, kept = Line(256), Line(0, kept=256)
    assert measured_latency_ms(kept.process, RATE, 256) == measured_latency_ms(delayed.process, RATE, 256) == 32


def test_a_list_of_samples_is_taken_as_well():
    line = Line(100)
    assert measured_latency_ms(lambda chunk: line.process(chunk).tolist(), RATE, 160) == 1000 * 260 / RATE


def test_noise_in_the_output_does_not_change_it():
    assert measured_latency_ms(Line(384, noise=0.03).process, RATE, 128) == 32


@pytest.mark.parametrize("engine", ["native", "onnx"])
def test_that_of_an_enhancer_is_the_one_that_it_states(engine):
    enhancer = Enhancer(engine=engine)
    assert measured_latency_ms(enhancer.process_chunk, RATE, 256) == enhancer.latency_ms == 32


def test_output_that_is_unlike_the_input_has_none():
    rng = np.random.default_rng(0)
    assert measured_latency_ms(lambda chunk: rng.standard_normal(len(chunk)).astype(np.float32), RATE, 256) is None
    assert measured_latency_ms(np.zeros_like, RATE, 256) is None
    assert measured_latency_ms(lambda chunk: chunk[:0], RATE, 256) is None


@pytest.mark.parametrize("rate", [RATE, 48_000])
def test_the_speech_resembles_itself_at_one_lag_only(rate):
    speech = synthetic_speech(rate, SECONDS)
    assert speech.shape == (SECONDS * rate,) and speech.dtype == np.float32
    assert np.abs(speech).max() == pytest.approx(0.4)
    correlation = np.fft.irfft(np.abs(np.fft.rfft(speech, 2 * len(speech))) ** 2)[: len(speech)]
    assert np.abs(correlation[rate // 200 :]).max() < 0.7 * correlation[0], "a period of the pitch apart, and more"
