"""State of a run that changes with every step: the network, its moving average and the optimizer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.nets import new_net
from gtcrn_frontend.training.config import DEFAULT_METRIC, OptimConfig
from gtcrn_frontend.training.distributed import SINGLE_PROCESS, ProcessGroup
from gtcrn_frontend.training.ema import freeze_norms, update_ema
from gtcrn_frontend.training.losses.combined import CombinedLoss
from gtcrn_frontend.training.lr_schedule import learning_rate
from gtcrn_frontend.weights.model import Model

LOSS_SMOOTHING = 0.98
_BATCH_COUNTER = "num_batches_tracked"  # of batch norm: not a parameter, starts again at 0

logger = logging.getLogger(__name__)


@dataclass
class Trainer:
    """A network in training.

    Attributes:
        network: the weights that gradients change.
        average: their exponential moving average, which is validated and saved.
        optimizer: of `network`.
        config: schedule and limits.
        step: steps done.
        best: best validation score so far, see `best_metric`; higher is better.
        best_metric: the metric of `best`, see `ValidationConfig.metric`.
        loss: moving average of the training loss.
        norms_frozen: whether batch norm uses fixed statistics.
    """

    network: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    config: OptimConfig
    step: int = 0
    best: float = float("-inf")
    best_metric: str = DEFAULT_METRIC
    loss: float = float("nan")
    norms_frozen: bool = False

    def start_from(self, model: Model) -> None:
        """Loads the weights of a trained model.

        Raises:
            ConfigError: the model is of another network, or an ONNX graph.
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
        """Whether batch norm should change to fixed statistics; the caller computes them and sets `norms_frozen`."""
        return not self.norms_frozen and self.step >= self.config.first_frozen_step

    def learn(
        self,
        objective: CombinedLoss,
        noisy: Tensor,
        target: Tensor,
        teacher_output: Tensor | None = None,
        process_group: ProcessGroup = SINGLE_PROCESS,
        parallel: nn.Module | None = None,
    ) -> float:
        """Takes one step of enhancement training; returns the loss before it.

        Args:
            objective: the loss.
            noisy, target: samples `(B, n)`.
            teacher_output: the teachers' output `(B, n)`, for distillation.
            process_group: the processes that take this step together, each on its own examples.
            parallel: `process_group.parallel(network)`; None runs the network itself.
        """
        transform = objective.transform
        strengths = self._strengths(objective.config.recognizer_strength, len(noisy), process_group.rank)

        def loss() -> Tensor:
            example = None if teacher_output is None else transform.forward(teacher_output)
            estimate = transform.enhanced(self.network if parallel is None else parallel, noisy)
            return objective(
                estimate, transform.forward(noisy), transform.forward(target), example, strengths.to(noisy.device)
            )

        return self.update(loss, process_group)

    def _strengths(self, bounds: tuple[float, float], size: int, rank: int) -> Tensor:
        """Returns random strengths `(size,)` within bounds, the same whenever this step is taken."""
        rng = np.random.default_rng((self.config.seed, self.step, rank))
        return torch.from_numpy(rng.uniform(*bounds, size).astype(np.float32))

    def update(self, compute_loss: Callable[[], Tensor], process_group: ProcessGroup = SINGLE_PROCESS) -> float:
        """Takes one optimizer step; returns the loss before it. A gradient that is not finite is skipped.

        Args:
            compute_loss: forward pass; returns a scalar that depends on `network`.
            process_group: see `learn`.
        """
        rate = learning_rate(self.step, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.network.train()
        if self.norms_frozen:
            freeze_norms(self.network)
        loss = compute_loss()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
        if torch.isfinite(norm):
            self.optimizer.step()
            update_ema(self.average, self.network, self.config.ema_decay, self.step)
        else:
            logger.warning("step %d: gradient is not finite, skipped", self.step)
        self.step += 1
        value = float(process_group.mean(loss.detach()))
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
            "best_metric": self.best_metric,
            "loss": self.loss,
            "norms_frozen": self.norms_frozen,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continues from a state.

        Raises:
            ConfigError: the state is of another network, or incomplete.
        """
        try:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            fused = self.optimizer.defaults["fused"]  # not that of the checkpoint, which may be from another device
            groups = [group | {"fused": fused} for group in state["optimizer"]["param_groups"]]
            self.optimizer.load_state_dict(state["optimizer"] | {"param_groups": groups})
            self.step, self.best, self.loss = state["step"], state["best"], state["loss"]
            self.best_metric = state.get("best_metric", DEFAULT_METRIC)
            # After the schedule was extended, batch statistics are used again until its own frozen part.
            self.norms_frozen = state["norms_frozen"] and self.step >= self.config.first_frozen_step
        except (KeyError, RuntimeError, ValueError) as error:
            raise ConfigError(f"the checkpoint does not fit this network: {error}; start without --resume") from error


def new_trainer(config: OptimConfig, network_name: str = "gtcrn") -> Trainer:
    """Returns a trainer of a network by name, with random weights from the seed of `config`."""
    torch.manual_seed(config.seed)
    return trainer_of(new_net(network_name), new_net(network_name), config)


def trainer_of(network: nn.Module, average: nn.Module, config: OptimConfig) -> Trainer:
    """Returns a trainer of a network; `average`, of the same shape, gets its weights."""
    network, average = network.to(config.device), average.to(config.device)
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
    """Replaces layers by compiled ones if numba is installed; warns otherwise."""
    try:
        from gtcrn_frontend.training.cpu_kernels.fused_conv import fuse_convolutions
        from gtcrn_frontend.training.cpu_kernels.fused_gru import fuse_recurrences
        from gtcrn_frontend.training.cpu_kernels.fused_unas import fuse_ulunas
    except ImportError as error:
        logger.warning("numba is not installed: training takes more than twice the time (%s)", error)
        return
    fuse_recurrences(network)
    fuse_convolutions(network)
    fuse_ulunas(network)
