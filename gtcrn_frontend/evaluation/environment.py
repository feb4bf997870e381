"""Environment of a measurement: processor, operating system, versions."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("gtcrn-frontend", "numpy", "onnxruntime", "torch", "sherpa-onnx")
ABSENT = "absent"

_CPUINFO = Path("/proc/cpuinfo")


def environment() -> dict[str, str]:
    """Returns the processor, the system, and the versions of Python and of the relevant packages, by name."""
    return {
        "cpu": cpu_name(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{package: installed_version(package) for package in PACKAGES},
    }


def cpu_name() -> str:
    """Returns the processor's name as the operating system gives it, with the number of logical cores."""
    name = platform.processor() or platform.machine()
    if _CPUINFO.is_file():  # Linux, where platform.processor() says "x86_64" or nothing
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{name} ({os.cpu_count()} cores)"


def installed_version(package: str) -> str:
    """Returns the version of a package, or `absent`."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ABSENT
