"""The track behind a source of frames, and at the end of a real peer connection."""

import asyncio
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from aiortc import AudioStreamTrack, MediaStreamTrack, RTCPeerConnection, VideoStreamTrack
from aiortc.mediastreams import MediaStreamError

from gtcrn_frontend import AudioFormatError, Enhancer, EnhancerConfig
from gtcrn_frontend.adapters.aiortc import EnhancedTrack

ROOT = Path(__file__).resolve().parents[3]
RATES = (8_000, 16_000, 24_000, 44_100, 48_000)
LAYOUTS = {1: "mono", 2: "stereo"}


def noise(*shape):
    return np.random.default_rng(0).normal(0, 3_000, shape).astype(np.int16)


class Source(MediaStreamTrack):
    """Delivers the samples `(n,)` or `(n, channels)`; paced as a microphone would on request."""

    kind = "audio"

    def __init__(self, samples, rate, size, sample_format="s16", pace=False):
        super().__init__()
        self.samples, self.rate, self.size, self.format, self.pace = samples, rate, size, sample_format, pace
        self.start = 0

    async def recv(self):
        chunk = self.samples[self.start : self.start + self.size]
        if len(chunk) == 0:
            self.stop()
            raise MediaStreamError
        if self.pace:
            await asyncio.sleep(len(chunk) / self.rate)
        layout = LAYOUTS[1 if chunk.ndim == 1 else chunk.shape[1]]
        array = chunk.reshape(1, -1) if self.format == "s16" else chunk.reshape(len(chunk), -1).T
        if self.format == "fltp":
            array = array.astype(np.float32) / 32768
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(array), format=self.format, layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = self.rate, self.start, Fraction(1, self.rate)
        self.start += len(chunk)
        return frame


async def frames_of(track):
    frames = []
    while True:
        try:
            frames.append(await track.recv())
        except MediaStreamError:
            return frames


def samples_of(frames):
    return np.concatenate([frame.to_ndarray().reshape(-1, len(frame.layout.channels)) for frame in frames])


@pytest.mark.parametrize("milliseconds", [10, 20, 30, 50])
@pytest.mark.parametrize("rate", RATES)
def test_frames_keep_length_and_time_and_none_is_lost(rate, milliseconds):
    samples, size = noise(rate), rate * milliseconds // 1000

    async def run(**settings):
        track = EnhancedTrack(Source(samples, rate, size), **settings)
        frames = await frames_of(track)
        assert track.readyState == "ended"
        return frames, samples_of(frames)[:, 0], track.delay_samples

    frames, out, delay = asyncio.run(run())
    expected = asyncio.run(frames_of(Source(samples, rate, size)))
    assert [(f.pts, f.samples, f.sample_rate) for f in frames[:-1]] == [
        (f.pts, f.samples, f.sample_rate) for f in expected
    ]
    assert (frames[-1].pts, frames[-1].samples) == (rate, delay)
    assert len(out) == rate + delay
    np.testing.assert_allclose(out[delay:], Enhancer(sample_rate=rate).enhance(samples), atol=1)
    _, exact, delay = asyncio.run(run(strength=0))
    np.testing.assert_array_equal(exact[delay:], samples)


@pytest.mark.parametrize("sample_format", ["s16", "s16p", "fltp"])
@pytest.mark.parametrize("channels", [1, 2])
def test_formats_and_channels(sample_format, channels):
    samples = noise(16_000) if channels == 1 else noise(16_000, 2)
    track = EnhancedTrack(Source(samples, 16_000, 320, sample_format), EnhancerConfig(strength=0))
    frames = asyncio.run(frames_of(track))
    assert {(frame.format.name, frame.layout.name) for frame in frames} == {("s16", LAYOUTS[channels])}
    np.testing.assert_array_equal(samples_of(frames)[511:], samples.reshape(-1, channels))


