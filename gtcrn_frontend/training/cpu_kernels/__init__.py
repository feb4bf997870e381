"""Compiled kernels (numba) for training on a CPU; `OptimConfig.fused` turns them off."""
