"""sherpa-onnx's `VoiceActivityDetector`, wrapped: the real one.

It runs tiny models with the contracts of silero-vad 4 and 5 and of ten-vad, which call loud windows speech
(conftest.py): no package carries the published models.
"""

import tracemalloc

import numpy as np
import pytest
import sherpa_onnx
import soundfile
import soxr

from gtcrn_frontend import AudioFormatError, ConfigError, Enhancer, EnhancerConfig
from gtcrn_frontend.adapters.sherpa import with_frontend

# route -> what the detector hears and what its segments hold, as attributes of Enhancer.process_aligned
ROUTES = {
    "enhanced_to_both": ("mixed", "mixed"),
    "enhanced_to_vad_raw_to_asr": ("mixed", "dry"),
    "enhanced_to_vad_mixed_to_asr": ("enhanced", "mixed"),
    "raw_to_vad_enhanced_to_asr": ("dry", "mixed"),
    "raw_to_both": ("dry", "dry"),
}


@pytest.fixture(scope="session")
def noisy(audio_folder):
    """Three utterances with pauses, in noise that a detector by loudness takes for speech: 16 kHz, 7.5 s."""
    first, _ = soundfile.read(audio_folder / "speech_a.flac", dtype="float32", frames=24000)
    second, _ = soundfile.read(audio_folder / "speech_b.flac", dtype="float32", frames=24000)
    pause = np.zeros(16000, np.float32)
    samples = 2 * np.concatenate([pause, first, pause, second[:16000], pause, second[16000:], pause])
    samples += np.random.default_rng(1).normal(0, 0.03, len(samples)).astype(np.float32)
    return samples.clip(-0.99, 0.99)


def bare(config):
    return sherpa_onnx.VoiceActivityDetector(config, buffer_size_in_seconds=30)


def window_size(config):
    return (config.silero_vad if config.silero_vad.model else config.ten_vad).window_size


def chunks(samples, seed=0):
    cuts = np.cumsum(np.random.default_rng(seed).integers(1, 3000, len(samples)))
    return np.split(samples, cuts[cuts < len(samples)])


def by_window(config, samples):
    return np.split(samples, range(window_size(config), len(samples), window_size(config)))


def segments(vad, pieces, *, flush=True):
    """Start and samples of all segments, as a program collects them."""
    found = []
    for piece in [*pieces, None]:
        if piece is not None:
            vad.accept_waveform(piece)
        elif flush:
            vad.flush()
        while not vad.empty():
            found.append((vad.front.start, vad.front.samples))
            vad.pop()
    return found


def aligned(samples, **settings):
    """The whole signal as input, enhanced and mixed."""
    enhancer = Enhancer(**settings)
    parts = [enhancer.process_aligned(samples), enhancer.flush_aligned()]
    return {name: np.concatenate([getattr(part, name) for part in parts]) for name in ("dry", "enhanced", "mixed")}


@pytest.mark.parametrize("route", ROUTES)
def test_segments_lie_where_the_detector_hears_them_and_hold_what_the_route_says(vad_config, noisy, route):
    signals = aligned(noisy, strength=0.8)
    heard, held = (signals[name] for name in ROUTES[route])
    expected = [(start, len(samples)) for start, samples in segments(bare(vad_config), by_window(vad_config, heard))]
    found = segments(with_frontend(bare(vad_config), EnhancerConfig(strength=0.8), route=route), chunks(noisy))
    assert [(start, len(samples)) for start, samples in found] == expected
    for start, samples in found:
        assert isinstance(samples, list)
        assert np.allclose(samples, held[start : start + len(samples)], atol=1e-5)


def test_the_routes_differ(vad_config, noisy):
    """In this noise the bare detector hears one long utterance; behind gtcrn-voice it finds the pauses."""
    assert len(segments(bare(vad_config), by_window(vad_config, noisy))) == 1
    for route, count in (("enhanced_to_vad_raw_to_asr", 3), ("raw_to_vad_enhanced_to_asr", 1), ("raw_to_both", 1)):
        assert (
            len(
                segments(
                    with_frontend(bare(vad_config), Enhancer("gtcrn-voice", strength=1), route=route), chunks(noisy)
                )
            )
            == count
        )
    raw = segments(
        with_frontend(bare(vad_config), Enhancer("gtcrn-voice", strength=1), route="enhanced_to_vad_raw_to_asr"),
        chunks(noisy),
    )
    for start, samples in raw:
        assert samples == noisy[start : start + len(samples)].tolist()  # to the bit


