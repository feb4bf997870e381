import copy
import pickle

import numpy as np
import pytest
import soundfile

from gtcrn_frontend import AudioFormatError, Enhancer, StateError, StreamState
from gtcrn_frontend.audio.pcm import recoded
from gtcrn_frontend.streaming.stream import Stream


@pytest.fixture(scope="module")
def speech(audio_folder):
    return soundfile.read(audio_folder / "speech_a.flac", dtype="int16")[0][:16000]


def cut(data, sizes):
    pieces, start = [], 0
    for size in [*sizes, len(data)]:
        pieces.append(data[start : start + size])
        start += size
    return pieces


@pytest.mark.parametrize("sizes", [[], [1], [1, 1, 1], [3201, 0, 7], [999] * 20])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_cutting_gives_the_samples_of_the_whole(speech, channels, sizes):
    samples = speech if channels == 1 else np.stack([speech, speech[::-1]], axis=1)
    enhancer = Enhancer(channels=channels)
    pieces = [enhancer.process_bytes(piece) for piece in cut(samples.tobytes(), sizes)]
    pieces.append(enhancer.flush().tobytes())
    out = np.frombuffer(b"".join(pieces), "<i2").reshape(samples.shape)
    assert np.abs(out.astype(int) - Enhancer(channels=channels).enhance(samples)).max() <= 1


def test_views_and_arrays_of_bytes_are_bytes(speech):
    data = speech[:4000].tobytes()
    expected = Enhancer().process_bytes(data)
    assert Enhancer().process_bytes(bytearray(data)) == expected
    assert Enhancer().process_bytes(memoryview(data)) == expected


@pytest.mark.parametrize("wrong", ["text", None, [0, 1], np.zeros(4, np.int16)])
def test_what_is_no_bytes_is_refused_and_costs_nothing(speech, wrong):
    data = speech[:4000].tobytes()
    enhancer = Enhancer()
    first = enhancer.process_bytes(data[:3001])
    with pytest.raises(AudioFormatError, match="process_chunk"):
        enhancer.process_bytes(wrong)
    assert first + enhancer.process_bytes(data[3001:]) == Enhancer().process_bytes(data)


def moved_by_state(enhancer):
    other = Enhancer()
    other.set_state(StreamState.from_bytes(enhancer.get_state().to_bytes()))
    return other


@pytest.mark.parametrize("moved", [moved_by_state, copy.copy, lambda e: pickle.loads(pickle.dumps(e))])
def test_the_odd_byte_is_part_of_the_state(speech, moved):
    data = speech[:8000].tobytes()
    enhancer = Enhancer()
    head = enhancer.process_bytes(data[:5001])
    rest = moved(enhancer).process_bytes(data[5001:])
    assert rest == enhancer.process_bytes(data[5001:])
    assert head + rest == Enhancer().process_bytes(data)


@pytest.mark.parametrize("end", [Enhancer.reset, Enhancer.flush])
def test_the_odd_byte_ends_with_the_stream(speech, end):
    data = speech[:4000].tobytes()
    enhancer = Enhancer()
    enhancer.process_bytes(data[:1001])
    end(enhancer)
    assert enhancer.process_bytes(data) == Enhancer().process_bytes(data)


def test_the_byte_after_a_failed_engine_is_still_the_second_half(speech, monkeypatch):
    data = speech[:8000].tobytes()
    enhancer = Enhancer()

    def fail(*arguments):
        raise MemoryError

    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(Stream, "_process", fail)
        enhancer.process_bytes(data[:5001])
    assert enhancer.process_bytes(data[5001:]) == Enhancer().process_bytes(data[5000:])


def test_more_waiting_bytes_than_a_frame_has_are_no_state():
    stereo = Enhancer(channels=2, downmix=True)
    stereo.process_bytes(b"\0\0\0")
    with pytest.raises(StateError, match="pending"):
        Enhancer().set_state(stereo.get_state())


@pytest.mark.parametrize("law", ["mulaw", "alaw"])
@pytest.mark.parametrize("sizes", [[], [1, 160, 3, 0, 7], [160] * 40])
@pytest.mark.parametrize("channels", [1, 2])
def test_g711_is_enhanced_as_its_16_bit_samples_are(speech, law, sizes, channels):
    codes = recoded(speech.tobytes(), "s16le", law)
    settings = {"sample_rate": 8000, "channels": channels}
    enhancer, reference = Enhancer(**settings), Enhancer(**settings)
    enhanced = b"".join(enhancer.process_bytes(piece, law) for piece in cut(codes, sizes)) + enhancer.flush_bytes(law)
    pcm = [reference.process_bytes(piece) for piece in cut(recoded(codes, law, "s16le"), [2 * size for size in sizes])]
    assert len(enhanced) == len(codes)
    assert enhanced == recoded(b"".join(pcm) + reference.flush_bytes(), "s16le", law)


@pytest.mark.parametrize("law", ["mulaw", "alaw"])
def test_g711_at_strength_0_is_unchanged(speech, law):
    codes = recoded(speech.tobytes(), "s16le", law)
    enhancer = Enhancer(sample_rate=8000, strength=0)
    assert enhancer.process_bytes(codes, law) + enhancer.flush_bytes(law) == codes


@pytest.mark.parametrize("encoding", ["ulaw", "f32le", "", None])
def test_unknown_encodings_are_refused_and_cost_nothing(encoding):
    enhancer = Enhancer()
    for call in (lambda: enhancer.process_bytes(bytes(640), encoding), lambda: enhancer.flush_bytes(encoding)):
        with pytest.raises(AudioFormatError, match="s16le, mulaw, alaw"):
            call()
    assert enhancer.samples_in == 0
