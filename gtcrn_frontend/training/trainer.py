"""What a run changes, step by step: the network, its moving average and the optimizer."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.nets import new_net
from gtcrn_frontend.training.config import OptimConfig
from gtcrn_frontend.training.distributed import SINGLE_PROCESS, ProcessGroup
from gtcrn_frontend.training.ema import freeze_norms, update_ema
from gtcrn_frontend.training.losses.combined import CombinedLoss
from gtcrn_frontend.training.lr_schedule import learning_rate
from gtcrn_frontend.weights.model import Model

LOSS_SMOOTHING = 0.98
_BATCH_COUNTER = "num_batches_tracked"  # of batch norm: no parameter, begins anew

logger = logging.getLogger(__name__)


@dataclass
class Trainer:
    """What a run changes: the network, its average, the optimizer, and how far it is."""

    network: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    config: OptimConfig
    step: int = 0
    best: float = float("-inf")
    loss: float = float("nan")
    norms_frozen: bool = False

    def start_from(self, model: Model) -> None:
        """Takes the weights of a trained model.

        Raises:
            ConfigError: it is of another network, or a ready ONNX graph.
        """
        try:
            weights = {name: torch.from_numpy(array) for name, array in model.weights_for("torch")[1].items()}
            for network in (self.network, self.average):
                missing, unexpected = network.load_state_dict(weights, strict=False)
                if unexpected or not all(name.endswith(_BATCH_COUNTER) for name in missing):
                    raise ModelError(f"expected its parameters, got those of {model.spec and model.spec.name}")
        except (ModelError, RuntimeError) as error:
            raise ConfigError(f"start: {model.source} does not fit this network: {error}") from error

    @property
    def norms_due(self) -> bool:
        """Whether batch norm should now go over to fixed statistics: the caller computes them and freezes."""
        return not self.norms_frozen and self._in_frozen_fraction

    @property
    def _in_frozen_fraction(self) -> bool:
        return self.step >= self.config.steps * (1 - self.config.freeze_norm_fraction)

    def learn(
        self,
        objective: CombinedLoss,
        noisy: Tensor,
        target: Tensor,
        teacher_output: Tensor | None = None,
        process_group: ProcessGroup = SINGLE_PROCESS,
    ) -> float:
        """Returns the loss of a batch before the step that it leads to.

        Args:
            objective: what to minimise.
            noisy, target: samples `(B, n)` of the input and of what it should become.
            teacher_output: the teachers' output, for distillation.
            process_group: who else learns the same step from other examples.
        """
        rate = learning_rate(self.step, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.network.train()
        if self.norms_frozen:
            freeze_norms(self.network)
        transform = objective.transform
        example = None if teacher_output is None else transform.forward(teacher_output)
        estimate = transform.enhanced(self.network, noisy)
        loss = objective(estimate, transform.forward(noisy), transform.forward(target), example)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        loss = loss.detach()
        process_group.average_([loss, *(each.grad for each in self.network.parameters() if each.grad is not None)])
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
        if torch.isfinite(norm):
            self.optimizer.step()
            update_ema(self.average, self.network, self.config.ema_decay, self.step)
        else:
            logger.warning("step %d: gradient not finite, left out", self.step)
        self.step += 1
        value = float(loss)
        self.loss = value if np.isnan(self.loss) else LOSS_SMOOTHING * self.loss + (1 - LOSS_SMOOTHING) * value
        return value

    def state(self) -> dict[str, Any]:
        """Returns everything that `load` needs, as tensors and plain values."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "best": self.best,
            "loss": self.loss,
            "norms_frozen": self.norms_frozen,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continues from a state.

        Raises:
            ConfigError: the state is of another network or incomplete.
        """
        try:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            fused = self.optimizer.defaults["fused"]  # not as in the checkpoint: it may be from another device
            groups = [group | {"fused": fused} for group in state["optimizer"]["param_groups"]]
            self.optimizer.load_state_dict(state["optimizer"] | {"param_groups": groups})
            self.step, self.best, self.loss = state["step"], state["best"], state["loss"]
            # A schedule that was made longer goes on with the batch's statistics until its own last share.
            self.norms_frozen = state["norms_frozen"] and self._in_frozen_fraction
        except (KeyError, RuntimeError, ValueError) as error:
            raise ConfigError(f"the checkpoint does not fit this network: {error}; start without --resume") from error


def new_trainer(config: OptimConfig, network_name: str = "gtcrn") -> Trainer:
    """Returns a learner with random weights, the same for the same seed."""
    torch.manual_seed(config.seed)
    network, average = new_net(network_name).to(config.device), new_net(network_name).to(config.device)
    average.load_state_dict(network.state_dict())
    average.requires_grad_(False)
    if config.fused and config.device == "cpu":
        _fuse(network)
    optimizer = torch.optim.AdamW(
        [parameter for parameter in network.parameters() if parameter.requires_grad],
        lr=config.peak_lr,
        weight_decay=config.weight_decay,
        fused=config.fused and torch.device(config.device).type in ("cpu", "cuda"),
    )
    return Trainer(network, average, optimizer, config)


def _fuse(network: nn.Module) -> None:
    """Makes training faster if numba is there; says so if not."""
    try:
        from gtcrn_frontend.training.cpu_kernels.fused_conv import fuse_convolutions
        from gtcrn_frontend.training.cpu_kernels.fused_gru import fuse_recurrences
    except ImportError as error:
        logger.warning("training goes on at less than half the speed, the package numba is missing (%s)", error)
        return
    fuse_recurrences(network)
    fuse_convolutions(network)
