"""Synthetic noise: random generators of many kinds of noise."""
