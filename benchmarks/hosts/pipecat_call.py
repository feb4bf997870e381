"""One call through a real pipecat pipeline: WebSocket, audio filter, Silero VAD and Whisper."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pipecat.audio.filters.base_audio_filter import BaseAudioFilter
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    OutputAudioRawFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.audio.vad_processor import VADProcessor
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.serializers.protobuf import ProtobufFrameSerializer
from pipecat.services.whisper.stt import WhisperSTTService
from pipecat.transports.websocket.server import (
    SingleClientWebsocketServerParams,
    SingleClientWebsocketServerTransport,
)
from pipecat.workers.runner import WorkerRunner
from websockets.asyncio.client import connect

I16 = npt.NDArray[np.int16]

FRAME_S = 0.02
FORWARDED = 20  # frames on their way: a live call has one or two, so that none is late behind a full queue


@dataclass(frozen=True)
class Event:
    """What the pipeline said, and when, in seconds of audio from the beginning of the call."""

    kind: Literal["start", "stop", "text"]
    at_s: float
    text: str = ""


class Listener(FrameProcessor):
    """The end of the pipeline: collects events, and counts the audio that has come so far."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.audio = bytearray()
        self.rate = 0
        self.arrived = asyncio.Condition()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        now_s = len(self.audio) / 2 / max(self.rate, 1)
        if isinstance(frame, InputAudioRawFrame):
            self.rate = frame.sample_rate
            self.audio += frame.audio
            async with self.arrived:
                self.arrived.notify_all()
        elif isinstance(frame, VADUserStartedSpeakingFrame):
            self.events.append(Event("start", now_s))
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            self.events.append(Event("stop", now_s))
        elif isinstance(frame, TranscriptionFrame):
            self.events.append(Event("text", now_s, frame.text.strip()))
        elif isinstance(frame, ErrorFrame):
            raise RuntimeError(frame.error)
        await self.push_frame(frame, direction)

    async def has(self, samples: int) -> None:
        """Returns when that many samples have come."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: len(self.audio) // 2 >= samples)


@dataclass(frozen=True)
class Call:
    """Events of a call, and the audio `(n,) int16` behind the filter."""

    events: list[Event]
    audio: I16

    @property
    def text(self) -> str:
        """All that was recognised."""
        return " ".join(event.text for event in self.events if event.kind == "text")

    @property
    def starts(self) -> int:
        """How often the detector took something for the beginning of speech."""
        return sum(event.kind == "start" for event in self.events)


async def call(
    samples: I16,
    rate: int,
    audio_filter: BaseAudioFilter | None,
    whisper: str | None = None,
    control: Sequence[Frame] = (),
) -> Call:
    """Sends samples `(n,)` through a pipeline, as fast as it takes them.

    Args:
        samples: what the caller's microphone records; end with a second of silence, or the last word stays open.
        rate: 8,000 or 16,000 Hz, as Silero VAD requires.
        audio_filter: None for none.
        whisper: name or folder of a faster-whisper model; None: no recognition.
        control: frames that the pipeline gets before the first audio.
    """
    port = _free_port()
    ready = asyncio.Event()
    transport = SingleClientWebsocketServerTransport(
        SingleClientWebsocketServerParams(
            audio_in_enabled=True, audio_in_filter=audio_filter, serializer=ProtobufFrameSerializer()
        ),
        host="127.0.0.1",
        port=port,
    )
    listener = Listener()
    stages: list[FrameProcessor] = [transport.input(), VADProcessor(vad_analyzer=SileroVADAnalyzer())]
    if whisper is not None:
        stages.append(WhisperSTTService(device="cpu", settings=WhisperSTTService.Settings(model=whisper)))
    worker = PipelineWorker(
        Pipeline([*stages, listener, transport.output()]),
        params=PipelineParams(audio_in_sample_rate=rate),
        enable_rtvi=False,
        enable_turn_tracking=False,
        idle_timeout_secs=None,
    )
    transport.event_handler("on_websocket_ready")(_setter(ready))
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    await ready.wait()
    await worker.queue_frames(control)
    await _speak(samples, rate, port, listener)
    await worker.queue_frame(EndFrame())
    await running
    return Call(listener.events, np.frombuffer(bytes(listener.audio), np.int16))


async def _speak(samples: I16, rate: int, port: int, listener: Listener) -> None:
    serializer, size = ProtobufFrameSerializer(), round(FRAME_S * rate)
    async with connect(f"ws://127.0.0.1:{port}", max_size=None, proxy=None) as socket_:
        for start in range(0, len(samples), size):
            frame = OutputAudioRawFrame(samples[start : start + size].tobytes(), rate, 1)
            await socket_.send(await serializer.serialize(frame) or b"")
            await listener.has(start - FORWARDED * size)
        await asyncio.wait_for(listener.has(len(samples)), 60)


def _setter(event: asyncio.Event):  # type: ignore[no-untyped-def]
    async def set_it(*_: object) -> None:
        event.set()

    return set_it


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
