"""Memory and latency of one engine, in a process of its own."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.evaluation.bench.latency import measured_latency_ms
from gtcrn_frontend.evaluation.bench.speed import noise_bursts, resident_bytes
from gtcrn_frontend.evaluation.bench.streams import BenchEngine, Streams

_WARM_UP_S = 0.1
_CHILD = """
import pickle, sys
with open(sys.argv[1], "rb") as file:
    sys.path[:] = pickle.load(file)
    function, arguments = pickle.load(file)
with open(sys.argv[1], "wb") as file:
    pickle.dump(function(*arguments), file)
"""


@dataclass(frozen=True)
class Footprint:
    """What one engine takes.

    Attributes:
        first_stream_mb: growth of a process that has numpy and this package, by the engine's libraries, the loaded
            model and a running stream; in MB, None on systems other than Linux.
        next_stream_mb: growth by each further stream.
        latency_ms: the longest that a sample waits, without computing time; None if it could not be found out.
        latency_is_measured: whether it is `measured_latency_ms`, or stated by the engine.
    """

    first_stream_mb: float | None
    next_stream_mb: float | None
    latency_ms: float | None
    latency_is_measured: bool


def measure_footprint(engine: BenchEngine, streams: int) -> Footprint:
    """Returns memory and latency of an engine, measured in a new process.

    Not one of multiprocessing, which would import the main module again: what that imports, such as ONNX Runtime, would
    not count as the engine's.

    Args:
        engine: the engine.
        streams: number of streams to open for the memory of one more; fewer if that is the engine's limit.

    Raises:
        ModelError: the engine cannot be loaded or run; the message is the last line of the process, or how it ended.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "exchange"
        file.write_bytes(pickle.dumps(sys.path) + pickle.dumps((measure_here, (engine, streams))))
        command = [sys.executable, "-c", _CHILD, str(file)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", cwd=folder)
        if done.returncode:
            lines = done.stderr.split("\n") if done.stderr.strip() else [f"its process ended with {done.returncode}"]
            raise ModelError(next(line.strip() for line in reversed(lines) if line.strip()))
        footprint: Footprint = pickle.loads(file.read_bytes())  # noqa: S301  of the process above
        return footprint


def measure_here(engine: BenchEngine, streams: int) -> Footprint:
    """Does what `measure_footprint` does in this process, which should have loaded nothing before."""
    streams = min(streams, engine.max_streams)
    before = resident_bytes()
    opened = engine.make()
    opened.open()
    _run(opened, engine)
    with_first = resident_bytes()
    for _ in range(streams):
        opened.open()
    _run(opened, engine)
    with_all = resident_bytes()
    first_mb = next_mb = None
    if before is not None and with_first is not None and with_all is not None:
        first_mb, next_mb = (with_first - before) / 1e6, (with_all - with_first) / streams / 1e6
    if engine.latency_ms is not None:
        return Footprint(first_mb, next_mb, engine.latency_ms, latency_is_measured=False)
    fresh = engine.make()
    fresh.open()
    latency_ms = measured_latency_ms(fresh.process, engine.sample_rate, engine.hop_length)
    return Footprint(first_mb, next_mb, latency_ms, latency_is_measured=True)


def _run(opened: Streams, engine: BenchEngine) -> None:
    """Runs all streams for a while, so that memory allocated on first use counts."""
    chunk = noise_bursts(engine.sample_rate, engine.hop_length / engine.sample_rate)
    for _ in range(round(_WARM_UP_S * engine.sample_rate / engine.hop_length)):
        opened.process(chunk)
