"""Packs weights into the blob of the native engine; of GTCRN here: `gtcrn_weights` in its `model.h`.

For use from C, `python -m gtcrn_frontend.weights.pack MODEL FILE` writes the blob of a model to a file.
"""

from __future__ import annotations

import argparse
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.atomic_write import write_bytes
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.model_spec import ULUNAS_SPEC
from gtcrn_frontend.weights.fold import fold_gtcrn
from gtcrn_frontend.weights.model import load_model, model_path

_MAGIC = b"GTCRN001"
_BYTE_ORDER = 0x01020304
_BLOCKS = ("en2", "en3", "en4", "de0", "de1", "de2")  # in order of execution
_WIDTH = 33  # bands that an attention's energy is averaged over

# sigmoid(x) = 0.5 + 0.5 tanh(x / 2): gates r and z, and what r multiplies, are halved.
INPUT_GATES = np.array([0.5, 0.5, 1])
HIDDEN_GATES = np.array([0.5, 0.5, 0.5])

_Array = npt.NDArray[Any]


def pack_model(network: str, parameters: Mapping[str, F32]) -> bytes:
    """Returns the weight blob of a checkpoint of a network that runs in the native engine."""
    if network == ULUNAS_SPEC.name:
        from gtcrn_frontend.weights.fold_ulunas import fold_ulunas
        from gtcrn_frontend.weights.pack_ulunas import pack_ulunas  # which uses this module

        return pack_ulunas(fold_ulunas(parameters))
    return pack_gtcrn(fold_gtcrn(parameters))


def pack_gtcrn(folded: Mapping[str, F32]) -> bytes:
    """Returns the weight blob of a GTCRN, in the byte order of this machine.

    Args:
        folded: what `fold_gtcrn` returns.
    """
    return blob_of(_MAGIC, folded, _arrays(folded))


def blob_of(magic: bytes, folded: Mapping[str, F32], arrays: Iterable[_Array]) -> bytes:
    """Returns a weight blob: header, the ERB filters in `folded`, and the other arrays as float32."""
    merge_runs, merge = _runs(folded["erb.merge"])
    spread_runs, spread = _runs(folded["erb.spread"])
    others = (np.ascontiguousarray(array, np.float32) for array in arrays)
    body = bytes(44) + b"".join(array.tobytes() for array in (merge_runs, spread_runs, merge, spread, *others))
    return struct.pack("=8sIII", magic, _BYTE_ORDER, 20 + len(body), zlib.crc32(body)) + body


def _arrays(p: Mapping[str, F32]) -> Iterator[_Array]:
    """All arrays behind the ERB filters, in the order of the struct."""
    yield from (_first_convolution(p["en0.weight"]), p["en0.bias"], *_prelu(p["en0.slope"]))
    # (out, in/groups, 1, taps) to (group, tap, in, out)
    en1 = p["en1.weight"][:, :, 0].reshape(2, 8, 8, 5).transpose(0, 3, 2, 1)
    yield from (en1, p["en1.bias"], *_prelu(p["en1.slope"]))
    for name in _BLOCKS:
        yield from _block({key.removeprefix(f"{name}."): p[key] for key in p if key.startswith(f"{name}.")})
    for name in ("dp1", "dp2"):
        yield from pack_dual_path({key.removeprefix(f"{name}."): p[key] for key in p if key.startswith(f"{name}.")})
    # (in, out/groups, 1, taps) to (group, tap, in, out); taps in the order of the bands they meet
    de3 = p["de3.weight"][:, :, 0].reshape(2, 8, 8, 5).transpose(0, 3, 1, 2)
    yield from (de3[:, [4, 2, 0]], de3[:, [3, 1]], p["de3.bias"], *_prelu(p["de3.slope"]))
    de4 = np.zeros((16, 8, 2))
    de4[:, :5] = p["de4.weight"][:, :, 0].transpose(0, 2, 1)
    yield from (de4, np.tile(p["de4.bias"], 2))


def _first_convolution(weight: F32) -> _Array:
    """`(out, 3 c + k, 1, tap)` to `(place, tap + k, c, out)`: unfolding and convolution in one.

    The zeros around the unfolded bands are not those around the bands: the first band misses taps 0 and 1, the last one
    taps 3 and 4.
    """
    by_tap = weight[:, :, 0].reshape(16, 3, 3, 5).astype(np.float64)  # out, c, k, tap
    joined = np.zeros((3, 7, 3, 16))
    for place, taps in enumerate((range(5), range(2, 5), range(3))):
        for tap in taps:
            for k in range(3):
                joined[place, tap + k] += by_tap[:, :, k, tap].T
    return joined


def _block(p: Mapping[str, F32]) -> Iterator[_Array]:
    yield from (p["point1.weight"][:, :, 0].transpose(2, 1, 0), p["point1.bias"], *_prelu(p["point1.slope"]))
    yield from (p["depth.weight"][:, 0].transpose(1, 2, 0), p["depth.bias"], *_prelu(p["depth.slope"]))
    yield p["point2.weight"][:, :, 0, 0].T
    yield _gates(p["gru.weight_ih"], INPUT_GATES) / _WIDTH
    yield _gates(p["gru.weight_hh"], HIDDEN_GATES)
    yield _gru_bias(p["gru.bias_ih"], p["gru.bias_hh"])
    yield p["fc.weight"].T / 2
    yield from (p["point2.bias"], p["fc.bias"] / 2)


