"""What a telephone call costs: 20 ms of 8 kHz, alone and in a pool, as 16-bit PCM and as G.711.

    python benchmarks/hosts/telephone.py --streams 200

Prints the 5th percentile of CPU time over many times four frames, which are five hops of the network; other load on the
machine disturbs that least.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from gtcrn_frontend import Enhancer, StreamPool
from gtcrn_frontend.audio.pcm import recoded
from gtcrn_frontend.evaluation.environment import environment
from gtcrn_frontend.evaluation.report.tables import Value, markdown_table

RATE = 8000
FRAME_MS = 20
FRAMES = 4


def fast_us(call: Callable[[], object], seconds: float) -> float:
    times: list[int] = []
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        start_ns = time.thread_time_ns()
        for _ in range(FRAMES):
            call()
        times.append(time.thread_time_ns() - start_ns)
    return float(np.percentile(times, 5)) / 1000 / FRAMES


def row(name: str, us: float, streams: int = 1) -> dict[str, Value]:
    per_frame_us = us / streams
    rtf = per_frame_us / (1000 * FRAME_MS)
    return {"20 ms of 8 kHz": name, "us": round(per_frame_us, 1), "RTF": round(rtf, 5), "calls per core": int(1 / rtf)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=200, help="in the pool (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each row (default: %(default)g)")
    args = parser.parse_args()

    samples = (np.random.default_rng(0).normal(0, 0.05, RATE * FRAME_MS // 1000) * 32767).astype("<i2")
    pcm = samples.tobytes()
    wide, narrow, pool = Enhancer(), Enhancer(sample_rate=RATE), StreamPool()
    rows = [
        row("16 kHz, for comparison", fast_us(lambda: wide.process_bytes(2 * pcm), args.seconds)),
        row("process_bytes", fast_us(lambda: narrow.process_bytes(pcm), args.seconds)),
    ]
    for law in ("mulaw", "alaw"):
        codes, enhancer = recoded(pcm, "s16le", law), Enhancer(sample_rate=RATE)
        rows.append(
            row(
                f'process_bytes, "{law}"',
                fast_us(lambda e=enhancer, c=codes, n=law: e.process_bytes(c, n), args.seconds),
            )  # type: ignore[misc]  # defaults
        )
    calls = {pool.open(sample_rate=RATE): samples for _ in range(args.streams)}
    rows.append(row(f"pool of {args.streams}", fast_us(lambda: pool.process(calls), args.seconds), args.streams))
    print(f"{environment()}\nlatency: {narrow.latency_ms:.1f} ms, at 16 kHz {wide.latency_ms:.1f} ms\n")
    print(markdown_table(rows, {}))


if __name__ == "__main__":
    main()
