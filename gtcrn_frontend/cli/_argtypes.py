"""Types of command-line options, with error messages in words."""

from __future__ import annotations

import argparse

from gtcrn_frontend.config import Strength
from gtcrn_frontend.errors import ConfigError


def number(text: str) -> float:
    """Returns a number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r}") from None


def count(text: str) -> int:
    """Returns a whole number, at least 1."""
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def seconds(text: str) -> float:
    """Returns a duration in seconds, above 0 and finite."""
    found = number(text)
    if not 0 < found < float("inf"):
        raise argparse.ArgumentTypeError(f"expected seconds above 0, got {text!r}")
    return found


def strength(text: str) -> Strength:
    """Returns a strength: a number, or `auto`."""
    return "auto" if text == "auto" else number(text)


def strengths(text: str) -> tuple[Strength, ...]:
    """Returns the strengths of a comma-separated list, each once: above 0 to 1, or `auto`."""
    found = [strength(entry.strip()) for entry in text.split(",") if entry.strip()]
    if not found or not all(each == "auto" or 0 < each <= 1 for each in found):
        raise argparse.ArgumentTypeError(f"expected strengths above 0, at most 1, or auto, got {text}")
    return tuple(dict.fromkeys(found))


def snrs(text: str) -> tuple[float | None, ...]:
    """Returns the ratios of a comma-separated list in dB; None stands for clean."""
    from gtcrn_frontend.evaluation.noisy_set import parse_snrs

    try:
        return parse_snrs(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def channels(text: str) -> tuple[str, ...]:
    """Returns the channels of a comma-separated list."""
    from gtcrn_frontend.evaluation.channels import parse_channels

    try:
        return parse_channels(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def levels(text: str) -> tuple[float, ...]:
    """Returns the levels of a comma-separated list in dB of full scale."""
    from gtcrn_frontend.evaluation.speech_free import parse_levels

    try:
        return parse_levels(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def count_or_none(text: str) -> int:
    """Returns a whole number, at least 0."""
    return 0 if text == "0" else count(text)
