"""The frame processor by itself, and between LiveKit's own audio source, track and `rtc.AudioStream`."""

import asyncio
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from livekit import rtc

from gtcrn_frontend import ConfigError, Enhancer, EnhancerConfig
from gtcrn_frontend.adapters.livekit import GtcrnNoiseSuppression, noise_suppression, per_participant
from gtcrn_frontend.install_hint import install_hint

ROOT = Path(__file__).resolve().parents[3]
RATES = (8_000, 16_000, 24_000, 44_100, 48_000)


def noise(count, channels=1):
    return np.random.default_rng(0).normal(0, 3_000, count * channels).astype(np.int16)


def frames_of(samples, rate, size, channels=1):
    """Frames of `size` samples per channel."""
    for start in range(0, len(samples), size * channels):
        data = samples[start : start + size * channels]
        yield rtc.AudioFrame(data.tobytes(), rate, channels, len(data) // channels, userdata={"start": start})


def run(processor, samples, rate, size, channels=1):
    out = []
    for frame in frames_of(samples, rate, size, channels):
        enhanced = processor._process(frame)
        assert (enhanced.sample_rate, enhanced.num_channels) == (rate, channels)
        assert enhanced.samples_per_channel == frame.samples_per_channel
        assert enhanced.userdata == frame.userdata
        out.append(np.frombuffer(enhanced.data, np.int16))
    return np.concatenate(out)


@pytest.mark.parametrize("milliseconds", [10, 20, 30, 50])
@pytest.mark.parametrize("rate", RATES)
def test_equal_frames_a_fixed_delay_later(rate, milliseconds):
    samples, size = noise(rate), rate * milliseconds // 1000
    processor = noise_suppression()
    out = run(processor, samples, rate, size)
    delay = processor.delay_samples
    expected = Enhancer(sample_rate=rate).enhance(samples)
    assert not out[:delay].any()
    np.testing.assert_allclose(out[delay:], expected[: rate - delay], atol=1)
    exact = noise_suppression(strength=0)
    np.testing.assert_array_equal(run(exact, samples, rate, size)[delay:], samples[: rate - delay])


def test_channels_are_enhanced_one_by_one():
    stereo = noise(16_000, 2)
    out = run(noise_suppression(), stereo, 16_000, 160, 2).reshape(-1, 2)
    for channel in range(2):
        expected = Enhancer().enhance(stereo[channel::2])
        np.testing.assert_allclose(out[511:, channel], expected[:-511], atol=1)


def test_enabled_and_bypass():
    samples = noise(16_000)
    processor = noise_suppression()
    processor.bypass = True
    np.testing.assert_array_equal(run(processor, samples, 16_000, 160)[511:], samples[:-511])
    processor.bypass = False
    processor.enabled = False
    np.testing.assert_array_equal(run(processor, samples, 16_000, 160), samples)
    processor.enabled = True
    out = run(processor, samples, 16_000, 160)
    np.testing.assert_allclose(out[511:], Enhancer().enhance(samples)[:-511], atol=1)


def test_strength_at_run_time():
    samples = noise(16_000)
    processor = noise_suppression(strength=0)
    run(processor, samples, 16_000, 160)
    processor.strength = 1
    out = run(processor, samples, 16_000, 160)
    assert np.std(out[8_000:].astype(float)) < 0.5 * np.std(samples.astype(float))
    with pytest.raises(ConfigError):
        processor.strength = -1


def test_nothing_is_raised_and_nothing_late_after_an_error(break_engine, caplog):
    samples = noise(24_000)
    processor = noise_suppression()
    run(processor, samples, 24_000, 1_200)
    break_engine()
    out = run(processor, samples, 24_000, 1_200)
    np.testing.assert_array_equal(out[processor.delay_samples :], samples[: -processor.delay_samples])
    assert processor.failed
    assert len(caplog.records) == 1
    assert caplog.records[0].name == "gtcrn_frontend.adapters.livekit.frame_processor"


@pytest.mark.parametrize(("rate", "channels"), [(4_000, 1), (384_000, 1), (16_000, 17)])
def test_formats_that_cannot_be_enhanced_pass(rate, channels):
    samples = noise(rate // 10, channels)
    np.testing.assert_array_equal(run(noise_suppression(), samples, rate, rate // 100, channels), samples)


def test_empty_frames_and_longer_buffers():
    processor, samples = noise_suppression(strength=0), noise(1_600)
    assert processor._process(rtc.AudioFrame(b"", 16_000, 1, 0)).samples_per_channel == 0
    frame = processor._process(rtc.AudioFrame(samples.tobytes(), 16_000, 1, 800))
    np.testing.assert_array_equal(np.frombuffer(frame.data, np.int16)[511:], samples[: 800 - 511])


def test_another_participant_gets_a_new_stream_and_a_new_track_of_the_same_one_does_not():
    samples, processor = noise(1_600), noise_suppression(strength=0)

    def announce(participant, publication):
        names = {"room_name": "room", "participant_identity": participant, "publication_sid": publication}
        processor._on_stream_info_updated(**names)

    announce("a", "1")
    run(processor, samples, 16_000, 160)
    announce("a", "2")
    np.testing.assert_array_equal(run(processor, samples, 16_000, 160)[:511], samples[-511:])
    processor._on_stream_info_cleared()
    processor._on_credentials_updated(token="token", url="url")
    announce("b", "3")
    assert not run(processor, samples, 16_000, 160)[:511].any()
    processor._close()
    assert not run(processor, samples, 16_000, 160)[:511].any()


def test_each_participant_gets_its_own():
    def choose(participant):
        return None if participant.identity == "announcer" else EnhancerConfig(strength=0.5)

    select = per_participant(choose)
    alice, bob, nobody = (
        select(SimpleNamespace(participant=SimpleNamespace(identity=name))) for name in ("alice", "bob", "announcer")
    )
    assert isinstance(alice, GtcrnNoiseSuppression)
    assert isinstance(alice, rtc.FrameProcessor)
    assert alice is not bob
    assert alice.strength == 0.5
    assert nobody is None
    assert per_participant()(SimpleNamespace(participant=None)).strength == Enhancer().strength


def test_the_plugin_has_the_same_names():
    from livekit.plugins import gtcrn

    assert gtcrn.noise_suppression is noise_suppression
    assert set(gtcrn.__all__) == {"GtcrnNoiseSuppression", "noise_suppression", "per_participant"}


@pytest.mark.parametrize("host", ["livekit", "aiortc"])
def test_a_missing_package_is_named_with_its_extra(host):
    name = {"livekit": "noise_suppression", "aiortc": "EnhancedTrack"}[host]
    code = f"""if True:
        import sys
        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name in ("livekit.rtc", "aiortc"):
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        sys.meta_path.insert(0, Absent())
        import gtcrn_frontend.adapters.{host} as adapter
        try:
            adapter.{name}
        except ImportError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert install_hint(host) in done.stdout


def test_between_a_local_track_and_an_audio_stream():
    """Without a server a local track delivers what its source captures: LiveKit's native library is in between."""
    rate, size = 24_000, 1_200
    samples = noise(rate)

    async def received(processor):
        source = rtc.AudioSource(rate, 1)
        track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
        stream = rtc.AudioStream.from_track(
            track=track, sample_rate=rate, num_channels=1, frame_size_ms=50, noise_cancellation=processor
        )
        got = []

        async def read():
            async for event in stream:
                got.append(event.frame)
                if len(got) == 12:
                    return

        reading = asyncio.create_task(read())
        for frame in frames_of(samples, rate, size):
            await source.capture_frame(frame)
        await asyncio.wait_for(reading, 20)
        await stream.aclose()
        await source.aclose()
        assert {(f.sample_rate, f.num_channels, f.samples_per_channel) for f in got} == {(rate, 1, size)}
        return np.concatenate([np.frombuffer(frame.data, np.int16) for frame in got])

    async def both():
        processor = noise_suppression(strength=0)
        return await received(None), await received(processor), processor.delay_samples

    plain, enhanced, delay = asyncio.run(both())
    assert np.count_nonzero(plain) > len(plain) / 2
    np.testing.assert_array_equal(enhanced[delay:], plain[: len(plain) - delay])


def test_the_example_runs(tmp_path):
    samples, rate = soundfile.read(ROOT / "examples/noisy.flac", dtype="int16")
    soundfile.write(tmp_path / "noisy.wav", samples[: 2 * rate], rate)
    command = [sys.executable, ROOT / "examples/livekit_stream.py", tmp_path / "noisy.wav", tmp_path / "out.wav"]
    subprocess.run(command, check=True, timeout=60)
    out, out_rate = soundfile.read(tmp_path / "out.wav", dtype="int16")
    assert out_rate == rate
    assert len(out) >= 2 * rate
    assert 0.2 < out[rate:].astype(float).std() / samples[rate : 2 * rate].astype(float).std() < 0.95
