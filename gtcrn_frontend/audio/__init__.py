"""Samples, their types, files and rates: what every other part may use."""
