"""`StreamState`: a saved stream, portable between engines, processes and machines."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from gtcrn_frontend.errors import StateError
from gtcrn_frontend.parsing import parse_json

_MAGIC = b"GTCRNSTATE"
_VERSION = 1
_HEADER = len(_MAGIC) + 1 + hashlib.sha256().digest_size


@dataclass(frozen=True, eq=False)
class StreamState:
    """The state of one stream between two chunks.

    Attributes:
        facts: layout version, and identity of the stream: model digest, sample rates, channels; the latter must match
            where the state is loaded.
        arrays: by name, see `streaming.stream_state`.
    """

    facts: Mapping[str, Any]
    arrays: Mapping[str, npt.NDArray[Any]]

    def to_bytes(self) -> bytes:
        """Returns the state as bytes: magic, version, SHA-256 of the rest, and a safetensors body."""
        # not np.ascontiguousarray, which turns a scalar into an array of shape (1,)
        arrays = {name: np.asarray(array, order="C") for name, array in self.arrays.items()}
        body = safetensors.numpy.save(arrays, metadata={"facts": json.dumps(dict(self.facts), sort_keys=True)})
        return _MAGIC + bytes([_VERSION]) + hashlib.sha256(body).digest() + body

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> StreamState:
        """Returns the state in `data`.

        Raises:
            StateError: the bytes are not a stream state, or one of another version, or truncated or damaged.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise StateError(f"expected the bytes of a stream state, got {type(data).__name__}")
        data = bytes(data)
        if not data.startswith(_MAGIC) or len(data) < _HEADER:
            raise StateError(f"expected the bytes of a stream state, got {len(data)} other bytes")
        version = data[len(_MAGIC)]
        if version != _VERSION:
            raise StateError(
                f"expected a stream state of version {_VERSION}, got version {version}: start a new stream"
            )
        body = data[_HEADER:]
        if hashlib.sha256(body).digest() != data[len(_MAGIC) + 1 : _HEADER]:
            raise StateError("expected an intact stream state, got a truncated or damaged one")
        try:
            arrays = safetensors.numpy.load(body)
            header_length = int.from_bytes(body[:8], "little")
            facts = parse_json(parse_json(body[8 : 8 + header_length])["__metadata__"]["facts"])
        except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
            raise StateError(f"expected a stream state, got something else with a valid checksum ({error})") from error
        if not isinstance(facts, dict):
            raise StateError(f"expected the facts of a stream by name, got {type(facts).__name__}")
        return cls(facts, arrays)
