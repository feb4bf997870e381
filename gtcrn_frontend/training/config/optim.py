"""Settings of the optimisation."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gtcrn_frontend.deprecation import renamed_fields
from gtcrn_frontend.settings import check_settings, document_settings, setting


@document_settings
@renamed_fields(
    peak_rate="peak_lr",
    final_rate="final_lr",
    average_decay="ema_decay",
    freeze_norm_share="freeze_norm_fraction",
)
@dataclass(frozen=True)
class OptimConfig:
    """Optimisation of the weights with AdamW."""

    steps: int = setting(20000, low=1, help="length of the schedule")
    batch_size: int = setting(16, low=1, help="examples per step, over all processes")
    peak_lr: float = setting(2.5e-3, low=0, help="learning rate after the warm-up; falls to `final_lr` along a cosine")
    final_lr: float = setting(1e-5, low=0, help="learning rate at the end")
    warmup_steps: int = setting(500, low=0, help="steps over which the learning rate rises linearly")
    weight_decay: float = setting(0.0, low=0, help="decoupled weight decay of AdamW")
    clip_norm: float = setting(5.0, above=0, help="norm that gradients are scaled down to")
    ema_decay: float = setting(0.999, low=0, high=1, help="decay of the moving average of weights")
    freeze_norm_fraction: float = setting(
        0.2,
        low=0,
        high=1,
        help="last fraction of the steps in which batch norm uses the fixed statistics that the network has in use",
    )
    norm_batches: int = setting(40, low=1, help="batches from which batch-norm statistics are computed")
    seed: int = setting(1, low=0, help="of everything random")
    threads: int = setting(1, low=1, help="threads of torch")
    device: str = setting("cpu", help="device that torch computes on, for example cpu or cuda")
    fused: bool = setting(
        True,
        help="use the fused optimizer where there is one, and on the CPU compiled kernels (numba) for recurrences and "
        "depthwise convolutions",
    )

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def first_frozen_step(self) -> int:
        """The first step in which batch norm uses fixed statistics."""
        return math.ceil(self.steps * (1 - self.freeze_norm_fraction))
