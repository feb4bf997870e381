"""Time that the adapters for live audio take on the event loop, per frame.

    python benchmarks/hosts/speed.py
    python benchmarks/hosts/speed.py --strength auto --rates 24000

Needs the extras `[pipecat,livekit,aiortc]`. Frames of pure noise, in rounds in which all adapters take turns; the table
gives the 5th percentile and the median over rounds of the mean time per frame, and of the audio's duration that is in
percent, the share of a core that one stream takes. `Enhancer` is the stream without an adapter.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
from aiortc import MediaStreamTrack
from livekit import rtc

from gtcrn_frontend import Enhancer
from gtcrn_frontend.adapters.aiortc import EnhancedTrack
from gtcrn_frontend.adapters.livekit import noise_suppression
from gtcrn_frontend.adapters.pipecat import GtcrnFilter
from gtcrn_frontend.config import Strength
from gtcrn_frontend.evaluation.environment import environment
from gtcrn_frontend.evaluation.report.tables import Value, markdown_table

ROUNDS = 60
FRAMES_PER_ROUND = 100

I16 = npt.NDArray[np.int16]
Step = Callable[[], Awaitable[object]]


class Source(MediaStreamTrack):
    """A track that repeats one frame."""

    kind = "audio"

    def __init__(self, samples: I16, rate: int) -> None:
        super().__init__()
        self.frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        self.frame.sample_rate, self.frame.time_base, self.frame.pts = rate, Fraction(1, rate), 0

    async def recv(self) -> av.AudioFrame:
        return self.frame


async def steps(samples: I16, rate: int, strength: Strength) -> dict[str, Step]:
    """What each adapter does with a frame, by name."""
    enhancer = Enhancer(sample_rate=rate, strength=strength)
    audio_filter = GtcrnFilter(strength=strength)
    await audio_filter.start(rate)
    processor = noise_suppression(strength=strength)
    frame = rtc.AudioFrame(samples.tobytes(), rate, 1, len(samples))
    track = EnhancedTrack(Source(samples, rate), strength=strength)
    data = samples.tobytes()

    async def alone() -> object:
        return enhancer.process_chunk(samples)

    async def livekit() -> object:
        return processor._process(frame)

    return {
        "Enhancer": alone,
        "pipecat": lambda: audio_filter.filter(data),
        "LiveKit": livekit,
        "aiortc": track.recv,
    }


async def measure(rate: int, frame_ms: int, strength: Strength) -> list[dict[str, Value]]:
    """Returns a row per adapter."""
    samples = np.random.default_rng(0).normal(0, 2_000, rate * frame_ms // 1000).astype(np.int16)
    by_name = await steps(samples, rate, strength)
    times_us: dict[str, list[float]] = {name: [] for name in by_name}
    for number in range(ROUNDS + 3):
        for name, step in by_name.items():
            began = time.perf_counter_ns()
            for _ in range(FRAMES_PER_ROUND):
                await step()
            if number >= 3:  # warm
                times_us[name].append((time.perf_counter_ns() - began) / 1000 / FRAMES_PER_ROUND)
    return [
        {
            "rate": rate,
            "frame (ms)": frame_ms,
            "adapter": name,
            "p5 (us)": float(np.percentile(times, 5)),
            "median (us)": float(np.median(times)),
            "of a core (%)": float(np.percentile(times, 5)) / 10 / frame_ms,
        }
        for name, times in times_us.items()
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", nargs="+", type=int, default=[16_000, 24_000, 48_000], help="in Hz")
    parser.add_argument("--frames", nargs="+", type=int, default=[10, 20], help="lengths in ms")
    parser.add_argument("--strength", default="0.8", help="0 to 1, or auto (default: %(default)s)")
    args = parser.parse_args(arguments)
    strength: Strength = "auto" if args.strength == "auto" else float(args.strength)
    rows = [
        row for rate in args.rates for frame_ms in args.frames for row in asyncio.run(measure(rate, frame_ms, strength))
    ]
    print(f"{environment()}\n\n{markdown_table(rows, {'p5 (us)': 1, 'median (us)': 1, 'of a core (%)': 2})}")


if __name__ == "__main__":
    main()
