"""What messages mean: any cut of the bytes gives the same samples, and what may not come is told."""

import itertools
import struct

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from websockets.frames import CloseCode

from gtcrn_frontend.adapters.servers.close_codes import MAX_REASON_BYTES, SessionEnd
from gtcrn_frontend.adapters.servers.protocols.base import Audio, BadMessageError, Begin, End, Pass
from gtcrn_frontend.adapters.servers.protocols.sherpa_onnx import OfflineFraming, OnlineFraming


def audio_of(events):
    return np.concatenate([event.samples for event in events if isinstance(event, Audio)] or [np.empty(0)])


def others(events):
    return [event for event in events if not isinstance(event, Audio)]


def header(sample_rate, count):
    return struct.pack("<ii", sample_rate, count)


@st.composite
def utterances(draw):
    """Utterances of the offline protocol with their rates, each cut into messages anywhere behind its header."""
    drawn = []
    for length in draw(st.lists(st.integers(1, 40), min_size=1, max_size=4)):
        rate = draw(st.sampled_from([8000, 16000, 44100, 192000]))
        samples = np.arange(length, dtype="<f4") / 64
        data = header(rate, 4 * length) + samples.tobytes()
        cuts = sorted({8, *draw(st.lists(st.integers(8, len(data) - 1), max_size=6))} if draw(st.booleans()) else ())
        edges = [0, *cuts, len(data)]
        drawn.append((rate, samples, [data[a:b] for a, b in itertools.pairwise(edges)]))
    return drawn


@given(utterances())
def test_offline_utterances_are_the_same_however_their_bytes_are_cut(drawn):
    framing = OfflineFraming()
    for number, (rate, samples, messages) in enumerate(drawn, start=1):
        events = [event for message in messages for event in framing.receive(message)]
        assert others(events) == [Begin(rate, header(rate, 4 * len(samples))), End(None)]
        assert np.array_equal(audio_of(events), samples)
        assert isinstance(events[-1], End)
        assert framing.in_flight
        if number % 2:  # answers may come before the next utterance, or later
            framing.answer("text")
    for _ in drawn:
        framing.answer("text")
    assert not framing.in_flight
    assert framing.receive("Done") == [Pass("Done")]


@given(st.lists(st.lists(st.integers(0, 30), max_size=5), min_size=1, max_size=3))
def test_online_utterances_follow_each_other(lengths_of_utterances):
    framing = OnlineFraming()
    for lengths in lengths_of_utterances:
        assert not framing.in_flight
        samples = [np.arange(n, dtype="<f4") / 64 for n in lengths]
        events = [event for piece in samples for event in framing.receive(piece.tobytes())] + framing.receive("Done")
        assert others(events) == [Begin(None, b""), End("Done")]
        assert np.array_equal(audio_of(events), np.concatenate([np.empty(0), *samples]))
        framing.answer('{"text": ""}')
        assert framing.in_flight
        framing.answer("Done!")
    assert not framing.in_flight


BAD = {
    "text in online audio": (OnlineFraming, ["hello"], CloseCode.UNSUPPORTED_DATA, "got 'hello'"),
    "long text": (OnlineFraming, ["x" * 10_000], CloseCode.UNSUPPORTED_DATA, "x..."),
    "half a sample": (OnlineFraming, [b"\0" * 4, b"\0" * 6], CloseCode.INVALID_DATA, "got 6 bytes"),
    "audio after Done": (OnlineFraming, [b"\0" * 4, "Done", b"\0" * 4], CloseCode.UNSUPPORTED_DATA, "between"),
    "Done twice": (OnlineFraming, ["Done", "Done"], CloseCode.UNSUPPORTED_DATA, "between"),
    "text in offline audio": (OfflineFraming, ["hello"], CloseCode.UNSUPPORTED_DATA, "got 'hello'"),
    "no header": (OfflineFraming, [b"\0" * 7], CloseCode.INVALID_DATA, "got 7 bytes"),
    "empty message first": (OfflineFraming, [b""], CloseCode.INVALID_DATA, "got 0 bytes"),
    "audio for a header": (OfflineFraming, [struct.pack("<ff", 0.5, 0.5)], CloseCode.INVALID_DATA, "sample rate"),
    "low rate": (OfflineFraming, [header(7999, 8)], CloseCode.INVALID_DATA, "got 7999"),
    "no samples": (OfflineFraming, [header(16000, 0)], CloseCode.INVALID_DATA, "got 0"),
    "negative count": (OfflineFraming, [header(16000, -4)], CloseCode.INVALID_DATA, "got -4"),
    "half a sample in all": (OfflineFraming, [header(16000, 6)], CloseCode.INVALID_DATA, "got 6"),
    "too many bytes": (OfflineFraming, [header(16000, 8) + b"\0" * 12], CloseCode.INVALID_DATA, "got 12"),
    "two utterances in one": (OfflineFraming, [header(16000, 8), b"\0" * 24], CloseCode.INVALID_DATA, "of its own"),
    "Done in mid-utterance": (OfflineFraming, [header(16000, 8), "Done"], CloseCode.UNSUPPORTED_DATA, "8 more bytes"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_messages_are_told(name):
    kind, messages, code, part = BAD[name]
    framing = kind()
    for message in messages[:-1]:
        framing.receive(message)
    with pytest.raises(BadMessageError) as error:
        framing.receive(messages[-1])
    assert error.value.code == code
    assert part in str(error.value)
    assert part in SessionEnd(code, str(error.value)).reason, "the part that matters is cut off"


@given(st.text(max_size=200))
def test_a_reason_fits_into_a_close_frame(text):
    reason = SessionEnd(1000, text).reason
    assert len(reason.encode()) <= MAX_REASON_BYTES
    assert text.startswith(reason)
    assert reason == text or len(reason.encode()) > MAX_REASON_BYTES - 4
