"""Throughput of `enhance-corpus`: threads and Ray's workers beside `enhance --jobs 1`, a killed worker, flat memory.

    python benchmarks/corpora.py speed     # hours of audio per second, in turn, the best of --rounds
    python benchmarks/corpora.py shards    # the same files in tar shards
    python benchmarks/corpora.py kill      # a worker of Ray is killed in the middle of a file
    python benchmarks/corpora.py memory    # 10,000 items: memory of the process and of Ray's workers
    python benchmarks/corpora.py lhotse    # a manifest through a fresh process; cost of the transform per cut

Needs the extras [ray] and [lhotse]. The files are the example recording, repeated: 16 kHz, 16-bit FLAC of --seconds. A
run of Ray counts from its first finished block of items on: the seconds before it are the start-up, shown apart.
`h per CPU s` is the audio per second of processor time, of the workers only where Ray runs, which depends less on what
else the machine does. All runs write to the same disk; outputs are compared byte by byte with those of `enhance`.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from gtcrn_frontend.adapters.ray import ray_runner
from gtcrn_frontend.cli._batch import Existing, enhance_tasks
from gtcrn_frontend.cli._file_plan import plan
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.corpus import Outcome, Problem, Runner, enhance_corpus, local_runner
from gtcrn_frontend.evaluation.environment import environment
from gtcrn_frontend.evaluation.report.tables import Value, markdown_table

AUDIO = Path(__file__).resolve().parents[1] / "examples" / "noisy.flac"
RATE = 16000
Row = dict[str, Value]
RATES = ("h/s", "h per CPU s")
WORKER = b"ray::MapWorker(MapBatches(EnhanceItems))"


class Clock:
    """A `Progress` that takes the time from the start, or from the first finished block of items on."""

    def __init__(self, cpu: Callable[[], float] = time.process_time) -> None:
        self._cpu = cpu
        self._is_first_block = True
        self.done, self.first_audio_s, self.audio_s = 0, 0.0, 0.0

    def begin(self, count: int, problems: Sequence[Problem]) -> None:
        self.began_s = self.last_s = time.perf_counter()
        self.began_cpu_s = self._cpu()

    def update(self, outcome: Outcome) -> None:
        now_s = time.perf_counter()
        self.done += 1
        self.audio_s += outcome.audio_s
        self._is_first_block &= self.done == 1 or now_s - self.last_s < 0.02
        if self._is_first_block:  # Ray delivers the items of a block together
            self.first_s, self.first_audio_s, self.first_cpu_s = now_s, self.audio_s, self._cpu()
        self.last_s, self.last_cpu_s = now_s, self._cpu()

    def row(self, name: str, *, whole: bool) -> Row:
        """Rates of the run, from its start or from the first block on."""
        if whole:
            return rates(name, self.audio_s, self.last_s - self.began_s, self.last_cpu_s - self.began_cpu_s)
        audio_s, took_s = self.audio_s - self.first_audio_s, self.last_s - self.first_s
        row = rates(name, audio_s, took_s, self.last_cpu_s - self.first_cpu_s)
        return row | {"start-up s": self.first_s - self.began_s}


def rates(name: str, audio_s: float, took_s: float, cpu_s: float) -> Row:
    return {"run": name, "h/s": audio_s / 3600 / took_s, "h per CPU s": audio_s / 3600 / cpu_s}


def make_files(folder: Path, count: int, seconds: float) -> None:
    """Writes recordings that differ: the example, from another sample on each."""
    samples = np.resize(soundfile.read(AUDIO, dtype="int16")[0], int((seconds + 8) * RATE))
    folder.mkdir(parents=True)
    for number in range(count):
        start = number * 37 % (8 * RATE)
        soundfile.write(folder / f"{number:05}.flac", samples[start : start + int(seconds * RATE)], RATE)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.flac")}


def by_enhance(source: Path, out: Path, jobs: int) -> Row:
    """The command `enhance -r --jobs N`, without the start of Python."""
    began_cpu_s = time.process_time()
    report = enhance_tasks(plan([str(source)], f"{out}/", recursive=True), EnhancerConfig(), Existing(), jobs=jobs)
    return rates(f"enhance --jobs {jobs}", report.audio_s, report.took_s, time.process_time() - began_cpu_s)


def by_threads(kind: str, source: Path | str, out: Path, jobs: int) -> Row:
    clock = by_runner(source, out, local_runner(jobs), Clock())
    return clock.row(f"{kind}--local --jobs {jobs}", whole=True)


def by_ray(kind: str, source: Path | str, out: Path, workers: int) -> Row:
    clock = by_runner(source, out, ray_runner(workers), Clock(lambda: sum(map(cpu_s, workers_of_ray()))))
    return clock.row(f"{kind}Ray, {workers} worker{'s' * (workers > 1)}", whole=False)


def by_runner(source: Path | str, out: Path, run: Runner, clock: Clock) -> Clock:
    report = enhance_corpus(str(source), str(out), run=run, progress=clock)
    if report.failed:
        raise SystemExit(f"{source}: expected no failures, got {report.problems[0]}")
    return clock


def speed(folder: Path, args: argparse.Namespace) -> None:
    source, reference = folder / "in", folder / "reference"
    make_files(source, args.count, args.seconds)
    best: dict[str, Row] = {}
    runs: list[Callable[[Path], Row]] = [partial(by_enhance, source, jobs=jobs) for jobs in (1, 2)]
    runs += [partial(by_threads, "", source, jobs=jobs) for jobs in (1, 2)]
    runs += [partial(by_ray, "", source, workers=workers) for workers in (1, 2)]
    for _ in range(args.rounds):
        for make in runs:
            out = folder / "out"
            row = make(out)
            if not reference.exists():
                shutil.copytree(out, reference)
            row["equal to enhance"] = "yes" if contents(out) == contents(reference) else "NO"
            shutil.rmtree(out)
            name = str(row["run"])
            kept = best.setdefault(name, row)
            kept |= {rate: max(float(kept[rate] or 0), float(row[rate] or 0)) for rate in RATES}
    print_rows(list(best.values()))
    hours = args.count * args.seconds / 3600
    sizes = (sum(map(len, contents(path).values())) / 1e6 / hours for path in (source, reference))
    print("\nMB per hour of audio: {:.1f} read, {:.1f} written".format(*sizes))


def shards(folder: Path, args: argparse.Namespace) -> None:
    make_files(folder / "in", args.count, args.seconds)
    names = sorted((folder / "in").iterdir())
    for number in range(8):
        with tarfile.open(folder / f"shard-{number:03}.tar", "w") as tar:
            for path in names[number::8]:
                tar.add(path, path.name)
    source = str(folder / "shard-{000..007}.tar")
    rows = [by_enhance(folder / "in", folder / "reference", 1)]
    rows.append(by_threads("shards, ", source, folder / "local", 1))
    rows.append(by_ray("shards, ", source, folder / "ray", 2))
    expected = contents(folder / "reference")
    for row, out in zip(rows[1:], ("local", "ray"), strict=True):
        found: dict[str, bytes] = {}
        for shard in (folder / out).glob("*.tar"):
            with tarfile.open(shard) as tar:
                found |= {info.name: file.read() for info in tar if (file := tar.extractfile(info))}
        row["equal to enhance"] = "yes" if found == expected else "NO"
    print_rows(rows)


def kill(folder: Path, args: argparse.Namespace) -> None:
    source, out, killed = folder / "in", folder / "out", list[int]()
    make_files(source, args.count, args.seconds)
    by_enhance(source, folder / "reference", 2)

    def kill_one() -> None:
        while not killed:
            time.sleep(0.001)
            if len(list(out.glob("*.flac"))) < args.count // 4:
                continue
            for unfinished in out.glob(".*.flac.*.part"):
                killed.append(int(unfinished.name.split(".")[3].partition("-")[0]))
                os.kill(killed[0], signal.SIGKILL)
                return

    threading.Thread(target=kill_one, daemon=True).start()
    clock = Clock()
    report = enhance_corpus(str(source), str(out), run=ray_runner(2), progress=clock)
    print(f"killed process {killed[0]} after a quarter of {args.count} files, while it wrote a file")
    print(f"outcomes: {clock.done}; done {report.done}, kept {report.kept}, failed {report.failed}")
    print(f"files: {len(contents(out))}; equal to enhance: {contents(out) == contents(folder / 'reference')}")


def memory(folder: Path, args: argparse.Namespace) -> None:
    source, count = folder / "in", 10_000
    make_files(source, count, 1.0)
    rows: dict[int, Row] = {}

    class Sampler(Clock):
        def __init__(self, column: str, pids: Callable[[], list[int]]) -> None:
            super().__init__(lambda: 0.0)
            self.column, self.pids = column, pids

        def update(self, outcome: Outcome) -> None:
            super().update(outcome)
            if self.done in (500, 1000, 2000, 5000, count):
                row = rows.setdefault(self.done, {"items": str(self.done)})
                row[self.column] = max(map(rss_mb, self.pids()), default=None)

    threads = Sampler("--local --jobs 2, MB", lambda: [os.getpid()])
    enhance_corpus(str(source), str(folder / "local"), run=local_runner(2), progress=threads)
    workers = Sampler("a worker of Ray, MB", workers_of_ray)
    enhance_corpus(str(source), str(folder / "ray"), run=ray_runner(2), progress=workers)
    print(markdown_table([rows[done] for done in sorted(rows)], dict.fromkeys((threads.column, workers.column), 1)))
    print(f"\nequal: {contents(folder / 'local') == contents(folder / 'ray')}")


def lhotse(folder: Path, args: argparse.Namespace) -> None:
    from lhotse import CutSet, Recording

    import gtcrn_frontend.adapters.lhotse as adapter

    make_files(folder / "in", args.count, args.seconds)
    recordings = [Recording.from_file(path) for path in sorted((folder / "in").iterdir())]
    raw = CutSet.from_cuts(recording.to_cut() for recording in recordings)
    cuts = adapter.enhance(raw, (0.3, 1.0))
    cuts.to_file(folder / "cuts.jsonl.gz")
    program = (
        "import sys, numpy, gtcrn_frontend.adapters.lhotse\nfrom lhotse import CutSet\n"
        "numpy.savez(sys.argv[2], **{c.id: c.load_audio() for c in CutSet.from_file(sys.argv[1])})"
    )
    arguments = [sys.executable, "-c", program, str(folder / "cuts.jsonl.gz"), str(folder / "audio.npz")]
    subprocess.run(arguments, check=True)
    loaded = np.load(folder / "audio.npz")
    equal = all(np.array_equal(loaded[cut.id], cut.load_audio()) for cut in cuts)
    print(f"{len(cuts)} cuts with a drawn strength, read again in a fresh process; samples equal: {equal}\n")
    rows: list[Row] = [by_enhance(folder / "in", folder / "reference", 1)]
    for name, chosen in (("Lhotse, load_audio() of raw cuts", raw), ("Lhotse, load_audio() of enhanced cuts", cuts)):
        rows.append(loaded_by_lhotse(name, chosen, args.count * args.seconds))
    print_rows(rows)


def loaded_by_lhotse(name: str, cuts: Any, audio_s: float) -> Row:
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    for cut in cuts:
        cut.load_audio()
    return rates(name, audio_s, time.perf_counter() - began_s, time.process_time() - began_cpu_s)


def workers_of_ray() -> list[int]:
    found = [path for path in Path("/proc").glob("[0-9]*/cmdline") if WORKER in read(path)]
    return [int(path.parent.name) for path in found]


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # the process has ended
        return b""


def rss_mb(pid: int) -> float:
    return int((re.search(rb"VmRSS:\s+(\d+)", read(Path(f"/proc/{pid}/status"))) or [0, 0])[1]) / 1024


def cpu_s(pid: int) -> float:
    """Processor time of a process, of all its threads."""
    fields = read(Path(f"/proc/{pid}/stat")).rpartition(b") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def print_rows(rows: list[Row]) -> None:
    """Prints rates, and what they are of the first row's."""
    first = dict(rows[0])
    for row in rows:
        row |= {f"{rate}, of the first": float(row[rate] or 0) / float(first[rate] or 1) for rate in RATES}
    columns = ("run", *(name for rate in RATES for name in (rate, f"{rate}, of the first")), "start-up s")
    shown = [{name: row.get(name) for name in (*columns, "equal to enhance")} for row in rows]
    digits = {name: 4 if name in RATES else 2 for name in columns[1:5]}
    print(markdown_table(shown, digits | {"start-up s": 1}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"speed": speed, "shards": shards, "kill": kill, "memory": memory, "lhotse": lhotse}
    parser.add_argument("part", choices=parts)
    parser.add_argument("--count", type=int, default=200, help="of files (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each file (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="of which the best counts (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="on the disk to use (default: the system's for temporary files)")
    args = parser.parse_args()
    for name, value in environment().items():
        print(f"{name}: {value}")
    print()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        parts[args.part](Path(folder), args)


if __name__ == "__main__":
    main()
