"""`SpeechBrainRecognizer`: a SpeechBrain model with this package's `Recognizer` interface."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import yaml
from speechbrain.inference.ASR import EncoderASR, EncoderDecoderASR, WhisperASR
from speechbrain.utils.fetching import LocalStrategy

from gtcrn_frontend.adapters.speechbrain.frontend import EnhanceFrontend
from gtcrn_frontend.adapters.speechbrain.normalizer import EnhancingAudioNormalizer
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.evaluation.asr.recognizer import Transcript

HPARAMS_FILE = "hyperparams.yaml"

_log = logging.getLogger(__name__)


class SpeechBrainRecognizer:
    """Transcribes utterances with an inference class of SpeechBrain.

    Args:
        recognizer: `EncoderASR`, `EncoderDecoderASR`, `WhisperASR`, or one wrapped by `with_frontend`: any object with
            `transcribe_batch(wavs, wav_lens)` and an `audio_normalizer`.
    """

    def __init__(self, recognizer: Any) -> None:
        self._recognizer = recognizer

    def __call__(self, samples: npt.NDArray[np.float32], sample_rate: int) -> Transcript:
        """Returns the transcript of samples `(n,) float32` in [-1, 1] at `sample_rate` Hz."""
        signal = self._recognizer.audio_normalizer(torch.from_numpy(samples), sample_rate)
        with torch.no_grad():
            found, *_ = self._recognizer.transcribe_batch(signal[None], torch.ones(1))
        text = found[0] if isinstance(found[0], str) else " ".join(found[0])  # Whisper's are lists of words
        return Transcript(" ".join(text.split()))


def load_recognizer(path: str | Path) -> SpeechBrainRecognizer:
    """Loads a model from its folder or hyperparameter file, which can execute arbitrary code: load trusted files only.

    The model's own front-ends are removed: an `EnhancingAudioNormalizer`, and any `EnhanceFrontend` among its modules.

    Args:
        path: a folder with `hyperparams.yaml`, or a hyperparameter file of any name.

    Raises:
        ConfigError: the file does not exist, or does not describe a recogniser of complete utterances.
        ModelError: the model cannot be loaded.
    """
    path = Path(path)
    file = path / HPARAMS_FILE if path.is_dir() else path
    kind = _class_for(file)
    try:
        recognizer = kind.from_hparams(
            source=str(file.parent),
            hparams_file=file.name,
            savedir=str(file.parent),
            local_strategy=LocalStrategy.NO_LINK,
        )
    except Exception as error:  # any exception of the classes named in the file
        raise ModelError(f"{file}: the model cannot be loaded: {type(error).__name__}: {error}") from error
    _leave_out_frontends(recognizer, file)
    return SpeechBrainRecognizer(recognizer)


def _leave_out_frontends(recognizer: Any, file: Path) -> None:
    """Removes the model's own front-ends: the caller decides whether the input is enhanced."""
    left_out = []
    while isinstance(recognizer.audio_normalizer, EnhancingAudioNormalizer):
        recognizer.audio_normalizer = recognizer.audio_normalizer.normalizer
        left_out.append(EnhancingAudioNormalizer.__name__)
    settings = vars(recognizer.hparams).values()
    modules = [recognizer, *(value for value in settings if isinstance(value, torch.nn.Module))]
    for frontend in {part for module in modules for part in module.modules() if isinstance(part, EnhanceFrontend)}:
        frontend.strength = 0.0  # cannot be removed from the middle of a network
        frontend.train_strength = None
        left_out.append(EnhanceFrontend.__name__)
    if left_out:
        _log.warning("%s: removed the model's own front-end (%s)", file, ", ".join(left_out))


def _class_for(file: Path) -> Any:
    """Returns the inference class for the names defined in the file."""
    names = _names(file)
    modules = names.get("modules", set())
    if {"whisper", "decoder"} <= modules:
        return WhisperASR
    if {"encoder", "decoder"} <= modules:
        return EncoderDecoderASR
    if "encoder" in modules and "decoding_function" in names:
        return EncoderASR
    raise ConfigError(
        f"{file}: expected modules encoder and decoder, whisper and decoder, or encoder with a decoding_function, "
        f"got modules {', '.join(sorted(modules)) or 'none'}: write a module:function around this model"
    )


def _names(file: Path) -> dict[str, set[str]]:
    """Returns the top-level names of a hyperparameter file and the names below each, without instantiating anything."""
    try:
        root = yaml.compose(file.read_text(encoding="utf-8"), yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: expected a hyperparameter file of SpeechBrain: {error}") from error
    return {key.value: _keys(value) for key, value in root.value} if isinstance(root, yaml.MappingNode) else {}


def _keys(node: yaml.Node) -> set[str]:
    return {key.value for key, _ in node.value} if isinstance(node, yaml.MappingNode) else set()
