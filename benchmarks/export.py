"""An export in the layout sherpa-onnx beside the file that sherpa-onnx distributes, with the same weights.

    python benchmarks/export.py --json export.json

Both run in sherpa-onnx's own OnlineSpeechDenoiser and OfflineSpeechDenoiser, and alone in ONNX Runtime, frame by frame.
They take turns, a second of audio and one thread each. sherpa-onnx also computes a Fourier transform and converts the
samples of each hop, for both files alike. Agreement is that of the output with this package's own engine, on audio with
silence around it: OfflineSpeechDenoiser pads the ends by reflection, this package with zeros.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import sherpa_onnx
from _common import shared_default

from gtcrn_frontend import Enhancer
from gtcrn_frontend.adapters.sherpa.denoiser import online_denoiser, with_metadata
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.evaluation.bench.speed import Process, interleaved_times_s, median_and_p95, noise_bursts
from gtcrn_frontend.evaluation.environment import environment
from gtcrn_frontend.evaluation.report.tables import Value, markdown_table, write_json
from gtcrn_frontend.export import export_model
from gtcrn_frontend.model_spec import GTCRN_SPEC

RATE, HOP = GTCRN_SPEC.sample_rate, GTCRN_SPEC.hop_length
RELEASED, EXPORTED = "released", "export"


def denoiser(model: Path, *, online: bool) -> Any:
    if online:
        return online_denoiser(model)
    gtcrn = sherpa_onnx.OfflineSpeechDenoiserGtcrnModelConfig(str(model))
    model_config = sherpa_onnx.OfflineSpeechDenoiserModelConfig(gtcrn=gtcrn, num_threads=1)
    return sherpa_onnx.OfflineSpeechDenoiser(sherpa_onnx.OfflineSpeechDenoiserConfig(model=model_config))


def in_sherpa(model: Path, *, online: bool) -> Process:
    runner = denoiser(model, online=online)
    # Faster with a list than with an array, conversion included; reading the samples is part of the work.
    return lambda chunk: runner.run(chunk.tolist(), RATE).samples


def in_onnx_runtime(model: Path) -> Process:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feeds = {value.name: np.zeros(value.shape, np.float32) for value in session.get_inputs()}
    spectrum = np.random.default_rng(2).standard_normal(feeds["mix"].shape, np.float32)

    def run(chunk: F32) -> None:
        caches = feeds
        for _ in range(len(chunk) // HOP):
            _, conv, tra, inter = session.run(None, {**caches, "mix": spectrum})
            caches = {"conv_cache": conv, "tra_cache": tra, "inter_cache": inter}

    return run


def agreement_db(model: str, exported: Path, strength: float, *, online: bool) -> float:
    """Returns how well sherpa-onnx's output with the export agrees with our own engine's."""
    silence = np.zeros(4 * HOP, np.float32)
    samples = np.concatenate([silence, noise_bursts(RATE, 5), silence])
    expected = Enhancer(model, strength=strength).enhance(samples)
    runner = denoiser(exported, online=online)
    got = np.array(runner.run(samples, RATE).samples)
    if online:
        got = np.concatenate([got, runner.flush().samples])
    expected = expected[: len(got)]
    return float(10 * np.log10(np.sum(expected**2) / np.sum((expected - got) ** 2)))


def measure(args: argparse.Namespace, folder: Path) -> list[dict[str, Value]]:
    exported = folder / "exported.onnx"
    export_model(args.model, exported, "sherpa-onnx", strength=args.strength)
    files = {RELEASED: with_metadata(args.released, folder / "released.onnx"), EXPORTED: exported}
    second = noise_bursts(RATE, 1)
    whole_hops = second[: len(second) // HOP * HOP]
    agreement = {
        "OnlineSpeechDenoiser": agreement_db(args.model, exported, args.strength, online=True),
        "OfflineSpeechDenoiser": agreement_db(args.model, exported, args.strength, online=False),
    }
    runners: dict[str, tuple[dict[str, Process], list[F32]]] = {
        "OnlineSpeechDenoiser": (
            {name: in_sherpa(file, online=True) for name, file in files.items()},
            list(whole_hops.reshape(-1, HOP)),
        ),
        "OfflineSpeechDenoiser": (
            {name: in_sherpa(file, online=False) for name, file in files.items()},
            [whole_hops],
        ),
        "ONNX Runtime": ({name: in_onnx_runtime(file) for name, file in files.items()}, [whole_hops]),
    }
    rows: list[dict[str, Value]] = []
    for runner, (processes, chunks) in runners.items():
        inputs = dict.fromkeys(processes, chunks)
        interleaved_times_s(processes, inputs, args.warm_up)
        times = interleaved_times_s(processes, inputs, args.rounds)
        per_hop_us = {name: np.array(values) * 1e6 * HOP / len(chunks[0]) for name, values in times.items()}
        for name, values in per_hop_us.items():
            median, p95 = median_and_p95(values)
            rows.append(
                {
                    "runs in": runner,
                    "file": name,
                    "nodes": len(onnx.load(files[name]).graph.node),
                    "us/hop median": median,
                    "us/hop p95": p95,
                    "RTF": median * 1e-6 * RATE / HOP,
                    "times faster": float(np.median(per_hop_us[RELEASED])) / median,
                    "agreement dB": agreement.get(runner) if name == EXPORTED else None,
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model",
        default=str(shared_default("reference/gtcrn/model_trained_on_dns3_stream.tar") or "gtcrn-dns3-stream"),
        help="name or path of what is exported (default: the weights inside of the released file)",
    )
    parser.add_argument(
        "--released",
        type=Path,
        default=shared_default("reference/gtcrn/gtcrn_simple.onnx"),
        help="gtcrn_simple.onnx, as released or as sherpa-onnx distributes it (default: the one in ../shared)",
    )
    parser.add_argument("--strength", type=float, default=1.0, help="of the export (default: 1)")
    parser.add_argument("--rounds", type=int, default=30, help="seconds of audio for each (default: 30)")
    parser.add_argument("--warm-up", type=int, default=3, help="seconds of audio before them (default: 3)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()
    if args.released is None:
        parser.error("name gtcrn_simple.onnx with --released")

    machine = environment()
    for name, value in machine.items():
        print(f"{name}: {value}")
    print(f"threads: 1 each; warm-up: {args.warm_up} s, then {args.rounds} s of audio for each, taking turns\n")
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(args, Path(folder))
    print(markdown_table(rows, {"us/hop median": 1, "us/hop p95": 1, "RTF": 5, "times faster": 2, "agreement dB": 1}))
    if args.json:
        settings = {"model": args.model, "strength": args.strength, "threads": 1}
        settings |= {"warm_up_s": args.warm_up, "rounds_s": args.rounds}
        write_json(args.json, {"environment": machine, "settings": settings, "results": rows})


if __name__ == "__main__":
    main()
