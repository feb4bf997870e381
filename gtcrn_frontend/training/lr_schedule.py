"""Learning rate schedule: linear warm-up, then a cosine."""

from __future__ import annotations

import math

from gtcrn_frontend.training.config import OptimConfig


def learning_rate(step: int, config: OptimConfig) -> float:
    """Returns the learning rate of a step: rises linearly to the peak, then falls along a cosine to the final rate."""
    if step < config.warmup_steps:
        return config.peak_lr * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(config.steps - config.warmup_steps, 1)
    return config.final_lr + (config.peak_lr - config.final_lr) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
