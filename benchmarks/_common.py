"""Reference data beside the checkout."""

from __future__ import annotations

from pathlib import Path

SHARED = Path(__file__).resolve().parents[2] / "shared"


def shared_default(below: str) -> Path | None:
    """Returns the path below `../shared` if it exists there, as the default of an argument."""
    path = SHARED / below
    return path if path.exists() else None
