"""Many streams: time per hop in a pool and one by one, and what one more stream costs, beside sherpa-onnx.

    python benchmarks/pool.py --json pool.json

A time per hop is the time of a round, one chunk for every stream, divided by the hops of audio in it. Pool and single
enhancers take turns. The cost of a stream is measured in a fresh process each: the time to open it, and what the
process has grown by once all streams have run, 256 in a call (Linux only). A pool has run 256 streams before, so that
working memory, which depends on the streams in a call and not on all there are, is in place; sherpa-onnx one denoiser.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from _common import Value, environment, median_and_p95, shared_default, table, write_json
from speed import SHERPA, Samples, noise_bursts

from gtcrn_frontend import Enhancer
from gtcrn_frontend.pool import StreamPool
from gtcrn_frontend.spec import GTCRN_SPEC

RATE, HOP = GTCRN_SPEC.sample_rate, GTCRN_SPEC.hop_length
STREAMS_PER_CALL = 256
STATM = Path("/proc/self/statm")

Round = Callable[[Samples], object]


def pool_round(model: str, streams: int, num_threads: int) -> Round:
    pool = StreamPool(model, "onnx", num_threads=num_threads)
    ids = [pool.open() for _ in range(streams)]
    return lambda chunk: pool.process(dict.fromkeys(ids, chunk))


def single_round(model: str, streams: int) -> Round:
    enhancers = [Enhancer(model, "onnx") for _ in range(streams)]
    return lambda chunk: [enhancer.process_chunk(chunk) for enhancer in enhancers]


def measure_speed(args: argparse.Namespace) -> list[dict[str, Value]]:
    second = noise_bursts(RATE, 1)
    rows: list[dict[str, Value]] = []
    for streams in args.streams:
        contenders = {
            "one by one": single_round(args.model, streams),
            "pool": pool_round(args.model, streams, 1),
            f"pool, {args.threads} threads": pool_round(args.model, streams, args.threads),
        }
        for chunk_ms in args.chunk_ms:
            length = RATE * chunk_ms // 1000
            hops = streams * length / HOP
            rounds = max(6, int(args.hops / hops))
            times: dict[str, list[float]] = {name: [] for name in contenders}
            for i in range(rounds + 2):
                start = i * length % (len(second) - length + 1)
                for name, process in contenders.items():
                    begin = time.perf_counter()
                    process(second[start : start + length])
                    times[name].append(time.perf_counter() - begin)
            per_hop_us = {name: np.array(values[2:]) * 1e6 / hops for name, values in times.items()}
            for name, values in per_hop_us.items():
                median, p95 = median_and_p95(values)
                rows.append(
                    {
                        "streams": streams,
                        "chunk ms": chunk_ms,
                        "how": name,
                        "us/hop median": median,
                        "us/hop p95": p95,
                        "rounds": rounds,
                        "times faster": float(np.median(per_hop_us["one by one"])) / median,
                    }
                )
    return rows


def resident_bytes() -> int | None:
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if STATM.is_file() else None


def grown_mb_per_stream(before: int | None, streams: int) -> float | None:
    after = resident_bytes()
    return None if before is None or after is None else (after - before) / streams / 1e6


def pool_cost(model: str, sample_rate: int, streams: int) -> dict[str, Value]:
    pool = StreamPool(model, "onnx")
    chunk = noise_bursts(sample_rate, 1)[: sample_rate // 10]
    first = [pool.open(sample_rate=sample_rate) for _ in range(STREAMS_PER_CALL)]
    for _ in range(3):
        pool.process(dict.fromkeys(first, chunk))
    before = resident_bytes()
    ids, times_ms = [], []
    for _ in range(streams):
        begin = time.perf_counter()
        ids.append(pool.open(sample_rate=sample_rate))
        times_ms.append((time.perf_counter() - begin) * 1e3)
    for _ in range(3):
        for i in range(0, streams, STREAMS_PER_CALL):
            pool.process(dict.fromkeys(ids[i : i + STREAMS_PER_CALL], chunk))
    grown_mb = grown_mb_per_stream(before, streams)
    arrays_mb = sum(array.nbytes for array in pool.get_state(ids[0]).arrays.values()) / 1e6
    return cost(f"pool, {sample_rate} Hz", streams, times_ms, grown_mb, arrays_mb)


def sherpa_cost(model: Path, streams: int) -> dict[str, Value]:
    from export import denoiser, with_metadata  # these packages are optional here

    chunk = noise_bursts(RATE, 1)[: RATE // 10].tolist()
    denoisers, times_ms = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = with_metadata(model, Path(folder) / "gtcrn.onnx")
        denoisers.append(denoiser(path, online=True))
        denoisers[0].run(chunk, RATE)
        before = resident_bytes()
        for _ in range(streams):
            begin = time.perf_counter()
            denoisers.append(denoiser(path, online=True))
            times_ms.append((time.perf_counter() - begin) * 1e3)
    for each in denoisers:
        each.run(chunk, RATE)
    return cost(f"{SHERPA} OnlineSpeechDenoiser", streams, times_ms, grown_mb_per_stream(before, streams), None)


def cost(
    who: str, streams: int, times_ms: list[float], grown_mb: float | None, arrays_mb: float | None
) -> dict[str, Value]:
    median, p95 = median_and_p95(times_ms)
    return {
        "one more stream of": who,
        "streams": streams,
        "ms to open, median": median,
        "ms to open, p95": p95,
        "MB in the process": grown_mb,
        "MB of arrays": arrays_mb,
    }


def measure_cost(args: argparse.Namespace) -> list[dict[str, Value]]:
    spawn = multiprocessing.get_context("spawn")
    # A process for each measurement: what one has freed, the next would take up without growing.
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn, max_tasks_per_child=1) as fresh:
        rows = [fresh.submit(pool_cost, args.model, rate, args.open).result() for rate in (RATE, 48_000)]
        if args.sherpa_model is None:
            print("sherpa-onnx is left out: name its model with --sherpa-model")
            return rows
        try:
            rows.append(fresh.submit(sherpa_cost, args.sherpa_model, args.open_sherpa).result())
        except ImportError as error:
            print(f"sherpa-onnx is left out: {error}; pip install onnx sherpa-onnx")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model",
        default=str(shared_default("reference/gtcrn/model_trained_on_dns3_stream.tar") or "gtcrn-asr"),
        help="name or path, for the pool (default: the weights inside sherpa-onnx's model)",
    )
    parser.add_argument(
        "--sherpa-model",
        type=Path,
        default=shared_default("reference/gtcrn/gtcrn_simple.onnx"),
        help="gtcrn_simple.onnx, as released or as sherpa-onnx distributes it (default: the one in ../shared)",
    )
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 16, 256], help="(default: 1 16 256)")
    parser.add_argument("--chunk-ms", type=int, nargs="+", default=[16, 100], help="(default: 16 100)")
    parser.add_argument("--hops", type=int, default=3000, help="hops for each contender, about (default: 3000)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the second pool (default: all cores)")
    parser.add_argument("--open", type=int, default=2000, help="streams opened to weigh one (default: 2000)")
    parser.add_argument("--open-sherpa", type=int, default=20, help="the same for sherpa-onnx (default: 20)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()

    machine = environment()
    for name, value in machine.items():
        print(f"{name}: {value}")
    print()
    speed_rows = measure_speed(args)
    print(table(speed_rows, {"us/hop median": 1, "us/hop p95": 1, "times faster": 2}), end="\n\n")
    cost_rows = measure_cost(args)
    digits = {"ms to open, median": 3, "ms to open, p95": 3, "MB in the process": 3, "MB of arrays": 3}
    print(table(cost_rows, digits))
    if args.json:
        settings = {name: value if isinstance(value, int | list) else str(value) for name, value in vars(args).items()}
        write_json(args.json, {"environment": machine, "settings": settings, "speed": speed_rows, "cost": cost_rows})


if __name__ == "__main__":
    main()
