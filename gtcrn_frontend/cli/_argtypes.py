"""Numbers of options; what is none is said in words."""

from __future__ import annotations

import argparse


def number(text: str) -> float:
    """Returns a number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r}") from None


def count(text: str) -> int:
    """Returns the number of an option that counts something."""
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def seconds(text: str) -> float:
    """Returns a duration in seconds."""
    found = number(text)
    if not found > 0:
        raise argparse.ArgumentTypeError(f"expected seconds above 0, got {text!r}")
    return found
