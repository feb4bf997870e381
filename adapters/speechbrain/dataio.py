"""`enhanced_audio_pipeline`: reads, resamples and enhances files in a recipe's data pipeline."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import soundfile
import torch
from speechbrain.utils.data_pipeline import DynamicItem

from gtcrn_frontend.adapters.speechbrain.frontend_settings import FrontendSettings
from gtcrn_frontend.atomic_write import replaced_at_end
from gtcrn_frontend.audio.io import open_audio
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.deprecation import renamed_arguments
from gtcrn_frontend.engines.loading import load
from gtcrn_frontend.enhancer import Enhancer
from gtcrn_frontend.errors import AudioFormatError, ConfigError
from gtcrn_frontend.model_spec import GTCRN_SPEC
from gtcrn_frontend.settings import check_keywords

_CACHE_VERSION = 1

_log = logging.getLogger(__name__)


@renamed_arguments(guard="auto_strength")
def enhanced_audio_pipeline(
    takes: str | Sequence[str] = "wav",
    provides: str = "sig",
    *,
    model: str | Path = EnhancerConfig.model,
    sample_rate: int = GTCRN_SPEC.sample_rate,
    cache_folder: str | Path | None = None,
    **settings: Unpack[FrontendSettings],
) -> Any:
    """Returns a dynamic item for `speechbrain.dataio.dataset.add_dynamic_item`: files in, enhanced mono signals out.

    Files may have any rate and any number of channels, which are averaged. For a random strength, use
    `EnhanceFrontend(train_strength=...)` instead.

    Args:
        takes: key of the file: a path, or a dict with `file`, `start` and `stop` (samples) as for SpeechBrain's
            `read_audio`; or three keys, for path, start and stop.
        provides: key of the signal, `(n,)` float32.
        model: name of a registered model, or path of a checkpoint or streaming ONNX file.
        sample_rate: of the signal in Hz.
        cache_folder: folder for a cache of enhanced signals (4 bytes per sample), keyed by file content and settings;
            created if missing. Processes may share it.
        **settings: see `EnhanceFrontend`.

    Raises:
        ConfigError: a setting is out of range, or `takes` is neither one key nor three.
    """
    keys = [takes] if isinstance(takes, str) else list(takes)
    if len(keys) not in (1, 3):
        raise ConfigError(f"takes: expected one key, or three (file, start, stop), got {keys}")
    check_keywords(settings, FrontendSettings.__annotations__, "enhanced_audio_pipeline")
    config = EnhancerConfig(model=model, output_sample_rate=sample_rate, downmix=True, **settings)
    cache = None if cache_folder is None else Path(cache_folder)
    return DynamicItem(takes=keys, func=EnhancedAudio(config, cache), provides=[provides])


class EnhancedAudio:
    """Reads and enhances a file; can be pickled, and creates its engines in the calling process."""

    def __init__(self, config: EnhancerConfig, cache_folder: Path | None) -> None:
        """Takes the settings of the enhancer; input rate and channels are those of each file."""
        self._config = config
        self._cache_folder = cache_folder
        self._enhancers: dict[tuple[int, int], Enhancer] = {}

    def __call__(
        self, wav: str | Path | dict[str, Any], start: int | str | None = None, stop: int | str | None = None
    ) -> torch.Tensor:
        """Returns the enhanced signal `(n,)` float32 of a file, or of its samples `[start, stop)`.

        Raises:
            AudioFormatError: the file cannot be read, or is shorter than requested.
            ModelError: the model or the engine cannot be loaded.
        """
        if isinstance(wav, dict):
            return self(wav["file"], wav.get("start"), wav.get("stop"))
        path, first, last = Path(wav), int(start or 0), None if stop is None else int(stop)
        if self._cache_folder is None:
            return torch.from_numpy(self._enhanced(path, first, last))
        return torch.from_numpy(self._cached(path, first, last, self._cache_folder))

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_enhancers": {}}

    def _cached(self, path: Path, start: int, stop: int | None, folder: Path) -> F32:
        key = self._key(path, start, stop)
        entry = folder / key[:2] / f"{key}.npy"
        try:
            signal: F32 = np.load(entry, allow_pickle=False)
            if signal.dtype == np.float32 and signal.ndim == 1:
                return signal
            _log.warning("%s is not a cached signal: enhancing %s again", entry, path)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, EOFError) as error:
            _log.warning("%s cannot be read (%s): enhancing %s again", entry, error, path)
        signal = self._enhanced(path, start, stop)
        entry.parent.mkdir(parents=True, exist_ok=True)
        with replaced_at_end(entry) as temporary, temporary.open("wb") as file:
            np.save(file, signal)
        return signal

    def _key(self, path: Path, start: int, stop: int | None) -> str:
        """Returns the cache key: a hash of everything the signal depends on."""
        try:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise AudioFormatError(f"{path}: cannot be read: {error.strerror}") from error
        loaded = load(self._config.model, self._config.engine)
        auto_strength = (
            asdict(self._config.auto_strength_config) if self._config.strength == "auto" else None
        )  # the effective parameters, also if None
        settings = self._config.to_dict() | {
            "model": loaded.model.digest,
            "engine": loaded.engine.name,
            "auto_strength": auto_strength,
        }
        facts = [_CACHE_VERSION, content, start, stop, settings]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def _enhanced(self, path: Path, start: int, stop: int | None) -> F32:
        with open_audio(path) as audio:
            last = audio.frames if stop is None else stop
            if not 0 <= start <= last <= audio.frames:
                raise AudioFormatError(f"{path}: expected samples {start} to {last}, got {audio.frames} in total")
            try:
                audio.seek(start)
                samples = audio.read(last - start, dtype="float32")
            except soundfile.LibsndfileError as error:
                raise AudioFormatError(f"{path}: damaged or truncated: {error}") from error
            rate, channels = audio.samplerate, audio.channels
        if len(samples) < last - start:
            raise AudioFormatError(f"{path}: truncated: expected {last - start} samples, got {len(samples)}")
        try:
            enhanced: F32 = self._enhancer(rate, channels).enhance(samples)
        except (AudioFormatError, ConfigError) as error:
            raise AudioFormatError(f"{path}: {error}") from error
        return enhanced

    def _enhancer(self, rate: int, channels: int) -> Enhancer:
        if (rate, channels) not in self._enhancers:
            settings = self._config.to_dict() | {"sample_rate": rate, "channels": channels}
            self._enhancers[rate, channels] = Enhancer(**settings)
        return self._enhancers[rate, channels]
