"""Cost and accuracy of segment mode by latency: FRCRN and WaveCRN in a stream.

    python benchmarks/overlap_add.py --json segments.json                         # random weights: about five minutes
    python benchmarks/overlap_add.py --model frcrn.onnx --latency-ms 2000 4000    # yours

Each call passes as many samples as advance the network by one segment; calls before the first full segment are not
counted. Times are processor time of this process. Agreement is that of the stream with `Enhancer.enhance`, which runs
the network on segments of 5.8 s: the difference is due to the shorter context. Random weights say little about trained
ones.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from gtcrn_frontend import Enhancer
from gtcrn_frontend.audio.io import open_audio
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.evaluation.environment import environment
from gtcrn_frontend.evaluation.report.tables import Value, markdown_table, write_json
from gtcrn_frontend.export import export_model
from gtcrn_frontend.nets import new_net
from gtcrn_frontend.training.checkpoint import save_weights

AUDIO = Path(__file__).resolve().parents[1] / "examples" / "noisy.flac"
SEED = 6


def random_models(folder: Path) -> list[Path]:
    """Returns WaveCRN's checkpoint and FRCRN's graph with initial weights."""
    paths = []
    for network in ("wavecrn", "frcrn"):
        torch.manual_seed(SEED)
        paths.append(folder / f"{network}.safetensors")
        save_weights(paths[-1], new_net(network).eval(), {})
    graph = folder / "frcrn.onnx"
    export_model(paths.pop(), graph, "onnx")
    return [*paths, graph]


def signal(path: Path, seconds: float) -> F32:
    """Returns the file, repeated to that duration."""
    with open_audio(path) as audio:
        samples = audio.read(dtype="float32")
        return np.resize(samples, int(seconds * audio.samplerate))


def streamed(enhancer: Enhancer, samples: F32) -> tuple[F32, list[float]]:
    """Returns the enhanced signal, and the processor time in seconds of each call that runs the network."""
    segments = enhancer.spec.segments
    if segments is None:
        raise SystemExit(f"expected a network that runs in segments, got {enhancer.spec.name}")
    pieces, times_s = [], []
    for start in range(0, len(samples), segments.advance):
        began_s = time.process_time()
        pieces.append(enhancer.process_chunk(samples[start : start + segments.advance]))
        if segments.length <= start + segments.advance <= len(samples):
            times_s.append(time.process_time() - began_s)
    return np.concatenate([*pieces, enhancer.flush()]), times_s


def measure(model: Path, latencies_ms: list[int], samples: F32) -> list[dict[str, Value]]:
    whole = Enhancer(model, strength=1.0).enhance(samples)
    rows: list[dict[str, Value]] = []
    for latency_ms in latencies_ms:
        enhancer = Enhancer(model, segment_latency_ms=latency_ms, strength=1.0)
        segments, rate = enhancer.spec.segments, enhancer.spec.sample_rate
        enhanced, times_s = streamed(enhancer, samples)
        if segments is None or not times_s:
            raise SystemExit(f"expected --seconds above a segment of {latency_ms} ms of latency: give more")
        call_s, difference = float(np.median(times_s)), float(np.sum((enhanced - whole) ** 2))
        rows.append(
            {
                "network": f"{enhancer.spec.name}, {enhancer.engine}",
                "latency ms": enhancer.latency_ms,
                "segment s": segments.length / rate,
                "of them new s": segments.advance / rate,
                "runs of each sample": segments.length / segments.advance,
                "RTF": call_s * rate / segments.advance,
                "one run s": call_s,
                "agreement dB": 10 * np.log10(float(np.sum(whole**2)) / difference) if difference else None,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, nargs="+", help="checkpoints or graphs (default: random weights)")
    parser.add_argument("--latency-ms", type=int, nargs="+", default=[500, 1000, 2000, 4000], help="of the streams")
    parser.add_argument("--audio", type=Path, default=AUDIO, help="16 kHz, mono (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=16.0, help="of audio (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()

    torch.set_num_threads(1)
    machine = environment()
    for name, value in machine.items():
        print(f"{name}: {value}")
    print("threads: 1\n")
    samples = signal(args.audio, args.seconds)
    with tempfile.TemporaryDirectory() as folder:
        models = args.model or random_models(Path(folder))
        rows = [row for model in models for row in measure(model, args.latency_ms, samples)]
    digits = {"latency ms": 0, "segment s": 2, "of them new s": 2, "runs of each sample": 1}
    print(markdown_table(rows, digits | {"RTF": 2, "one run s": 2, "agreement dB": 0}))
    if args.json:
        settings = {"latency_ms": args.latency_ms, "seconds": args.seconds, "seed": SEED, "threads": 1}
        write_json(args.json, {"environment": machine, "settings": settings, "results": rows})


if __name__ == "__main__":
    main()
