"""`FrontendMixin`: enhances the batches of a SpeechBrain `Brain` and trains the front-end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from speechbrain.core import Brain
from speechbrain.dataio.batch import PaddedData
from torch import Tensor

from gtcrn_frontend.adapters.speechbrain.frontend import EnhanceFrontend
from gtcrn_frontend.errors import ConfigError

STAGES = ("train", "valid", "test")


class FrontendMixin:
    """Mixin for `sb.Brain`: enhances `batch.sig` before `compute_forward`.

        class ASR(FrontendMixin, sb.Brain):
            ... # unchanged

    It also works with an existing Brain, `class EnhancedASR(FrontendMixin, ASR)`. `modules` must contain exactly one
    `EnhanceFrontend`. Optional settings in the YAML:

        frontend_stages: [train, valid, test]      # where to enhance
        frontend_input: sig                        # which item of the batch
        frontend_train_epochs: [3, null]           # first and last epoch in which the front-end is trained
        frontend_opt_class: !name:torch.optim.Adam # its own optimizer, with its own learning rate
            lr: 0.0001

    For a random strength per item in training, see `EnhanceFrontend`. A recipe that adds noise in `compute_forward`
    (`wav_augment`) would add it after the enhancement: call the front-end before `compute_features` there instead of
    using this class.

    Attributes:
        frontend: the front-end.
        enhanced: enhanced waveforms and lengths of the last batch, with gradients, for waveform losses in
            `compute_objectives`, where `batch.sig` is the original; None before the first batch.

    Raises:
        ConfigError: `modules` does not contain exactly one front-end, or a setting is invalid; for a class that names
            the Brain before the mixin, already where it is defined.
    """

    hparams: Any
    modules: Any
    optimizers_dict: Any
    checkpointer: Any
    device: Any
    compute_forward: Callable[..., Any]
    on_stage_start: Callable[..., Any]
    init_optimizers: Callable[[], Any]
    freeze_optimizers: Callable[..., Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        bases = cls.__mro__
        # `Brain.__init__` calls no other: behind it, this class would never run, and training would use noisy batches.
        if Brain in bases and bases.index(Brain) < bases.index(FrontendMixin):
            names = [base.__name__ for base in cls.__bases__]
            right = ["FrontendMixin", *(name for name in names if name != "FrontendMixin")]
            raise ConfigError(
                f"expected FrontendMixin before the Brain, class {cls.__name__}({', '.join(right)}), "
                f"got class {cls.__name__}({', '.join(names)}), which would never enhance"
            )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        found = {name: module for name, module in self.modules.items() if isinstance(module, EnhanceFrontend)}
        if len(found) != 1:
            raise ConfigError(f"expected one EnhanceFrontend among the modules of the Brain, got {sorted(found)}")
        ((self._frontend_name, self.frontend),) = found.items()
        self.enhanced: PaddedData | None = None
        self._stages = _stages(self._setting("frontend_stages", STAGES))
        self._input: str = self._setting("frontend_input", "sig")
        self._train_epochs = _epochs(self._setting("frontend_train_epochs", None))
        self._opt_class = self._setting("frontend_opt_class", None)
        # Wrapped on the instance, because recipes define these methods in a class before or after this one in the MRO.
        self.compute_forward = partial(self._compute_forward, self.compute_forward)
        self.on_stage_start = partial(self._on_stage_start, self.on_stage_start)
        self.init_optimizers = partial(self._init_optimizers, self.init_optimizers)
        self.freeze_optimizers = partial(self._freeze_optimizers, self.freeze_optimizers)

    def _setting(self, name: str, default: Any) -> Any:
        return getattr(getattr(self, "hparams", None), name, default)

    def _compute_forward(self, compute_forward: Callable[..., Any], batch: Any, stage: Any) -> Any:
        if stage.name.lower() not in self._stages:
            return compute_forward(batch, stage)
        if hasattr(batch, "to"):
            batch = batch.to(self.device)
        given = getattr(batch, self._input)
        wavs, lengths = given
        enhanced: Tensor = self.modules[self._frontend_name](wavs, lengths)
        self.enhanced = PaddedData(enhanced, lengths)
        setattr(batch, self._input, self.enhanced)
        try:
            return compute_forward(batch, stage)
        finally:
            setattr(batch, self._input, given)  # a reused batch must not be enhanced twice

    def _on_stage_start(self, on_stage_start: Callable[..., Any], stage: Any, epoch: int | None = None) -> Any:
        if stage.name == "TRAIN" and self._train_epochs is not None and epoch is not None:
            first, last = self._train_epochs
            self.frontend.trainable = first <= epoch and (last is None or epoch <= last)
        return on_stage_start(stage, epoch)

    def _init_optimizers(self, init_optimizers: Callable[[], Any]) -> None:
        init_optimizers()
        if self._opt_class is None:
            return
        own = {id(parameter) for parameter in self.frontend.parameters()}
        self.optimizers_dict = self.optimizers_dict or {}  # None if the recogniser is not trained
        for optimizer in self.optimizers_dict.values():
            for group in optimizer.param_groups:
                group["params"] = [parameter for parameter in group["params"] if id(parameter) not in own]
        optimizer = self._opt_class(list(self.frontend.parameters()))
        self.optimizers_dict["frontend"] = optimizer
        if self.checkpointer is not None:
            self.checkpointer.add_recoverable("frontend_optimizer", optimizer)

    def _freeze_optimizers(self, freeze_optimizers: Callable[..., Any], optimizers: Any) -> Any:
        active = freeze_optimizers(optimizers)
        if self.frontend.trainable:
            return active
        # A gradient scaler rejects a step of an optimizer whose parameters have no gradients.
        return {name: optimizer for name, optimizer in active.items() if name != "frontend"}


def _stages(stages: Any) -> frozenset[str]:
    unknown = [stage for stage in stages if stage not in STAGES]
    if isinstance(stages, str) or unknown:
        raise ConfigError(f"frontend_stages: expected a list out of {list(STAGES)}, got {stages!r}")
    return frozenset(stages)


def _epochs(epochs: Any) -> tuple[int, int | None] | None:
    if epochs is None:
        return None
    if len(epochs) != 2 or not isinstance(epochs[0], int) or not isinstance(epochs[1], int | None):
        raise ConfigError(f"frontend_train_epochs: expected [first, last], last may be null, got {epochs!r}")
    return epochs[0], epochs[1]
