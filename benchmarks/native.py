"""Speed of the native engine on every instruction set of this machine, and of the layers above it.

    python benchmarks/native.py --json native.json

The arithmetic limit is the time of the network's multiply-accumulates per hop (0.53 million of GTCRN, 0.54 of UL-UNAS)
at the measured SGEMM peak of one core. Functions take turns; minimum and 5th percentile are given beside the median, as
other processes only make a call slower.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # before numpy reads them

import numpy as np

from gtcrn_frontend import Enhancer, EnhancerConfig, StreamPool
from gtcrn_frontend.engines import loading
from gtcrn_frontend.engines.loading import load
from gtcrn_frontend.engines.native import NativeEngine
from gtcrn_frontend.evaluation.bench.speed import noise_bursts
from gtcrn_frontend.evaluation.environment import environment
from gtcrn_frontend.evaluation.report.tables import Value, markdown_table, write_json
from gtcrn_frontend.model_spec import GTCRN_SPEC
from gtcrn_frontend.native.binding import ISA_VARIABLE, instruction_sets
from gtcrn_frontend.native.enhancer import NativeBatch
from gtcrn_frontend.nets.complexity import network_complexity
from gtcrn_frontend.streaming.native_backend import NativeBackend
from gtcrn_frontend.streaming.stream_parameters import StreamParameters

HOP, RATE = GTCRN_SPEC.hop_length, GTCRN_SPEC.sample_rate
DIGITS = {"us/hop best": 2, "us/hop p5": 2, "us/hop median": 2, "of the limit": 2, "streams per core": 0}

Row = dict[str, Value]


def sgemm_peak_flops(rounds: int = 200, size: int = 512) -> float:
    """Returns floating-point operations per second of one core in a product of matrices, the best of some rounds."""
    a = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
    out = np.empty_like(a)
    return 2 * size**3 / min(seconds(lambda: np.dot(a, a, out=out)) for _ in range(rounds))


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def interleaved_us(calls: dict[str, Callable[[], object]], hops_per_call: int, rounds: int) -> dict[str, np.ndarray]:
    """Returns microseconds per hop of each call; all calls take turns in every round."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(seconds(call) * 1e6 / hops_per_call)
    return {name: np.array(values[rounds // 10 :]) for name, values in times.items()}


def rows(times: dict[str, np.ndarray], limit_us: float) -> list[Row]:
    return [
        {
            "what": name,
            "us/hop best": values.min(),
            "us/hop p5": np.percentile(values, 5),
            "us/hop median": np.median(values),
            "of the limit": np.percentile(values, 5) / limit_us,
            "streams per core": 1e6 * HOP / RATE / np.percentile(values, 5),
        }
        for name, values in times.items()
    ]


def kernel_call(engine: NativeEngine, hops: np.ndarray) -> Callable[[], object]:
    """Returns a call of the C kernel alone, always on the same hops."""
    return engine.weights.prepared(hops, engine.new_state())


def kernels(model: str, rounds: int) -> dict[str, np.ndarray]:
    """The C kernel alone, on noise bursts and on silence, 16 hops a call."""
    hops = noise_bursts(RATE, 0.256).reshape(-1, HOP)
    calls: dict[str, Callable[[], object]] = {}
    for isa in instruction_sets():
        engine = forced(model, isa)
        calls[f"kernel {isa}"] = kernel_call(engine, hops)
        calls[f"kernel {isa}, silence"] = kernel_call(engine, np.zeros_like(hops))
    for name, call in calls.items():
        if name.endswith("silence"):  # until all caches are as after ten minutes of it
            for _ in range(37500 // len(hops)):
                call()
    return interleaved_us(calls, len(hops), rounds)


def forced(model: str, isa: str) -> NativeEngine:
    with forced_isa(isa):
        return NativeEngine(load(model).model)


@contextmanager
def forced_isa(isa: str) -> Iterator[None]:
    before = os.environ.get(ISA_VARIABLE)
    os.environ[ISA_VARIABLE] = isa
    try:
        yield
    finally:
        del os.environ[ISA_VARIABLE]
        if before is not None:
            os.environ[ISA_VARIABLE] = before


def enhancers(model: str, rounds: int) -> Iterator[tuple[str, np.ndarray]]:
    """`Enhancer` on each instruction set of at least AVX2, in chunks of one hop and of 100 ms."""
    isas = [isa for isa in instruction_sets() if isa != "x86-64-v2"]
    for chunk_ms in (16, 100):
        chunk = noise_bursts(RATE, chunk_ms / 1000)
        calls: dict[str, Callable[[], object]] = {}
        for isa in isas:
            with forced_isa(isa):
                loading._loaded.clear()  # equal requests would share the engine of another instruction set
                enhancer = Enhancer(model, "native", strength=1.0)
            calls[f"Enhancer.process_chunk, {isa}, {chunk_ms} ms"] = lambda e=enhancer, c=chunk: e.process_chunk(c)
        for name, times in interleaved_us(calls, 1, rounds).items():
            yield name, times * HOP / len(chunk)
    loading._loaded.clear()


def around(model: str, rounds: int) -> dict[str, np.ndarray]:
    """The fastest kernel called from Python, one hop a call: cost of the layers above it."""
    engine = NativeEngine(load(model).model)
    hop = noise_bursts(RATE, 0.016)
    state, enhancer = engine.new_state(), Enhancer(model, "native", strength=1.0)
    calls = {
        "kernel, 1 hop a call": kernel_call(engine, hop[None]),
        "engine.process": lambda: engine.process(hop[None], state),
        "Enhancer.process_chunk": lambda: enhancer.process_chunk(hop),
    }
    for rate in (8_000, 48_000):
        resampled, chunk = Enhancer(model, "native", sample_rate=rate, strength=1.0), noise_bursts(rate, 0.016)
        calls[f"Enhancer.process_chunk, {rate // 1000} kHz"] = lambda e=resampled, c=chunk: e.process_chunk(c)
    return interleaved_us(calls, 1, rounds)


def round_robin(model: str, streams: int, rounds: int) -> dict[str, np.ndarray]:
    """One hop of each of many streams: every state is in a cold cache."""
    hop = noise_bursts(RATE, 0.016)
    calls: dict[str, Callable[[], object]] = {}
    for threads in (1, 2):
        engine = NativeEngine(load(model).model, threads)
        jobs = [(hop[None], engine.new_state()) for _ in range(streams)]
        calls[f"process_many, {streams} streams, {threads} threads"] = lambda e=engine, j=jobs: e.process_many(j)
        parameters = StreamParameters.of(EnhancerConfig(), engine.spec)
        backends = [NativeBackend(engine, parameters, 1.0, bypass=False) for _ in range(streams)]
        batch = NativeBatch([backend.enhancer for backend in backends], threads)
        samples, counts = np.tile(hop, streams), [HOP] * streams
        calls[f"C alone, {streams} streams, {threads} threads"] = lambda b=batch, s=samples, c=counts: b.push(s, c)
        for strength in (1.0, 0.5, "auto"):
            pool = StreamPool(model, "native", num_threads=threads)
            chunks = {pool.open(strength=strength): hop for _ in range(streams)}
            at = "" if strength == 1.0 else f", strength {strength}"
            calls[f"StreamPool, {streams} streams{at}, {threads} threads"] = lambda p=pool, c=chunks: p.process(c)
    return interleaved_us(calls, streams, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gtcrn-asr", help="name or path (default: gtcrn-asr)")
    parser.add_argument("--rounds", type=int, default=2000, help="calls of each function (default: 2000)")
    parser.add_argument("--streams", type=int, default=1000, help="concurrent streams (default: 1000)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()

    machine = environment()
    for name, value in machine.items():
        print(f"{name}: {value}")
    peak = sgemm_peak_flops()
    operations = 2 * network_complexity(load(args.model).engine.spec.name).operations_per_s * HOP / RATE
    limit_us = 1e6 * operations / peak
    print(f"SGEMM peak of one core: {peak / 1e9:.0f} GFLOP/s; arithmetic limit: {limit_us:.1f} us per hop\n")
    table = rows(kernels(args.model, args.rounds // 4), limit_us)
    table += rows(dict(enhancers(args.model, args.rounds)), limit_us)
    table += rows(around(args.model, args.rounds), limit_us)
    table += rows(round_robin(args.model, args.streams, max(10, args.rounds // 50)), limit_us)
    print(markdown_table(table, DIGITS))
    if args.json:
        write_json(args.json, {"environment": machine, "peak_flops": peak, "limit_us": limit_us, "results": table})


if __name__ == "__main__":
    main()