def test_an_error_neither_ends_the_track_nor_changes_its_timing(break_engine, caplog):
    samples = noise(48_000)

    async def run():
        track = EnhancedTrack(Source(samples, 48_000, 960))
        first = [await track.recv() for _ in range(25)]
        break_engine()
        frames = first + await frames_of(track)
        return frames, track.failed

    frames, _ = asyncio.run(run())
    out = samples_of(frames)[1967:, 0]
    np.testing.assert_array_equal(out[24_000:], samples[24_000:])
    assert len(out) == len(samples)
    assert len(caplog.records) == 1


def test_strength_and_bypass_at_run_time():
    samples = noise(32_000)

    async def run():
        track = EnhancedTrack(Source(samples, 16_000, 320), bypass=True)
        first = [await track.recv() for _ in range(50)]
        track.bypass, track.strength = False, 1
        return samples_of(first)[:, 0], samples_of(await frames_of(track))[:, 0]

    first, second = asyncio.run(run())
    np.testing.assert_array_equal(first[511:], samples[: 16_000 - 511])
    assert np.std(second[8_000:].astype(float)) < 0.5 * np.std(samples.astype(float))


def test_a_stopped_track_and_one_without_frames_end():
    async def run():
        track = EnhancedTrack(AudioStreamTrack())
        await track.recv()
        track.stop()
        with pytest.raises(MediaStreamError):
            await track.recv()
        assert await frames_of(EnhancedTrack(Source(noise(0), 16_000, 320))) == []

    asyncio.run(run())


def test_video_is_refused():
    with pytest.raises(AudioFormatError, match="video"):
        EnhancedTrack(VideoStreamTrack())


def test_over_a_peer_connection():
    """Opus, RTP and DTLS on the loopback interface: what arrives is enhanced as it would be without the track."""
    rate, seconds = 48_000, 1.5
    samples = noise(int(rate * seconds))

    async def run():
        sender, receiver = RTCPeerConnection(), RTCPeerConnection()
        arrived = asyncio.get_running_loop().create_future()
        receiver.on("track", arrived.set_result)
        sender.addTrack(Source(samples, rate, 960, pace=True))
        await sender.setLocalDescription(await sender.createOffer())
        await receiver.setRemoteDescription(sender.localDescription)
        await receiver.setLocalDescription(await receiver.createAnswer())
        await sender.setRemoteDescription(receiver.localDescription)
        plain = []
        source = await arrived

        class Tee(MediaStreamTrack):
            kind = "audio"

            async def recv(self):
                plain.append(await source.recv())
                return plain[-1]

        track = EnhancedTrack(Tee(), EnhancerConfig(strength=1))
        enhanced = [await asyncio.wait_for(track.recv(), 20) for _ in range(50)]
        await asyncio.gather(sender.close(), receiver.close())
        return plain, enhanced, track.delay_samples

    plain, enhanced, delay = asyncio.run(run())
    assert [(f.pts, f.samples, f.layout.name) for f in enhanced] == [(f.pts, f.samples, f.layout.name) for f in plain]
    before, after = samples_of(plain), samples_of(enhanced)
    channels = before.shape[1]
    expected = Enhancer(sample_rate=rate, channels=channels, strength=1).enhance(before)
    np.testing.assert_allclose(after[delay:], expected[:-delay], atol=1)
    half = len(before) // 2
    assert np.std(before[half:].astype(float)) > 500
    assert np.std(after[half:].astype(float)) < 0.5 * np.std(before[half:].astype(float))


def test_the_example_runs(tmp_path):
    samples, rate = soundfile.read(ROOT / "examples/noisy.flac", dtype="int16")
    soundfile.write(tmp_path / "noisy.wav", samples[: 3 * rate], rate)
    command = [sys.executable, ROOT / "examples/aiortc_loopback.py", tmp_path / "noisy.wav", tmp_path / "out.wav"]
    subprocess.run(command, check=True, timeout=60)
    out, out_rate = soundfile.read(tmp_path / "out.wav", dtype="int16")
    assert out_rate == 48_000
    assert len(out) > out_rate
    assert out[out_rate // 2 :].any()
