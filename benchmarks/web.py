"""Size of the browser package, and its speed in Node and Chromium beside the native engine.

    python adapters/web/build.py
    python benchmarks/web.py

Needs Node, Chromium and the package playwright; what is absent is left out. One stream at 16 kHz and full strength, one
thread. All take turns in every round and the best time counts, as other processes only make a call slower. The
AudioWorklet's time is that of a whole OfflineAudioContext at 48 kHz, resampling and the browser's own work included.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, sync_playwright

from gtcrn_frontend import AutoStrengthConfig
from gtcrn_frontend.evaluation.bench.speed import noise_bursts
from gtcrn_frontend.evaluation.environment import environment
from gtcrn_frontend.evaluation.report.tables import markdown_table
from gtcrn_frontend.native.binding import instruction_sets
from gtcrn_frontend.native.enhancer import NativeEnhancer
from gtcrn_frontend.native.model import NativeModel

DIST = Path(__file__).resolve().parents[1] / "adapters/web/dist"
PUBLISHED = """Published by others, not measured here:
sherpa-onnx's upload page: about 10 MB of runtime; fastenhancer-web: 124 KB, 0.45 ms for 10.7 ms of audio (0.042 of real
time)"""
HOP, HOPS, CALLS, REPEATS = 256, 16, 8, 40  # samples; hops of a call; calls that are timed together; and how often

ENGINE = f"""async (web) => {{
  const {{ engine }} = await web.loadModel();
  const stream = engine.c.web_open(engine.model, 16000, 1);
  const [input, output] = [0, 0].map(() => engine.c.web_allocate({4 * HOP * HOPS}));
  const noise = Float32Array.from({{ length: {HOP * HOPS} }}, () => 0.1 * Math.random());
  new Float32Array(engine.c.memory.buffer, input).set(noise);
  let best = Infinity;
  for (let repeat = 0; repeat < {REPEATS}; repeat++) {{
    const start = performance.now();
    for (let call = 0; call < {CALLS}; call++)
      engine.c.web_push(stream, input, {HOP * HOPS}, output, {HOP * HOPS});
    best = Math.min(best, performance.now() - start);
  }}
  engine.c.web_close(stream);
  return (1000 * best) / {HOPS * CALLS};
}}"""

WORKLET = """async () => {
  const web = await import("./gtcrn.js");
  const seconds = 10;
  const context = new OfflineAudioContext(1, 48000 * seconds, 48000);
  const { node } = await web.createDenoiserNode(context, { strength: 1, maxLoad: 1e9 });
  const buffer = new AudioBuffer({ length: 48000 * seconds, sampleRate: 48000 });
  buffer.copyToChannel(Float32Array.from({ length: 48000 * seconds }, () => 0.1 * Math.random()), 0);
  const source = new AudioBufferSourceNode(context, { buffer });
  source.connect(node).connect(context.destination);
  source.start();
  const start = performance.now();
  await context.startRendering();
  return (1000 * (performance.now() - start)) / (seconds / 0.016);
}"""


def native(isa: str) -> Callable[[], float]:
    """Returns a function that times one instruction set, in microseconds per hop."""
    auto_strength = asdict(AutoStrengthConfig())
    settings = {"sample_rate": 16_000, "output_sample_rate": 16_000, "channels": 1, "downmix": 0, "bypass": 0}
    model = NativeModel((DIST / "weights.bin").read_bytes(), isa)
    enhancer = NativeEnhancer(model, {**settings, "strength": 1.0, "auto_strength": auto_strength})
    chunk = noise_bursts(16_000, HOP * HOPS / 16_000)

    def timed() -> float:
        times = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            for _ in range(CALLS):
                enhancer.push(chunk)
            times.append(time.perf_counter() - start)
        return 1e6 * min(times) / (HOPS * CALLS)

    return timed


def node(program: str) -> Callable[[], float]:
    """Returns a function that times the engine in a process of Node."""
    script = (
        f"const web = await import({json.dumps((DIST / 'gtcrn.js').as_uri())}); console.log(await ({ENGINE})(web));"
    )
    command = [program, "--input-type=module", "--eval", script]
    return lambda: float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@contextmanager
def chromium(program: str) -> Iterator[Page]:
    """Opens a page with the package in Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        address = "http://localhost/"  # answered here, without a server
        page.route(address, lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
        page.route(address + "gtcrn.js", lambda route: route.fulfill(path=DIST / "gtcrn.js"))
        page.goto(address)
        yield page
        browser.close()


def best_of(calls: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(call())
    return {name: float(np.min(values)) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default: 5)")
    args = parser.parse_args()
    if not (DIST / "gtcrn.js").exists():
        parser.error("expected the built package: run python adapters/web/build.py first")
    for name, value in environment().items():
        print(f"{name}: {value}")
    content = (DIST / "gtcrn.js").read_bytes()
    print(f"gtcrn.js: {len(content):,} bytes, {len(gzip.compress(content, 9)):,} with gzip\n")

    calls = {f"native, {isa}": native(isa) for isa in instruction_sets()}
    if program := shutil.which("node"):
        calls["WebAssembly in Node"] = node(program)
    if program := shutil.which("chromium"):
        with chromium(program) as page:
            calls["WebAssembly in Chromium"] = lambda: page.evaluate(
                f"async () => ({ENGINE})(await import('./gtcrn.js'))"
            )
            calls["AudioWorklet in Chromium, 48 kHz"] = lambda: page.evaluate(WORKLET)
            times = best_of(calls, args.rounds)
    else:
        times = best_of(calls, args.rounds)
    rows = [{"what": name, "us per hop": us, "of real time": us / 16_000} for name, us in times.items()]
    print(markdown_table(rows, {"us per hop": 1, "of real time": 4}), PUBLISHED, sep="\n\n")


if __name__ == "__main__":
    main()
