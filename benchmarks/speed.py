"""Time per hop and RTF of every engine beside sherpa-onnx's streaming denoiser with the same weights, in one run.

    python benchmarks/speed.py --json speed.json

Contenders take turns, a second of audio each, so that a change in the machine's speed meets all of them. One thread
each. A time per hop is the time of a call divided by the hops of audio in it, whatever happens inside; the ratio is
sherpa-onnx's median over the contender's.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _common import environment, median_and_p95, shared_default, table, write_json
from numpy.typing import NDArray

from gtcrn_frontend import Enhancer, ModelError
from gtcrn_frontend.engines.loading import ENGINES

SHERPA = "sherpa-onnx"
SHERPA_METADATA = {
    "model_type": "gtcrn",
    "version": "1",
    "sample_rate": "16000",
    "n_fft": "512",
    "hop_length": "256",
    "window_length": "512",
    "window_type": "hann_sqrt",
    "conv_cache_shape": "2,1,16,16,33",
    "tra_cache_shape": "2,3,1,1,16",
    "inter_cache_shape": "2,1,33,16",
    "model_url": "",
    "maintainer": "",
    "comment": "",
    "comment2": "",
}

Samples = NDArray[np.float32]
Process = Callable[[Samples], object]


def noise_bursts(sample_rate: int, seconds: int) -> Samples:
    """Returns noise in bursts: full work for every contender, no digital silence."""
    noise = np.random.default_rng(1).standard_normal(seconds * sample_rate)
    bursts = 0.02 + 0.1 * np.maximum(0, np.sin(2 * np.pi * 3 * np.arange(len(noise)) / sample_rate))
    return (noise * bursts).astype(np.float32)


def sherpa_denoiser(model: Path, sample_rate: int) -> Process:
    """Returns sherpa-onnx's `OnlineSpeechDenoiser`; metadata it needs are added to a copy where they are missing."""
    import onnx
    import sherpa_onnx

    graph = onnx.load(model)
    present = {entry.key for entry in graph.metadata_props}
    for key, value in SHERPA_METADATA.items():
        if key not in present:
            graph.metadata_props.add(key=key, value=value)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gtcrn.onnx"
        onnx.save(graph, path)
        gtcrn = sherpa_onnx.OfflineSpeechDenoiserGtcrnModelConfig(str(path))
        model_config = sherpa_onnx.OfflineSpeechDenoiserModelConfig(gtcrn=gtcrn, num_threads=1)
        config = sherpa_onnx.OnlineSpeechDenoiserConfig(model=model_config)
        if not config.validate():
            raise SystemExit(f"sherpa-onnx refuses {model}")
        denoiser = sherpa_onnx.OnlineSpeechDenoiser(config)
    # It takes a list faster than an array, conversion included; reading the samples is part of getting them.
    return lambda chunk: denoiser.run(chunk.tolist(), sample_rate).samples


def contenders(model: str, engines: list[str], sherpa_model: Path | None) -> tuple[dict[str, Process], int, int]:
    """Returns what is to be timed by name, the sample rate and the hop length."""
    found: dict[str, Process] = {}
    enhancer = None
    for engine in engines:
        try:
            enhancer = Enhancer(model=model, engine=engine, num_threads=1)
        except ModelError as error:
            print(f"{engine} is left out: {error}")
            continue
        found[engine] = enhancer.process_chunk
    if "torch" in found:
        import torch

        torch.set_num_threads(1)  # a setting of the process, not of a model
    if enhancer is None:
        raise SystemExit(f"no engine runs {model} here")
    if sherpa_model is None:
        print("sherpa-onnx is left out: name its model with --sherpa-model")
    else:
        try:
            found[SHERPA] = sherpa_denoiser(sherpa_model, enhancer.sample_rate)
        except ImportError as error:
            print(f"sherpa-onnx is left out: {error}; pip install onnx sherpa-onnx")
    return found, enhancer.sample_rate, enhancer.hop_length


def interleaved_times_s(processes: dict[str, Process], chunks: list[Samples], rounds: int) -> dict[str, list[float]]:
    """Returns the time of each call; in every round each contender gets all chunks, the next one starting the round."""
    times: dict[str, list[float]] = {name: [] for name in processes}
    order = list(processes)
    for _ in range(rounds):
        order = order[1:] + order[:1]
        for name in order:
            process = processes[name]
            for chunk in chunks:
                start = time.perf_counter()
                process(chunk)
                times[name].append(time.perf_counter() - start)
    return times


def measure(args: argparse.Namespace) -> list[dict[str, str | int | float | None]]:
    processes, sample_rate, hop_length = contenders(args.model, args.engine, args.sherpa_model)
    second = noise_bursts(sample_rate, 1)
    rows: list[dict[str, str | int | float | None]] = []
    for chunk_ms in args.chunk_ms:
        length = sample_rate * chunk_ms // 1000
        chunks = [second[i : i + length] for i in range(0, len(second) - length + 1, length)]
        interleaved_times_s(processes, chunks, args.warm_up)
        times = interleaved_times_s(processes, chunks, args.rounds)
        per_hop_us = {name: np.array(values) * 1e6 * hop_length / length for name, values in times.items()}
        for name, values in per_hop_us.items():
            median, p95 = median_and_p95(values)
            rows.append(
                {
                    "chunk ms": chunk_ms,
                    "engine": name,
                    "us/hop median": median,
                    "us/hop p95": p95,
                    "RTF": median * 1e-6 * sample_rate / hop_length,
                    "calls": len(values),
                    "times faster": float(np.median(per_hop_us[SHERPA])) / median if SHERPA in processes else None,
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model",
        default=str(shared_default("reference/gtcrn/model_trained_on_dns3_stream.tar") or "gtcrn-dns3-stream"),
        help="name or path, for our engines (default: the weights inside sherpa-onnx's model)",
    )
    parser.add_argument("--engine", nargs="+", choices=ENGINES, default=list(ENGINES), help="(default: all present)")
    parser.add_argument(
        "--sherpa-model",
        type=Path,
        default=shared_default("reference/gtcrn/gtcrn_simple.onnx"),
        help="gtcrn_simple.onnx, as released or as sherpa-onnx distributes it (default: the one in ../shared)",
    )
    parser.add_argument("--chunk-ms", type=int, nargs="+", default=[16, 100, 1000], help="(default: 16 100 1000)")
    parser.add_argument("--rounds", type=int, default=30, help="seconds of audio for each contender (default: 30)")
    parser.add_argument("--warm-up", type=int, default=3, help="seconds of audio before them (default: 3)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()

    machine = environment()
    for name, value in machine.items():
        print(f"{name}: {value}")
    print(f"threads: 1 each; warm-up: {args.warm_up} s, then {args.rounds} s of audio for each, taking turns\n")
    rows = measure(args)
    digits = {"us/hop median": 1, "us/hop p95": 1, "RTF": 5, "times faster": 2}
    print(table(rows, digits))
    if args.json:
        settings = {"model": args.model, "threads": 1, "warm_up_s": args.warm_up, "rounds_s": args.rounds}
        write_json(args.json, {"environment": machine, "settings": settings, "results": rows})


if __name__ == "__main__":
    main()
