"""Enhancement of what a WebRTC peer sends: a file is played to a peer connection, and the enhanced track is recorded.

    python examples/aiortc_loopback.py examples/noisy.flac enhanced.wav

Needs the extra `[aiortc]`. Both peers live in this program; Opus, RTP and encryption are between them.
"""

import argparse
import asyncio

from aiortc import RTCPeerConnection
from aiortc.contrib.media import MediaPlayer, MediaRecorder

from gtcrn_frontend.adapters.aiortc import EnhancedTrack


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="any audio file")
    parser.add_argument("output", help="WAV file")
    parser.add_argument("--strength", type=float, default=0.8, help="0 (input unchanged) to 1 (full enhancement)")
    args = parser.parse_args()

    caller, server = RTCPeerConnection(), RTCPeerConnection()
    recorder, ended = MediaRecorder(args.output), asyncio.Event()

    @server.on("track")
    def received(track):
        recorder.addTrack(EnhancedTrack(track, strength=args.strength))  # this is the line

    microphone = MediaPlayer(args.file).audio
    microphone.on("ended", ended.set)
    caller.addTrack(microphone)
    await caller.setLocalDescription(await caller.createOffer())
    await server.setRemoteDescription(caller.localDescription)
    await server.setLocalDescription(await server.createAnswer())
    await caller.setRemoteDescription(server.localDescription)
    await recorder.start()
    await ended.wait()
    await asyncio.sleep(0.5)  # what is still on its way
    await recorder.stop()
    await asyncio.gather(caller.close(), server.close())


if __name__ == "__main__":
    asyncio.run(main())
