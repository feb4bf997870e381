"""Measurements: recognition errors (`calibrate`), signal quality (`evaluate`) and speed (`benchmark`).

>>> from gtcrn_frontend.evaluation import calibrate  # doctest: +SKIP
>>> print(calibrate(my_asr.transcribe, "test.jsonl", noise="noise/"))  # doctest: +SKIP

Names are imported when they are first used. Nothing here imports torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gtcrn_frontend.evaluation.asr.calibrate import calibrate
    from gtcrn_frontend.evaluation.asr.calibration import Calibration
    from gtcrn_frontend.evaluation.asr.normalise import Normalisation
    from gtcrn_frontend.evaluation.asr.recognizer_source import RecognizerSource
    from gtcrn_frontend.evaluation.asr.wer import ErrorMetric
    from gtcrn_frontend.evaluation.bench.benchmark import Benchmark, benchmark
    from gtcrn_frontend.evaluation.bench.networks import NetworkBenchmark, benchmark_networks
    from gtcrn_frontend.evaluation.manifest import load_manifest
    from gtcrn_frontend.evaluation.progress import Progress
    from gtcrn_frontend.evaluation.quality.evaluate import evaluate
    from gtcrn_frontend.evaluation.quality.evaluation import Evaluation
    from gtcrn_frontend.evaluation.report.html_report import write_report

__all__ = [
    "Benchmark",
    "Calibration",
    "ErrorMetric",
    "Evaluation",
    "NetworkBenchmark",
    "Normalisation",
    "Progress",
    "RecognizerSource",
    "benchmark",
    "benchmark_networks",
    "calibrate",
    "evaluate",
    "load_manifest",
    "write_report",
]

_MODULES = {
    "Benchmark": "bench.benchmark",
    "Calibration": "asr.calibration",
    "ErrorMetric": "asr.wer",
    "Evaluation": "quality.evaluation",
    "NetworkBenchmark": "bench.networks",
    "Normalisation": "asr.normalise",
    "Progress": "progress",
    "RecognizerSource": "asr.recognizer_source",
    "benchmark": "bench.benchmark",
    "benchmark_networks": "bench.networks",
    "calibrate": "asr.calibrate",
    "evaluate": "quality.evaluate",
    "load_manifest": "manifest",
    "write_report": "report.html_report",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
