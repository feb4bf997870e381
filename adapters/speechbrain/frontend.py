"""`EnhanceFrontend`: the enhancer as a torch module, for `modules:` of a SpeechBrain recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from speechbrain.utils.checkpoints import mark_as_transfer, register_checkpoint_hooks
from torch import Tensor, nn

from gtcrn_frontend.adapters.speechbrain.differentiable import enhanced_on_few_threads
from gtcrn_frontend.adapters.speechbrain.frontend_settings import (
    BATCHES,
    FrontendSettings,
    check_waveforms,
    frontend_config,
)
from gtcrn_frontend.adapters.speechbrain.frozen import FrozenEngine
from gtcrn_frontend.adapters.speechbrain.network import (
    ReadyGraph,
    module_for,
    take_weights,
    weights_file,
    write_weights,
)
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.config import EnhancerConfig, Strength
from gtcrn_frontend.deprecation import renamed_arguments
from gtcrn_frontend.engines.loading import load
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.model_spec import GTCRN_SPEC
from gtcrn_frontend.weights.model import load_model


@register_checkpoint_hooks
class EnhanceFrontend(nn.Module):
    """Enhances a batch of waveforms: same shape, sample-aligned, zero padding.

    Examples:
        >>> frontend = EnhanceFrontend()
        >>> frontend(torch.randn(2, 16000) / 10, lengths=torch.tensor([1.0, 0.5])).shape
        torch.Size([2, 16000])

    The weights are in the state dict in both modes, under the same names: a checkpoint of a trained front-end also
        loads into a frozen one, and saved weights take precedence over `model` when training resumes.

    Args:
        model: name of a registered model, or path of a checkpoint of any network (safetensors, a released `.tar`, or
            one saved by SpeechBrain's `Checkpointer`) or of a streaming ONNX file.
        trainable: False runs the fastest engine on the CPU, without gradients; True runs the torch network,
            differentiable, on the device of the samples. May be set at any time, except for ONNX files, which cannot be
            trained.
        train_strength: the strength in training mode; a pair (low, high) is sampled uniformly for each item of a batch;
            None: `strength`, which must then be a number if the front-end is trained.
        freeze_batch_norm: keep the running statistics of batch norms fixed in training. Scales and biases are trained
            in any case.
        sample_rate: of the waveforms in Hz; a frozen front-end resamples, a trainable one supports only the model's
            rate.
        **settings: fields of `EnhancerConfig`: engine and threads (items of a batch at once) of a frozen front-end,
            strength (may be set at any time), `segment_latency_ms` of `StreamingASR`. With `strength="auto"` the
            samples run through the engine: a trainable front-end has no gradients then.

    Raises:
        ConfigError: a setting is out of range.
        ModelError: the model cannot be loaded, or cannot be trained.
    """

    @renamed_arguments(guard="auto_strength")
    def __init__(
        self,
        model: str | Path = EnhancerConfig.model,
        *,
        trainable: bool = False,
        train_strength: float | Sequence[float] | None = None,
        freeze_batch_norm: bool = True,
        sample_rate: int = GTCRN_SPEC.sample_rate,
        **settings: Unpack[FrontendSettings],
    ) -> None:
        super().__init__()
        config = frontend_config(sample_rate, settings)
        self.sample_rate = sample_rate
        self.freeze_batch_norm = freeze_batch_norm
        self.strength = config.strength
        self.train_strength = train_strength
        loaded = load(model, config.engine, segment_latency_ms=config.segment_latency_ms)
        self._spec = loaded.engine.spec
        self.net = module_for(loaded.model)
        self._learnable = {name for name, parameter in self.net.named_parameters() if parameter.requires_grad}
        self.engine = FrozenEngine(self.net, self._spec.name, config)
        take_weights(self.net, loaded.model)
        self.trainable = trainable
        self.train()

    @classmethod
    def from_config(cls, config: EnhancerConfig | str | Path, **settings: Any) -> EnhanceFrontend:
        """Returns a front-end with an enhancer's settings, from a config or a YAML file as written by `calibrate`.

        In YAML: `!apply:gtcrn_frontend.adapters.speechbrain.EnhanceFrontend.from_config [frontend.yaml]`.

        Args:
            config: its model, engine, strength, bypass, auto strength, threads and latency are used.
            settings: override those of the config, see `EnhanceFrontend`.

        Raises:
            ConfigError: the file is invalid, or has settings that do not apply to batches of waveforms: other rates or
                channels.
        """
        if not isinstance(config, EnhancerConfig):
            config = EnhancerConfig.from_yaml(config)
        given = {f.name: getattr(config, f.name) for f in fields(config) if getattr(config, f.name) != f.default}
        if wrong := given.keys() & {"output_sample_rate", "channels", "downmix"}:
            raise ConfigError(f"expected settings without {', '.join(sorted(wrong))} for SpeechBrain, {BATCHES}")
        return cls(**given | settings)

    @property
    def trainable(self) -> bool:
        """Whether the torch network runs and its parameters have gradients."""
        return self._trainable

    @trainable.setter
    def trainable(self, trainable: bool) -> None:
        if not isinstance(trainable, bool):
            raise ConfigError(f"trainable: expected true or false, got {trainable!r}")
        if trainable and isinstance(self.net, ReadyGraph):
            raise ModelError(
                "expected a checkpoint with weights (.safetensors, .tar) for a trainable front-end, got an ONNX graph: "
                "that cannot be trained, and runs with trainable=False"
            )
        if trainable and self.sample_rate != self._spec.sample_rate:
            raise ConfigError(
                f"expected waveforms of {self._spec.sample_rate} Hz for a trainable front-end, got {self.sample_rate}: "
                "resample them before, or freeze the front-end, which then resamples by itself"
            )
        self._trainable = trainable
        for name, parameter in self.net.named_parameters():
            parameter.requires_grad_(trainable and name in self._learnable)
            if not trainable:
                parameter.grad = None
        self.train(self.training)

    @property
    def strength(self) -> Strength:
        """0 (input unchanged) to 1 (full enhancement), or `auto`."""
        return self._strength

    @strength.setter
    def strength(self, strength: Strength) -> None:
        self._strength = EnhancerConfig(strength=strength).strength_or_auto

    @property
    def train_strength(self) -> tuple[float, float] | None:
        """Lowest and highest strength in training mode; None: `strength`."""
        return self._train_strength

    @train_strength.setter
    def train_strength(self, train_strength: float | Sequence[float] | None) -> None:
        if train_strength is None:
            self._train_strength = None
            return
        ends = list(train_strength) if isinstance(train_strength, Sequence) else [train_strength] * 2
        if len(ends) != 2 or ends[0] > ends[1]:
            raise ConfigError(f"train_strength: expected a number or a pair (low, high), got {train_strength!r}")
        low, high = (EnhancerConfig(strength=end).effective_strength for end in ends)
        self._train_strength = (low, high)

    def forward(self, wavs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Returns the enhanced waveforms, in the shape and type of the input.

        It computes in float32, also under autocast, after `.half()` and the like, which leave its weights as they are,
            and whatever torch's default type is. A trainable front-end propagates NaN and infinity.

        Args:
            wavs: `(batch, time)` or `(batch, time, channels)` floats in [-1, 1]; channels are enhanced independently.
            lengths: `(batch,)`, fractions of `time` in (0, 1]; padding beyond is ignored and returned as zeros. None:
                no padding.

        Raises:
            AudioFormatError: wrong shape or type, a length outside of (0, 1], and from a frozen front-end NaN, infinity
                or floats beyond +-8.
            ConfigError: the front-end is being trained, and its strength is `auto`.
        """
        result: Tensor = self._enhance(wavs, lengths)
        return result

    def enhance_batch(self, noisy: Tensor, lengths: Tensor | None = None) -> Tensor:
        """As `forward`, but moves the samples to the network's device, like SpeechBrain's `WaveformEnhancement`."""
        device = next(self.net.parameters()).device if self.trainable else noisy.device
        result: Tensor = self(noisy.to(device), lengths)
        return result

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> EnhanceFrontend:
        """Moves the weights; their type stays float32, so that `.half()` of a whole recipe does not round them."""

        def moved(tensor: Tensor) -> Tensor:
            result = fn(tensor)
            return result if result.dtype == tensor.dtype else tensor.to(result.device)

        super()._apply(moved, recurse)  # type: ignore[no-untyped-call]
        return self

    def train(self, mode: bool = True) -> EnhanceFrontend:
        """Sets training mode; frozen batch norm statistics stay frozen."""
        super().train(mode)
        if self.freeze_batch_norm:
            for module in self.net.modules():
                if isinstance(module, (nn.BatchNorm2d, nn.SyncBatchNorm)):
                    module.eval()
        return self

    def save_safetensors(self, path: str | Path) -> None:
        """Writes the weights to a file for `Enhancer(model=path)`, atomically.

        Raises:
            ModelError: the front-end runs an ONNX graph.
        """
        if isinstance(self.net, ReadyGraph):
            raise ModelError(f"expected weights to write to {path}, got a front-end with an ONNX graph: copy its file")
        write_weights(self.net, Path(path), self._spec.name)

    @mark_as_transfer  # type: ignore[untyped-decorator]
    def load_weights(self, path: str | Path) -> None:
        """Loads the weights of a checkpoint of the same network; SpeechBrain's `Pretrainer` calls it.

        Args:
            path: see `model`. A `Pretrainer` converts everything to a path; if there is no such file, the last part of
                the path may be the name of a registered model.

        Raises:
            ModelError: the file cannot be read, is damaged, or is of another network.
        """
        network = "" if isinstance(self.net, ReadyGraph) else self._spec.name
        take_weights(self.net, load_model(weights_file(Path(path)), network))

    def extra_repr(self) -> str:
        """Returns the settings for `repr`."""
        return f"trainable={self.trainable}, strength={self.strength}, train_strength={self.train_strength}"

    def _strengths(self, count: int) -> list[Strength]:
        if not self.training or self.train_strength is None:
            return [self.strength] * count
        low, high = self.train_strength
        drawn: list[Strength] = (low + (high - low) * torch.rand(count)).tolist()
        return drawn

    # torch.compile cannot trace a GRU, and spends minutes on the code in between. Not on `forward` itself: SpeechBrain
    # inspects its signature, which a decorator would hide.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _enhance(self, wavs: Tensor, lengths: Tensor | None) -> Tensor:
        check_waveforms(wavs, lengths)
        strengths = self._strengths(wavs.shape[0])
        counts = torch.full((wavs.shape[0],), wavs.shape[1], device=wavs.device)
        if lengths is not None:
            counts = (lengths.to(wavs.device, torch.float32) * wavs.shape[1]).round().long()
        rows = wavs
        if wavs.dim() == 3:
            rows = wavs.transpose(1, 2).flatten(0, 1)
            counts = counts.repeat_interleave(wavs.shape[2])
            strengths = [strength for strength in strengths for _ in range(wavs.shape[2])]
        if wavs.numel():
            rows = self._enhance_rows(rows, counts, strengths)
        return rows if wavs.dim() == 2 else rows.view(wavs.transpose(1, 2).shape).transpose(1, 2)

    def _enhance_rows(self, rows: Tensor, counts: Tensor, strengths: list[Strength]) -> Tensor:
        """Enhances rows `(N, time)` with the given sample counts and strengths."""
        if self.trainable and "auto" not in strengths:
            return self._enhance_trainable(
                rows, counts, torch.tensor(strengths, dtype=torch.float32, device=rows.device)
            )
        if self.trainable and self.training:
            raise ConfigError(
                "expected a strength that is a number while the front-end is trained, got 'auto': "
                "set train_strength, for example to [0.5, 1.0]; outside of training it may stay 'auto'"
            )
        return self._enhance_frozen(rows, counts, strengths)

    def _enhance_trainable(self, rows: Tensor, counts: Tensor, strengths: Tensor) -> Tensor:
        """Runs rows through the torch network."""
        with torch.autocast(rows.device.type, enabled=False):
            mask = torch.arange(rows.shape[1], device=rows.device) < counts[:, None]
            dry = torch.where(mask, rows.float(), 0.0)
            strength = strengths[:, None]
            mixed = strength * enhanced_on_few_threads(self.net, self._spec, dry) + (1 - strength) * dry
            return torch.where(mask, mixed, 0.0).to(rows.dtype)

    def _enhance_frozen(self, rows: Tensor, counts: Tensor, strengths: list[Strength]) -> Tensor:
        """Runs rows through the engine."""
        samples: F32 = rows.detach().to("cpu", torch.float32).numpy()
        signals = [row[:count] for row, count in zip(samples, counts.tolist(), strict=True)]
        results = np.zeros_like(samples)
        for row, signal in zip(results, self.engine.enhance(signals, strengths), strict=True):
            row[: len(signal)] = signal
        return torch.from_numpy(results).to(rows.device, rows.dtype)
