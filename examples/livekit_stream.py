"""Noise suppression in a LiveKit audio stream: a file is captured by a local track, and what the stream hears is kept.

    python examples/livekit_stream.py examples/noisy.flac enhanced.wav
    python examples/livekit_stream.py examples/noisy.flac delayed.wav --strength 0    # the input, as late

Needs the extra `[livekit]` and no server. In an agent, the line goes into the room's options; see docs/livekit.md.
"""

import argparse
import asyncio

import numpy as np
import soundfile
from livekit import rtc

from gtcrn_frontend.adapters.livekit import noise_suppression

FRAME_S = 0.05


async def capture(source, samples, rate):
    """Is the microphone: hands a frame to LiveKit every 50 ms."""
    size = int(FRAME_S * rate)
    for start in range(0, len(samples), size):
        frame = samples[start : start + size]
        await source.capture_frame(rtc.AudioFrame(frame.tobytes(), rate, 1, len(frame)))


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="mono audio")
    parser.add_argument("output", help="WAV file")
    parser.add_argument("--strength", type=float, default=0.8, help="0 (input unchanged) to 1 (full enhancement)")
    args = parser.parse_args()

    samples, rate = soundfile.read(args.file, dtype="int16")
    source = rtc.AudioSource(rate, 1)
    track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
    stream = rtc.AudioStream.from_track(
        track=track,
        sample_rate=rate,
        frame_size_ms=int(1000 * FRAME_S),
        noise_cancellation=noise_suppression(strength=args.strength),  # this is the line
    )
    heard = []
    capturing = asyncio.create_task(capture(source, samples, rate))
    async for event in stream:
        heard.append(np.frombuffer(event.frame.data, np.int16))
        if capturing.done() and sum(map(len, heard)) >= len(samples):
            break
    await stream.aclose()
    await source.aclose()
    soundfile.write(args.output, np.concatenate(heard), rate)


if __name__ == "__main__":
    asyncio.run(main())
