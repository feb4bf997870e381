"""What livekit-agents makes of `noise_cancellation=`; its rooms need a server, which these tests do without."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest
from livekit import rtc

from gtcrn_frontend import EnhancerConfig
from gtcrn_frontend.adapters.livekit import GtcrnNoiseSuppression, noise_suppression, per_participant

pytestmark = pytest.mark.hosts

RATE, SIZE = 24_000, 1_200  # what livekit-agents asks for, unless told otherwise


def audio_input(noise_cancellation):
    """The object by which livekit-agents reads a participant, in a room that is not connected."""
    from livekit.agents.voice.room_io._input import _ParticipantAudioInputStream

    return _ParticipantAudioInputStream(
        rtc.Room(),
        sample_rate=RATE,
        num_channels=1,
        noise_cancellation=noise_cancellation,
        auto_gain_control=False,
        pre_connect_audio_handler=None,
    )


async def read(stream, source, samples, count):
    """The first frames of a stream of livekit-agents while a source captures samples."""
    got = []

    async def listen():
        async for event in stream:
            got.append(event.frame)
            if len(got) == count:
                return

    listening = asyncio.create_task(listen())
    for start in range(0, len(samples), SIZE):
        await source.capture_frame(rtc.AudioFrame(samples[start : start + SIZE].tobytes(), RATE, 1, SIZE))
    await asyncio.wait_for(listening, 20)
    await stream.aclose()
    return np.concatenate([np.frombuffer(frame.data, np.int16) for frame in got])


@pytest.mark.parametrize("selector", [False, True])
def test_the_input_of_an_agent(selector):
    """Bypass makes the output the input, so that it shows which frames went through the processor."""
    samples = np.random.default_rng(0).normal(0, 3_000, RATE).astype(np.int16)

    async def run():
        config = EnhancerConfig(bypass=True)
        made = audio_input(per_participant(lambda _: config) if selector else noise_suppression(config))
        source = rtc.AudioSource(RATE, 1)
        track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
        participant = SimpleNamespace(identity="alice", track_publications={})
        stream = made._create_stream(track, participant)
        processor = made._processor
        assert isinstance(processor, GtcrnNoiseSuppression)
        got = await read(stream, source, samples, 10)
        delay = processor.delay_samples
        await made.aclose()
        await source.aclose()
        return got, delay

    got, delay = asyncio.run(run())
    assert delay == 983
    assert not got[:delay].any()
    assert np.count_nonzero(got[delay:]) > len(got) / 2


def test_options_of_an_agent_session():
    from livekit.agents import room_io

    processor = noise_suppression()
    options = room_io.RoomOptions(audio_input=room_io.AudioInputOptions(noise_cancellation=processor))
    assert options.audio_input.noise_cancellation is processor