@pytest.mark.parametrize("route", ROUTES)
def test_with_on_error_pass_it_hears_the_input_where_the_engine_fails(vad_config, noisy, route, break_engine):
    pieces = chunks(noisy)
    first, later = pieces[: len(pieces) // 2], pieces[len(pieces) // 2 :]
    begun = Enhancer(strength=0.8).process_aligned(np.concatenate(first))
    signals = {name: np.concatenate([getattr(begun, name), noisy[len(begun.dry) :]]) for name in aligned(noisy)}
    heard, held = (signals[name] for name in ROUTES[route])
    expected = [(start, len(samples)) for start, samples in segments(bare(vad_config), by_window(vad_config, heard))]
    vad = with_frontend(bare(vad_config), EnhancerConfig(strength=0.8), route=route, on_error="pass")
    found = segments(vad, first, flush=False)
    break_engine()
    for piece in later:
        vad.accept_waveform(piece)
    assert vad.failed
    found += segments(vad, [])
    assert not vad.failed, "another stream may begin"
    assert [(start, len(samples)) for start, samples in found] == expected
    for start, samples in found:
        assert np.allclose(samples, held[start : start + len(samples)], atol=1e-5)


@pytest.mark.parametrize("off", ["strength", "bypass"])
@pytest.mark.parametrize("route", ROUTES)
def test_switched_off_it_finds_the_same_as_bare(vad_config, noisy, off, route):
    samples = np.where(np.abs(np.sin(np.arange(len(noisy)) / 9000)) > 0.5, noisy, 0).astype(np.float32)
    vad = with_frontend(bare(vad_config), Enhancer(), route=route)
    setattr(vad, off, 0 if off == "strength" else True)
    expected = segments(bare(vad_config), by_window(vad_config, samples))
    assert len(expected) > 3
    found = segments(vad, by_window(vad_config, samples))
    if (off, route) == ("strength", "enhanced_to_vad_mixed_to_asr"):  # the detector hears full strength there
        assert found != expected
    else:
        assert found == expected


def test_what_it_finds_does_not_depend_on_the_chunks(vad_config, noisy):
    vad = with_frontend(bare(vad_config), Enhancer("gtcrn-voice", strength=1))
    found = segments(vad, by_window(vad_config, noisy))
    assert len(found) > 1
    for pieces in (chunks(noisy, seed=4), [noisy], np.array_split(noisy, 2000)):
        vad.reset()
        again = segments(vad, pieces)
        assert [(start, len(samples)) for start, samples in again] == [
            (start, len(samples)) for start, samples in found
        ]
        for (_, got), (_, expected) in zip(again, found, strict=True):
            assert np.allclose(got, expected, atol=1e-5)


def test_the_segment_that_goes_on(vad_config, noisy):
    vad = with_frontend(bare(vad_config), Enhancer(), route="enhanced_to_vad_raw_to_asr")
    assert (vad.current_segment.start, vad.current_segment.samples) == (-1, [])
    seen = 0
    for piece in chunks(noisy):
        vad.accept_waveform(piece)
        if vad.is_speech_detected():
            now = vad.current_segment
            assert now.samples == noisy[now.start : now.start + len(now.samples)].tolist()
            assert len(now.samples) > 1000
            seen += 1
        else:
            assert vad.current_segment.start == -1
    assert seen > 20


def test_segments_wait_in_order(vad_config, noisy):
    vad = with_frontend(bare(vad_config), Enhancer("gtcrn-voice", strength=1))
    assert vad.empty()
    for call in (lambda: vad.front, vad.pop):
        with pytest.raises(IndexError, match=r"check empty\(\) first"):
            call()
    vad.accept_waveform(noisy)
    vad.flush()
    starts = []
    while not vad.empty():
        assert vad.front is vad.front
        starts.append(vad.front.start)
        vad.pop()
    assert len(starts) == 3
    assert starts == sorted(starts)


def test_after_a_reset_it_is_as_new(vad_config, noisy):
    vad = with_frontend(bare(vad_config), Enhancer(), route="enhanced_to_vad_raw_to_asr")
    expected = segments(vad, chunks(noisy))
    vad.reset()
    vad.accept_waveform(noisy[:50123])
    vad.reset()
    assert vad.empty()
    assert segments(vad, chunks(noisy)) == expected


def test_after_a_flush_it_goes_on(vad_config, noisy):
    """Numbers of samples go on, too, and samples stay in place, also where the flush was no multiple of a window."""
    vad = with_frontend(bare(vad_config), Enhancer("gtcrn-voice", strength=1), route="enhanced_to_vad_raw_to_asr")
    cut = 30077
    found = segments(vad, chunks(noisy[:cut])) + segments(vad, chunks(noisy[cut:]))
    assert len(found) >= 3
    assert found[-1][0] > cut
    for start, samples in found:
        assert samples == noisy[start : start + len(samples)].tolist()


def test_input_at_another_rate(vad_config, noisy):
    """Enhanced at 48 kHz, heard at 16 kHz: the rate of the detector, whose samples the segments count and hold."""
    fast = soxr.resample(noisy, 16000, 48000)
    vad = with_frontend(
        bare(vad_config), Enhancer("gtcrn-voice", sample_rate=48000, strength=1), route="enhanced_to_vad_raw_to_asr"
    )
    found = segments(vad, chunks(fast))
    assert len(found) == 3
    low = soxr.resample(soxr.resample(noisy, 16000, 13000), 13000, 16000)  # neither filter passes the uppermost band
    for start, samples in found:
        expected = low[start : start + len(samples)]
        got = soxr.resample(soxr.resample(np.array(samples, np.float32), 16000, 13000), 13000, 16000)
        assert np.corrcoef(got[200:-200], expected[200 : len(got) - 200])[0, 1] > 0.999


@pytest.mark.parametrize("convert", [np.ndarray.tolist, np.float64, lambda x: np.int16(np.rint(x * 32768))])
def test_samples_of_other_types(vad_config, noisy, convert):
    vad = with_frontend(bare(vad_config), Enhancer(), route="enhanced_to_vad_raw_to_asr")
    expected = segments(vad, chunks(noisy))
    vad.reset()
    found = segments(vad, [convert(chunk) for chunk in chunks(noisy)])
    assert [start for start, _ in found] == [start for start, _ in expected]
    for (_, got), (_, wanted) in zip(found, expected, strict=True):
        assert np.allclose(got, wanted, atol=4e-5)


@pytest.mark.parametrize("samples", [np.zeros((2, 100)), [1, 2], np.full(9, np.nan), np.full(9, 500.0), None])
def test_bad_samples_leave_it_unchanged(vad_config, noisy, samples):
    vad = with_frontend(bare(vad_config), Enhancer())
    expected = segments(vad, chunks(noisy))
    vad.reset()
    pieces = chunks(noisy)
    found = segments(vad, pieces[:9], flush=False)
    with pytest.raises(AudioFormatError):
        vad.accept_waveform(samples)
    assert found + segments(vad, pieces[9:]) == expected


def test_strength_and_bypass_may_change_while_it_runs(vad_config, noisy):
    vad = with_frontend(bare(vad_config), Enhancer(), route="raw_to_vad_enhanced_to_asr")
    assert (vad.strength, vad.bypass) == (0.8, False)
    half = len(noisy) // 2
    vad.accept_waveform(noisy[:half])
    vad.strength = 0
    ((start, samples),) = segments(vad, [noisy[half:]])
    begin = half + 1024 - start
    assert samples[begin:] == noisy[half + 1024 : start + len(samples)].tolist()
    assert samples[:begin] != noisy[start : half + 1024].tolist()
    with pytest.raises(ConfigError, match="strength"):
        vad.strength = 2
    with pytest.raises(AttributeError):
        vad.strenght = 0.5


def test_segments_go_to_a_recognizer_as_they_do_without_a_frontend(vad_config, offline_tones, tone):
    vad = with_frontend(bare(vad_config), Enhancer(strength=0))
    vad.accept_waveform(tone([None, "low", "mid", None, None, "high", None, None], 16000))
    vad.flush()
    texts = []
    while not vad.empty():
        stream = offline_tones.create_stream()
        stream.accept_waveform(16000, vad.front.samples)
        offline_tones.decode_stream(stream)
        texts.append(stream.result.text)
        vad.pop()
    assert texts == ["low mid", "high"]


def test_memory_stays_flat_in_silence(vad_config):
    vad = with_frontend(bare(vad_config), Enhancer(), route="enhanced_to_vad_raw_to_asr")
    silence = np.zeros(8000, np.float32)
    used = []
    tracemalloc.start()
    for _ in range(2):
        for _ in range(20):
            vad.accept_waveform(silence)
        used.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert used[1] - used[0] < 20_000  # 10 s of audio are 640,000 bytes


def test_all_else_is_the_hosts(vad_config):
    host = bare(vad_config)
    vad = with_frontend(host, Enhancer())
    assert vad.config.sample_rate == 16000
    assert not vad.is_speech_detected()
    assert repr(vad).startswith("<VoiceActivityDetector with <Enhancer gtcrn-asr")
    assert repr(vad).endswith("enhanced_to_both>")
    with pytest.raises(AttributeError):
        vad.no_such_thing  # noqa: B018


def test_settings_that_do_not_fit(vad_config):
    with pytest.raises(
        ConfigError, match="expected input at the detector's 16000 Hz with on_error='pass', got 48000 Hz"
    ):
        with_frontend(bare(vad_config), EnhancerConfig(sample_rate=48_000), on_error="pass")
    with pytest.raises(ConfigError, match="that of the detector, 16000 Hz, or none, got 48000 Hz"):
        with_frontend(bare(vad_config), EnhancerConfig(output_sample_rate=48000))
    with pytest.raises(ConfigError, match="did you mean 'enhanced_to_both'"):
        with_frontend(bare(vad_config), Enhancer(), route="enhanced_to_vad")
    with pytest.raises(ConfigError, match="one that already has a front-end"):
        with_frontend(with_frontend(bare(vad_config), Enhancer()), Enhancer())
