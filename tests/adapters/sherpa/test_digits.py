"""Spoken digits in noise, through sherpa-onnx and the project's own recogniser trained on clean digits."""

import itertools

import jiwer
import numpy as np
import pytest
import soundfile
import soxr

from gtcrn_frontend import Enhancer
from gtcrn_frontend.adapters.sherpa import with_frontend

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPEAKERS = ("lucas", "theo")  # held out from the training of the recogniser
NOISES = ("crowd", "office", "cafe", "traffic", "rain")
RATE = 16000
RATES = [16000, 48000]
TAIL = np.zeros(RATE // 2, np.float32)


@pytest.fixture(scope="module")
def speak(shared):
    """A function: generator of random numbers, count of words -> samples at 16 kHz, text."""

    def make(rng, count):
        speaker = rng.choice(SPEAKERS)
        parts, words = [np.zeros(RATE // 4)], []
        for _ in range(count):
            digit = rng.integers(10)
            samples, rate = soundfile.read(shared / f"audio/digits/{digit}_{speaker}_{rng.integers(50)}.flac")
            samples = soxr.resample(samples, rate, RATE)
            parts += [0.3 * samples / np.abs(samples).max(), np.zeros(int(rng.uniform(0.1, 0.3) * RATE))]
            words.append(WORDS[digit])
        return np.concatenate([*parts, np.zeros(RATE // 4)]).astype(np.float32), " ".join(words)

    return make


@pytest.fixture(scope="module")
def in_noise(shared):
    """A function: samples at 16 kHz, signal-to-noise ratio in dB, generator -> with a random recording of noise."""
    paths = sorted(path for path in (shared / "audio/noise").rglob("*.*") if any(n in path.stem for n in NOISES))

    def add(samples, snr_db, rng):
        noise, rate = soundfile.read(rng.choice(paths), frames=10 * 48000)
        noise = np.resize(soxr.resample(noise, rate, RATE), len(samples))
        gain = np.sqrt(np.mean(samples**2) / np.mean(noise**2) / 10 ** (snr_db / 10))
        return (samples + gain * noise).astype(np.float32)

    return add


def chunks(samples, rate, seed):
    """Pieces of 1 sample to 0.2 s."""
    cuts = np.cumsum(np.random.default_rng(seed).integers(1, rate // 5, 40 * len(samples) // rate))
    return np.split(samples, cuts[cuts < len(samples)])


def at_rate(samples, rate):
    return samples if rate == RATE else soxr.resample(samples, RATE, rate)


def stream_text(recognizer, rate, samples, seed):
    """The text of an online recogniser, chunk by chunk, and how it grew."""
    stream, texts = recognizer.create_stream(), []
    for chunk in [*chunks(np.concatenate([samples, at_rate(TAIL, rate)]), rate, seed), None]:
        if chunk is None:
            stream.input_finished()
        else:
            stream.accept_waveform(rate, chunk)
        while recognizer.is_ready(stream):
            recognizer.decode_stream(stream)
        texts.append(recognizer.get_result(stream))
    return texts


def offline_texts(recognizer, rate, signals):
    streams = [recognizer.create_stream() for _ in signals]
    for stream, samples in zip(streams, signals, strict=True):
        stream.accept_waveform(rate, samples)
    recognizer.decode_streams(streams)
    return [stream.result.text.strip() for stream in streams]


@pytest.mark.parametrize("rate", RATES)
def test_the_same_text_at_strength_0_as_without(online_digits, offline_digits, speak, in_noise, rate):
    rng = np.random.default_rng(rate)
    signals = [at_rate(in_noise(speak(rng, 4)[0], snr_db, rng), rate) for snr_db in (20, 15, 10, 5)]
    online, offline = (with_frontend(host, Enhancer(strength=0)) for host in (online_digits, offline_digits))
    assert offline_texts(offline, rate, signals) == offline_texts(offline_digits, rate, signals)
    said = [stream_text(online, rate, samples, seed)[-1] for seed, samples in enumerate(signals)]
    assert said == [stream_text(online_digits, rate, samples, seed + 9)[-1] for seed, samples in enumerate(signals)]
    assert any(said)


@pytest.mark.parametrize("rate", RATES)
def test_partial_results_appear_while_streaming(online_digits, speak, in_noise, rate):
    rng = np.random.default_rng(1)
    samples, text = speak(rng, 6)
    samples = at_rate(in_noise(samples, 15, rng), rate)
    texts = stream_text(with_frontend(online_digits, Enhancer()), rate, samples, seed=2)
    assert jiwer.wer(text, texts[-1]) <= 1 / 6
    grown = [new for old, new in itertools.pairwise(["", *texts]) if new != old]
    assert len(grown) >= 5
    assert all(len(old.split()) < len(new.split()) for old, new in itertools.pairwise(grown))


@pytest.mark.parametrize("kind", ["online", "offline"])
def test_fewer_word_errors_at_strength_1(online_digits, offline_digits, speak, in_noise, kind):
    rng = np.random.default_rng(4)
    recognizer = with_frontend(online_digits if kind == "online" else offline_digits, Enhancer(strength=1))
    errors = {}
    for snr_db in (10, 5, 0):
        spoken = [speak(rng, 5) for _ in range(6)]
        signals, expected = [in_noise(samples, snr_db, rng) for samples, _ in spoken], [text for _, text in spoken]
        for bypass in (True, False):
            streams = [recognizer.create_stream() for _ in signals]
            for stream, samples in zip(streams, signals, strict=True):
                stream.bypass = bypass
                stream.accept_waveform(RATE, np.concatenate([samples, TAIL]))
            if kind == "offline":
                recognizer.decode_streams(streams)
                texts = [stream.result.text.strip() for stream in streams]
            else:
                for stream in streams:
                    stream.input_finished()
                while ready := [stream for stream in streams if recognizer.is_ready(stream)]:
                    recognizer.decode_streams(ready)
                texts = [recognizer.get_result(stream) for stream in streams]
            errors[snr_db, bypass] = jiwer.wer(expected, texts)
    for snr_db in (10, 5, 0):
        assert errors[snr_db, False] < errors[snr_db, True], errors


@pytest.mark.parametrize("rate", RATES)
def test_endpoints_over_several_utterances(endpoint_digits, speak, in_noise, rate):
    """Each utterance is one result, and its words lie, in time, where they were spoken into the microphone."""
    rng = np.random.default_rng(8)
    spoken = [speak(rng, count) for count in (3, 4, 2)]
    pause = np.zeros(2 * RATE, np.float32)
    signal = np.concatenate([part for samples, _ in spoken for part in (samples, pause)])
    ends = np.cumsum([len(samples) + len(pause) for samples, _ in spoken]) / RATE
    recognizer = with_frontend(endpoint_digits, Enhancer())
    stream, found = recognizer.create_stream(), []
    for chunk in chunks(at_rate(in_noise(signal, 20, rng), rate), rate, seed=0):
        stream.accept_waveform(rate, chunk)
        while recognizer.is_ready(stream):
            recognizer.decode_stream(stream)
        if recognizer.is_endpoint(stream):
            if text := recognizer.get_result(stream):
                begin = recognizer.start_time(stream)
                found.append((text, [begin + time for time in recognizer.timestamps(stream)]))
            recognizer.reset(stream)
    assert len(found) == len(spoken)
    assert jiwer.wer([text for _, text in spoken], [text for text, _ in found]) <= 2 / 9
    for (_, times), (samples, _), end in zip(found, spoken, ends, strict=True):
        begin = end - (len(samples) + len(pause)) / RATE
        assert begin < min(times) <= max(times) < begin + len(samples) / RATE


def test_interleaved_streams_do_not_disturb_each_other(online_digits, speak, in_noise):
    rng = np.random.default_rng(6)
    signals = [np.concatenate([in_noise(speak(rng, 4)[0], 10, rng), TAIL]) for _ in range(4)]
    recognizer = with_frontend(online_digits, Enhancer())
    alone = [stream_text(recognizer, RATE, samples, seed=0)[-1] for samples in signals]
    streams = [recognizer.create_stream() for _ in signals]
    for pieces in zip(*(np.array_split(samples, 30) for samples in signals), strict=True):
        for stream, piece in zip(streams, pieces, strict=True):
            stream.accept_waveform(RATE, piece)
        while ready := [stream for stream in streams if recognizer.is_ready(stream)]:
            recognizer.decode_streams(ready)
    for stream in streams:
        stream.input_finished()
        while recognizer.is_ready(stream):
            recognizer.decode_stream(stream)
    assert [recognizer.get_result(stream) for stream in streams] == alone
    assert len(set(alone)) == 4
