"""Time per chunk of 16 ms of two builds of the package, side by side.

    python benchmarks/compare_builds.py BEFORE/bin/python AFTER/bin/python

Each build runs in a process of its own environment. For every setting the two take turns in short runs, as other
processes on the machine would else slow one of them down more than the other. Given is the median over the runs of the
5th percentile of a run, in microseconds of CPU time per chunk and stream: wall time would count what interrupts the
long calls of a pool, and the shortest CPU times are below what is possible.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

RATES = (8_000, 16_000, 44_100, 48_000)
STRENGTHS = (1.0, 0.5, "auto")
CHUNK_S = 0.016


class Build:
    """One build, in a process that times what it is told."""

    def __init__(self, python: str) -> None:
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [python, "-P", __file__, "--worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def us(self, setting: dict[str, Any], seconds: float) -> float:
        """Returns the 5th percentile of the time of one chunk of one stream in a run of some seconds."""
        assert self._process.stdin and self._process.stdout
        print(json.dumps(setting | {"seconds": seconds}), file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())


def work() -> None:
    """Times one setting per line of the input; the objects of the last setting are kept."""
    kept: tuple[dict[str, Any], Callable[[], object]] | None = None
    for line in sys.stdin:
        setting = json.loads(line)
        seconds, streams = setting.pop("seconds"), setting["streams"]
        if kept is None or kept[0] != setting:
            kept = setting, call_of(**setting)
            for _ in range(4):  # until each chunk completes a hop
                kept[1]()
        print(low_s(kept[1], seconds) * 1e6 / streams, flush=True)


def call_of(rate: int, channels: int, strength: Any, streams: int) -> Callable[[], object]:
    """Returns a function that pushes one chunk of each stream."""
    import numpy as np

    from gtcrn_frontend import Enhancer, StreamPool

    shape = (round(rate * CHUNK_S), channels)[: 1 + (channels > 1)]
    chunk = np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)
    settings = {"sample_rate": rate, "channels": channels, "strength": strength}
    if streams == 1:
        enhancer = Enhancer(engine="native", **settings)
        return lambda: enhancer.process_chunk(chunk)
    pool = StreamPool(engine="native")
    chunks = {pool.open(**settings): chunk for _ in range(streams)}
    return lambda: pool.process(chunks)


def low_s(call: Callable[[], object], seconds: float) -> float:
    """Returns the 5th percentile of the CPU time of a call, in seconds."""
    times, end = [], time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.thread_time()
        call()
        times.append(time.thread_time() - start)
    return sorted(times)[len(times) // 20]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", help="interpreter of the environment with the one build")
    parser.add_argument("after", help="that of the other build")
    parser.add_argument("--streams", type=int, default=1000, help="streams of the pool (default: 1000)")
    parser.add_argument("--rounds", type=int, default=6, help="turns of each build (default: 6)")
    parser.add_argument("--seconds", type=float, default=0.05, help="length of a turn; the pool's is 4 times as long")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()
    builds = Build(args.before), Build(args.after)

    results: list[dict[str, Any]] = []
    print("| streams | rate | channels | strength | before, us | after, us | after / before |")
    print("|---:|---:|---:|---|---:|---:|---:|")
    for streams, rate, channels, strength in itertools.product((1, args.streams), RATES, (1, 2), STRENGTHS):
        setting = {"rate": rate, "channels": channels, "strength": strength, "streams": streams}
        length = args.seconds * (1 if streams == 1 else 4)
        turns = [[build.us(setting, length) for build in builds] for _ in range(args.rounds)]
        before, after = map(median, zip(*turns, strict=True))
        print(f"| {streams} | {rate} | {channels} | {strength} | {before:.1f} | {after:.1f} | {after / before:.2f} |")
        results.append(setting | {"before_us": before, "after_us": after})
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["--worker"]:
        work()
    else:
        main()
