"""A voice pipeline of pipecat with the filter, and a caller who speaks a file into it: what is detected and recognised.

    python examples/pipecat_filter.py examples/noisy.flac
    python examples/pipecat_filter.py examples/noisy.flac --strength 0    # the input as it is

Needs `pip install -c constraints.txt '.[pipecat]' 'pipecat-ai[whisper]'`. Whisper's model is downloaded, unless
`--whisper` names a folder.
"""

import argparse
import asyncio
import sys

import numpy as np
import soundfile
from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import (
    EndFrame,
    InputAudioRawFrame,
    OutputAudioRawFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.audio.vad_processor import VADProcessor
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.serializers.protobuf import ProtobufFrameSerializer
from pipecat.services.whisper.stt import WhisperSTTService
from pipecat.transports.websocket.server import SingleClientWebsocketServerParams, SingleClientWebsocketServerTransport
from pipecat.workers.runner import WorkerRunner
from websockets.asyncio.client import connect

from gtcrn_frontend.adapters.pipecat import GtcrnFilter

PORT = 8765
FRAME_S = 0.02


class Printer(FrameProcessor):
    """Prints what a voice agent would act on."""

    def __init__(self):
        super().__init__()
        self.samples = 0

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            self.samples += len(frame.audio) // 2
            self.rate = frame.sample_rate
        elif isinstance(frame, VADUserStartedSpeakingFrame):
            print(f"{self.samples / self.rate:5.1f} s  speech starts")
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            print(f"{self.samples / self.rate:5.1f} s  speech stops")
        elif isinstance(frame, TranscriptionFrame):
            print(f"         {frame.text.strip()!r}")
        await self.push_frame(frame, direction)


async def speak(samples, rate):
    """Is the caller: sends a frame every 20 ms, and a second of silence at the end."""
    serializer = ProtobufFrameSerializer()
    size = int(FRAME_S * rate)
    async with connect(f"ws://127.0.0.1:{PORT}") as websocket:
        for frame in np.array_split(samples, range(size, len(samples) + rate, size)):
            frame = np.pad(frame, (0, size - len(frame)))
            await websocket.send(await serializer.serialize(OutputAudioRawFrame(frame.tobytes(), rate, 1)))
            await asyncio.sleep(FRAME_S)


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="mono audio at 8,000 or 16,000 Hz, as Silero VAD requires")
    parser.add_argument("--strength", type=float, default=0.8, help="0 (input unchanged) to 1 (full enhancement)")
    parser.add_argument("--whisper", default="tiny.en", help="name or folder of a faster-whisper model")
    args = parser.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="WARNING")

    samples, rate = soundfile.read(args.file, dtype="int16")
    transport = SingleClientWebsocketServerTransport(
        SingleClientWebsocketServerParams(
            audio_in_enabled=True,
            audio_in_filter=GtcrnFilter(strength=args.strength),  # this is the line
            serializer=ProtobufFrameSerializer(),
        ),
        host="127.0.0.1",
        port=PORT,
    )
    pipeline = Pipeline(
        [
            transport.input(),
            VADProcessor(vad_analyzer=SileroVADAnalyzer()),
            WhisperSTTService(device="cpu", settings=WhisperSTTService.Settings(model=args.whisper)),
            Printer(),
            transport.output(),
        ]
    )
    worker = PipelineWorker(pipeline, params=PipelineParams(audio_in_sample_rate=rate))

    @transport.event_handler("on_websocket_ready")
    async def caller(_):
        async def call():
            await speak(samples, rate)
            await worker.queue_frame(EndFrame())

        worker.create_task(call())

    runner = WorkerRunner()
    await runner.add_workers(worker)
    await runner.run()


if __name__ == "__main__":
    asyncio.run(main())
