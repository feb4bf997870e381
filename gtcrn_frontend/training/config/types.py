"""Types that several groups of training settings share."""

Range = tuple[float, float]
"""Lowest and highest value."""
