"""What the benchmarks share: the machine's description, statistics, tables, JSON, and where reference data lie."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"
PACKAGES = ("gtcrn-frontend", "numpy", "onnxruntime", "torch", "sherpa-onnx")

Value = str | int | float | None


def shared_default(below: str) -> Path | None:
    """Returns the path below `../shared` if it exists there, as the default of an argument."""
    path = SHARED / below
    return path if path.exists() else None


def cpu_name() -> str:
    """Returns the CPU's name as the operating system gives it, with the number of cores."""
    cpuinfo = Path("/proc/cpuinfo")
    name = platform.processor() or platform.machine()
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
        cores = sum(line.startswith("processor") for line in lines)
        return f"{name} ({cores} cores)"
    return name


def environment() -> dict[str, str]:
    """Returns the CPU, the system and the versions of what is measured."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "absent"
    return {"cpu": cpu_name(), "system": platform.platform(), "python": platform.python_version(), **versions}


def median_and_p95(values: Sequence[float]) -> tuple[float, float]:
    """Returns the median and the 95th percentile."""
    median, p95 = np.percentile(values, [50, 95])
    return float(median), float(p95)


def table(rows: Sequence[Mapping[str, Value]], digits: Mapping[str, int]) -> str:
    """Returns rows as a Markdown table; `digits` are the decimals of a column, None is drawn as a dash."""
    columns = list(rows[0])
    cells = [[_cell(row[column], digits.get(column)) for column in columns] for row in rows]
    widths = [max(len(text) for text in (column, *(row[i] for row in cells))) for i, column in enumerate(columns)]
    numeric = [all(not isinstance(row[column], str) for row in rows) for column in columns]

    def line(texts: Sequence[str]) -> str:
        padded = (
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(texts, widths, numeric, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    rule = f"|{'|'.join('-' * (w + 1) + (':' if right else '-') for w, right in zip(widths, numeric, strict=True))}|"
    return "\n".join([line(columns), rule, *map(line, cells)])


def _cell(value: Value, digits: int | None) -> str:
    if value is None:
        return "-"
    return f"{value:.{digits}f}" if digits is not None and not isinstance(value, str) else str(value)


def write_json(path: Path, content: object) -> None:
    """Writes the measurements; a nan becomes null."""
    path.write_text(json.dumps(_without_nan(content), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _without_nan(content: object) -> object:
    if isinstance(content, Mapping):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and not np.isfinite(content) else content
