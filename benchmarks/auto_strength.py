"""Cost of strength auto per hop, beside the same stream at a fixed strength, in one run.

    python benchmarks/auto_strength.py
    python benchmarks/auto_strength.py --engine onnx --hops 1 4 62

The streams take turns of about a millisecond. The table gives medians and 5th percentiles over rounds, and the
difference between `strength="auto"` and a fixed strength.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np

from gtcrn_frontend import Enhancer
from gtcrn_frontend.evaluation.environment import environment
from gtcrn_frontend.evaluation.report.tables import Value, markdown_table

ROUNDS = 200
HOPS_PER_ROUND = 62
STRENGTHS = {"strength 1": 1.0, "strength 0.5": 0.5, "auto": "auto"}


def measure(engine: str, model: str, hops_per_chunk: int) -> dict[str, Value]:
    """Returns microseconds per hop at each strength."""
    enhancers = {name: Enhancer(model, engine, strength=strength) for name, strength in STRENGTHS.items()}
    rng = np.random.default_rng(0)
    hop_length = next(iter(enhancers.values())).hop_length
    chunk = rng.normal(0, 0.05, hops_per_chunk * hop_length).astype(np.float32)
    chunks = HOPS_PER_ROUND // hops_per_chunk
    times_us: dict[str, list[float]] = {name: [] for name in enhancers}
    for number in range(ROUNDS + 5):
        for name, enhancer in enhancers.items():
            began = time.perf_counter_ns()
            for _ in range(chunks):
                enhancer.process_chunk(chunk)
            elapsed_us = (time.perf_counter_ns() - began) / 1000
            if number >= 5:  # warm
                times_us[name].append(elapsed_us / (chunks * hops_per_chunk))
    row: dict[str, Value] = {"hops per chunk": hops_per_chunk}
    for percentile, label in ((5, "p5"), (50, "median")):
        values = {name: float(np.percentile(times, percentile)) for name, times in times_us.items()}
        row |= {f"{name} {label} (us)": value for name, value in values.items()}
        row[f"difference {label} (us)"] = values["auto"] - values["strength 0.5"]
    return row


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gtcrn-asr", help="name or path (default: %(default)s)")
    parser.add_argument("--engine", default="native", help="(default: %(default)s)")
    parser.add_argument("--hops", nargs="+", type=int, default=[1, 4, 62], help="hops per chunk (default: 1 4 62)")
    args = parser.parse_args(arguments)
    rows = [measure(args.engine, args.model, hops) for hops in args.hops]
    digits = {name: 2 for name in rows[0] if name.endswith("(us)")}
    print(f"{environment()}\n\n{markdown_table(rows, digits)}")


if __name__ == "__main__":
    main()
