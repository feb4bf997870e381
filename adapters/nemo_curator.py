"""`EnhanceStage`: enhancement as a stage of a NeMo Curator pipeline."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

try:
    from nemo_curator.stages.base import ProcessingStage
    from nemo_curator.stages.resources import Resources
    from nemo_curator.tasks import AudioTask
except ImportError as _error:
    raise ImportError(f"{__name__} needs NeMo Curator ({_error}): pip install nemo-curator", name="nemo_curator") from (
        _error
    )

from gtcrn_frontend.adapters.whole_signals import WholeSignalSettings, enhance_signal
from gtcrn_frontend.config import DEFAULT_STRENGTH, EnhancerConfig, Strength
from gtcrn_frontend.errors import AudioFormatError


@dataclass
class EnhanceStage(ProcessingStage[AudioTask, AudioTask]):  # type: ignore[misc]  # the library has no types
    """Enhances the waveform of each task; shape, type and sample rate stay. A worker loads the model once.

    `pipeline.add_stage(EnhanceStage(strength=0.8))`, behind a stage that reads audio.

    Args:
        strength: weight of the enhanced signal, 0 to 1, or `auto`.
        settings: model, engine and so on, see `EnhancerConfig`.
        waveform_key: key of the samples, `(n,)` or `(channels, n)`, a tensor or an array in [-1, 1].
        sample_rate_key: key of the rate in Hz.

    Raises:
        ConfigError: a setting is out of range.
    """

    strength: Strength = DEFAULT_STRENGTH
    settings: WholeSignalSettings = field(default_factory=WholeSignalSettings)
    waveform_key: str = "waveform"
    sample_rate_key: str = "sample_rate"
    name: str = "Enhance"
    batch_size: int = 1
    resources: Any = field(default_factory=lambda: Resources(cpus=1.0))

    def __post_init__(self) -> None:
        super().__init__()
        self._config = EnhancerConfig(strength=self.strength, **self.settings)

    def inputs(self) -> tuple[list[str], list[str]]:
        """Returns the attributes and keys that a task must have."""
        return [], [self.waveform_key, self.sample_rate_key]

    def outputs(self) -> tuple[list[str], list[str]]:
        """Returns the attributes and keys that a task then has."""
        return self.inputs()

    def setup(self, worker_metadata: Any = None) -> None:
        """Loads the model, in each worker."""
        enhance_signal(np.zeros(0, np.float32), 16000, self._config)

    def process(self, task: Any) -> Any:
        """Returns the task, its waveform enhanced.

        Raises:
            AudioFormatError: the keys are missing, or samples cannot be processed.
        """
        try:
            waveform, rate = task.data[self.waveform_key], int(task.data[self.sample_rate_key])
        except KeyError as error:
            raise AudioFormatError(f"expected the key {error} in a task, got {', '.join(task.data)}") from error
        is_tensor = hasattr(waveform, "detach")
        enhanced = enhance_signal(waveform.detach().cpu().numpy() if is_tensor else waveform, rate, self._config)
        task.data[self.waveform_key] = waveform.new_tensor(enhanced) if is_tensor else enhanced
        return task
