"""Progress bars of what takes long beside the steps of training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def shown(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Yields the items with a bar on stderr that vanishes at the end; without one if stderr is no terminal."""
    yield from tqdm(items, desc=what, total=total, leave=False, dynamic_ncols=True, disable=None)