def pack_dual_path(p: Mapping[str, F32]) -> Iterator[_Array]:
    """Yields the arrays of a dual-path block, see `fold_dual_path`, in the order of `gtcrn_dual_path`."""
    # Directions, gates, groups of 4 hidden values, and for weights groups of inputs: only equal groups are connected.
    w_ih = p["intra.gru.weight_ih"].reshape(2, 3, 2, 4, 2, 8) * INPUT_GATES[:, None, None, None, None]
    w_hh = p["intra.gru.weight_hh"].reshape(2, 3, 2, 4, 2, 4) * HIDDEN_GATES[:, None, None, None, None]
    b_ih = p["intra.gru.bias_ih"].reshape(2, 3, 2, 4) * INPUT_GATES[:, None, None]
    b_hh = p["intra.gru.bias_hh"].reshape(2, 3, 2, 4) * HIDDEN_GATES[:, None, None]
    within = [w_ih[:, :, group, :, group] for group in range(2)]  # direction, gate, hidden, input
    yield np.stack([w.transpose(1, 3, 0, 2) for w in within])  # group, gate, input, (direction, hidden)
    bias = b_ih + b_hh * np.array([1, 1, 0])[:, None, None]
    yield bias.transpose(2, 1, 0, 3)
    within = [w_hh[:, :, group, :, group] for group in range(2)]
    yield np.stack([w.transpose(3, 1, 0, 2) for w in within]).transpose(
        1, 2, 0, 3, 4
    )  # from, gate, (group, direction, to)
    yield b_hh[:, 2].transpose(1, 0, 2)
    # From f1 f2 b1 b2 to f1 b1 f2 b2
    yield p["intra.fc.weight"].reshape(16, 2, 2, 4).transpose(2, 1, 3, 0)
    yield from (p["intra.fc.bias"], p["intra.ln.weight"], p["intra.ln.bias"])

    for kind, scale in (("weight_ih", INPUT_GATES), ("weight_hh", HIDDEN_GATES)):
        weight = p[f"inter.gru.{kind}"].reshape(3, 2, 8, 2, 8) * scale[:, None, None, None, None]
        yield np.stack(
            [weight[:, group, :, group].transpose(2, 0, 1) for group in range(2)]
        )  # group, input, gate, hidden
    yield _gru_bias(p["inter.gru.bias_ih"], p["inter.gru.bias_hh"]).reshape(4, 2, 8).transpose(1, 0, 2)
    yield from (p["inter.fc.weight"].T, p["inter.fc.bias"], p["inter.ln.weight"], p["inter.ln.bias"])


def _gates(weight: F32, scale: _Array) -> _Array:
    """`(3 H, I)` to `(I, 3, H)`."""
    return (weight.reshape(3, -1, weight.shape[1]) * scale[:, None, None]).transpose(2, 0, 1)


def _gru_bias(b_ih: F32, b_hh: F32) -> _Array:
    """`(4, H)`: r, z, n of the input, n of the hidden state."""
    of_input, of_hidden = b_ih.reshape(3, -1) * INPUT_GATES[:, None], b_hh.reshape(3, -1) * HIDDEN_GATES[:, None]
    return np.stack([of_input[0] + of_hidden[0], of_input[1] + of_hidden[1], of_input[2], of_hidden[2]])


def _prelu(slope: F32) -> tuple[_Array, _Array]:
    """The PReLU as a x + b |x|, for 16 channels."""
    return np.full(16, (1 + slope[0]) / 2), np.full(16, (1 - slope[0]) / 2)


def _runs(matrix: F32) -> tuple[_Array, F32]:
    """Start and length of the nonzero part of each row, `(rows, 2) int32`; these parts, one behind the other."""
    runs = np.zeros((len(matrix), 2), np.int32)
    parts = []
    for row, weights in enumerate(matrix):
        (places,) = np.nonzero(weights)
        # At least two long: with triangular filters all bins then have equally many, and no branch is mispredicted.
        start = min(places[0], matrix.shape[1] - 2) if len(places) else 0
        stop = max(places[-1] + 1 if len(places) else 0, start + 2)
        runs[row] = start, stop - start
        parts.append(weights[start:stop])
    used = np.concatenate(parts)
    return runs, np.concatenate([used, np.zeros(matrix.size - len(used), np.float32)]).astype(np.float32)


def main() -> None:
    """Writes the blob of a model to a file."""
    parser = argparse.ArgumentParser(description="Packs a checkpoint for the native engine's C library.")
    parser.add_argument("model", help="model name or path of a checkpoint")
    parser.add_argument("file", type=Path, help="where to write the weight blob")
    args = parser.parse_args()
    model = load_model(model_path(args.model))
    spec, parameters = model.weights_for("native")
    write_bytes(args.file, pack_model(spec.name, parameters))


if __name__ == "__main__":
    main()
