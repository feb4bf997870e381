"""Waveform-to-waveform ONNX models (non-causal): `wav (N, samples)` to `enhanced (N, samples)`, any length.

The metadata names the network; its spec, including the segments, comes from `weights.networks`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.engines.base import Engine
from gtcrn_frontend.engines.onnx.session import description, run_session
from gtcrn_frontend.engines.overlap_add import SegmentEngine
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.model_spec import WHOLE_SEGMENTS
from gtcrn_frontend.weights.networks import NETWORKS

INPUT, OUTPUT = "wav", "enhanced"


def waveform_graph_engine(session: onnxruntime.InferenceSession, source: Path) -> Engine[Any]:
    """Returns an engine for such a graph; `ModelError` if its network is not one that runs in segments."""
    name = session.get_modelmeta().custom_metadata_map.get("network", "")
    network = NETWORKS.get(name)
    if network is None or network.spec.segments is None:
        able = ", ".join(each.spec.name for each in NETWORKS.values() if each.spec.segments)
        raise ModelError(f"{source}: expected one of {able} as `network` in the graph's metadata, got {name!r}")

    def enhance(samples: F32) -> F32:
        (enhanced,) = run_session(session.run, [OUTPUT], {INPUT: samples[None]})
        row: F32 = np.asarray(enhanced[0], np.float32)
        return row

    return SegmentEngine("onnx", description(session), network.spec, enhance, WHOLE_SEGMENTS)
