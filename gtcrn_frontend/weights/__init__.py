"""Weights: reading checkpoints, checking them against the network, folding them for the engines."""
