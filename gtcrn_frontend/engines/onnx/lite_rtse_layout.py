"""Converts Lite-RTSE parameters to the layout of the graph `models/lite_rtse.onnx`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gtcrn_frontend.audio.types import F32

_RECURRENT = ("lstm1", "lstm2")


def lite_rtse_onnx_layout(parameters: Mapping[str, F32]) -> dict[str, F32]:
    """Returns the arrays to bind to the graph's weights, by name of the initializer.

    Only those of the LSTMs differ from the network's: ONNX has a leading axis of directions, concatenated biases, and
    gates in the order i, o, f, g; torch's is i, f, g, o.
    """
    arrays = {name: array for name, array in parameters.items() if name.partition(".")[0] not in _RECURRENT}
    for lstm in _RECURRENT:
        weights = {kind: _reordered(parameters[f"{lstm}.{kind}_l0"]) for kind in ("weight_ih", "weight_hh")}
        biases = [_reordered(parameters[f"{lstm}.{kind}_l0"]) for kind in ("bias_ih", "bias_hh")]
        arrays |= {f"{lstm}.w": weights["weight_ih"], f"{lstm}.r": weights["weight_hh"]}
        arrays[f"{lstm}.b"] = np.concatenate(biases, axis=1)
    return arrays


def _reordered(array: F32) -> F32:
    i, f, g, o = np.split(array[None], 4, axis=1)
    return np.concatenate([i, o, f, g], axis=1)
