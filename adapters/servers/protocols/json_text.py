"""Reading JSON objects that clients send."""

from __future__ import annotations

import json
from typing import Any

from websockets.frames import CloseCode

from gtcrn_frontend.adapters.servers.protocols.base import BadMessageError, shown
from gtcrn_frontend.audio.resampler import MAX_RATE_HZ, MIN_RATE_HZ


def object_of(text: str | bytes, expected: str) -> dict[str, Any]:
    """Returns the object of a JSON text; raises `BadMessageError` if it is none."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        text = text if isinstance(text, str) else f"{len(text)} bytes"
        raise BadMessageError(CloseCode.UNSUPPORTED_DATA, f"expected {expected} as JSON, got {shown(text)}")
    return content


def rate_of(content: Any, key: str) -> int | None:
    """Returns the sample rate in Hz that an object names; None if it names none.

    Raises:
        BadMessageError: it is no whole number in the range of the enhancer.
    """
    value = content.get(key) if isinstance(content, dict) else None
    if value is None:
        return None
    try:
        rate = int(value)
    except (TypeError, ValueError, OverflowError):
        rate = 0
    if not MIN_RATE_HZ <= rate <= MAX_RATE_HZ or isinstance(value, bool) or rate != float(value):
        raise BadMessageError(
            CloseCode.INVALID_DATA, f"{key}: expected {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz, got {shown(str(value))}"
        )
    return rate
