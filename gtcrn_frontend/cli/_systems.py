"""What `evaluate` compares: models at strengths, by names that tell them apart, and the unprocessed input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.engines.loading import load

if TYPE_CHECKING:
    from gtcrn_frontend.config import Strength

NOISY = "noisy"


def systems_of(models: Sequence[str], strengths: Sequence[Strength], engine: str) -> dict[str, EnhancerConfig]:
    """Returns settings by name: the input first, then every model at every strength.

    A name is that of the model, or of its file; with its path where two would be the same, and with the strength if
    there are several.

    Raises:
        ConfigError: an engine or a strength that there is not.
        ModelError: a model cannot be loaded.
    """
    from gtcrn_frontend.evaluation.systems import RAW, name_of_model, name_of_setting

    configs = [EnhancerConfig(model=model, engine=engine) for model in dict.fromkeys(models)]
    for config in configs:
        load(config.model, config.engine)
    times = Counter([NOISY, *map(name_of_model, configs)])
    systems = {NOISY: RAW}
    for config in configs:
        name = name_of_model(config)
        for strength in dict.fromkeys(strengths):
            setting = EnhancerConfig(model=config.model, engine=engine, strength=strength)
            with_strength = name_of_setting(setting).removeprefix(name) if strength != 1 or len(strengths) > 1 else ""
            systems[(name if times[name] == 1 else str(config.model)) + with_strength] = setting
    return systems
