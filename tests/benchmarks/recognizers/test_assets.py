"""The committed recognisers in the real sherpa-onnx, on speakers that they have not heard."""

from pathlib import Path

import numpy as np
import pytest
import sherpa_onnx
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend.adapters.sherpa.transcriber import SherpaRecognizer
from gtcrn_frontend.evaluation.asr.wer import count_errors

RATE = 16000
NAMES = ("digits-clean", "digits-robust", "commands-clean", "commands-robust", "characters-clean")
GAP = np.zeros(2 * RATE, np.float32)


def offline(folder: Path, bands: int) -> sherpa_onnx.OfflineRecognizer:
    return sherpa_onnx.OfflineRecognizer.from_zipformer_ctc(
        tokens=str(folder / "tokens.txt"), model=str(folder / "offline.onnx"), feature_dim=bands
    )


def online(folder: Path, bands: int = 40, **settings: object) -> sherpa_onnx.OnlineRecognizer:
    return sherpa_onnx.OnlineRecognizer.from_zipformer2_ctc(
        tokens=str(folder / "tokens.txt"), model=str(folder / "online.onnx"), feature_dim=bands, **settings
    )


@pytest.fixture(scope="module")
def strings(shared: Path) -> list[tuple[np.ndarray, str]]:
    """Strings of digits by speakers held out from training."""
    from tasks import load_task

    task = load_task("digits", shared / "audio")
    return [(item.samples, task.text(item.symbols)) for item in task.held_out(24)]


@pytest.fixture(scope="module")
def digits(assets: Path) -> sherpa_onnx.OnlineRecognizer:
    return online(assets / "digits-clean")


def decoded(recognizer: sherpa_onnx.OnlineRecognizer, stream: object) -> str:
    while recognizer.is_ready(stream):
        recognizer.decode_stream(stream)
    return str(recognizer.get_result(stream))


@pytest.mark.parametrize("name", NAMES)
def test_held_out_speech_is_recognised_by_the_offline_file(assets: Path, shared: Path, name: str) -> None:
    from noisy_set import clean, task

    of = task(name.split("-")[0], shared / "audio")
    spoken = clean(of.name, shared / "audio")[:20] + clean(of.name, shared / "audio")[-10:]
    recognizer = SherpaRecognizer(offline(assets / name, of.network.n_mels))
    heard = recognizer.transcribe_many([item.samples for item in spoken], RATE)
    if of.unit == "phrase":
        rate = np.mean([item.text != t.text for item, t in zip(spoken, heard, strict=True)])
    else:
        counts = [count_errors(item.text, t.text, of.unit) for item, t in zip(spoken, heard, strict=True)]
        rate = sum(c.errors for c in counts) / sum(c.reference for c in counts)
    assert rate < {"word": 0.08, "phrase": 0.15, "character": 0.6}[of.unit]


@settings(deadline=None, max_examples=8)
@given(number=st.integers(0, 23), largest=st.sampled_from([160, 1024, 4000, 16000]), seed=st.integers(0, 2**32 - 1))
def test_a_string_in_chunks_of_any_size_is_heard_as_in_one_piece(
    digits: sherpa_onnx.OnlineRecognizer,
    strings: list[tuple[np.ndarray, str]],
    number: int,
    largest: int,
    seed: int,
) -> None:
    samples, rng = strings[number][0], np.random.default_rng(seed)
    tail = np.zeros(RATE // 2, np.float32)
    whole = digits.create_stream()
    whole.accept_waveform(RATE, np.concatenate([samples, tail]))
    expected = decoded(digits, whole)

    stream, start, partial = digits.create_stream(), 0, []
    while start < len(samples):
        size = int(rng.integers(1, largest + 1))
        stream.accept_waveform(RATE, samples[start : start + size])
        start += size
        partial.append(decoded(digits, stream))
    stream.accept_waveform(RATE, tail)
    assert decoded(digits, stream) == expected
    assert all(expected.startswith(text) for text in partial)  # CTC, greedily: what was heard stays


def test_streaming_hears_held_out_strings_as_they_are_said(
    digits: sherpa_onnx.OnlineRecognizer, strings: list[tuple[np.ndarray, str]]
) -> None:
    heard = SherpaRecognizer(digits).transcribe_many([samples for samples, _ in strings], RATE)
    counts = [count_errors(said, t.text, "word") for t, (_, said) in zip(heard, strings, strict=True)]
    assert sum(c.errors for c in counts) < 0.1 * sum(c.reference for c in counts)


def test_partial_results_come_before_the_end(
    digits: sherpa_onnx.OnlineRecognizer, strings: list[tuple[np.ndarray, str]]
) -> None:
    samples, said = max(strings, key=lambda item: len(item[0]))
    stream = digits.create_stream()
    stream.accept_waveform(RATE, samples[: len(samples) * 2 // 3])
    partial = decoded(digits, stream)
    assert 0 < len(partial.split()) < len(said.split())


def test_endpoints_part_utterances(assets: Path, strings: list[tuple[np.ndarray, str]]) -> None:
    # A digit is written when it begins: pauses inside a string are up to 0.5 s, and the digit before lasts as long.
    recognizer = online(assets / "digits-clean", enable_endpoint_detection=True, rule2_min_trailing_silence=1.4)
    stream, heard = recognizer.create_stream(), []
    audio = np.concatenate([part for samples, _ in strings[:4] for part in (samples, GAP)])
    for chunk in np.array_split(audio, 150):
        stream.accept_waveform(RATE, chunk)
        text = decoded(recognizer, stream)
        if recognizer.is_endpoint(stream):
            if text:
                heard.append(text)
            recognizer.reset(stream)
    assert len(heard) == 4
    counts = [count_errors(said, text, "word") for text, (_, said) in zip(heard, strings, strict=False)]
    assert sum(c.errors for c in counts) < 0.15 * sum(c.reference for c in counts)


def test_recognisers_are_small(assets: Path) -> None:
    sizes = {path: path.stat().st_size for path in assets.rglob("*") if path.is_file()}
    assert max(sizes.values()) < 2e6
    assert sum(sizes.values()) < 6e6
