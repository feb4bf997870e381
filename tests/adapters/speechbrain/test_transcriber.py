"""`SpeechBrainRecognizer` around a tiny network with random weights, loaded from a model's folder as users have one."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gtcrn_frontend.adapters.speechbrain.transcriber import SpeechBrainRecognizer, load_recognizer
from gtcrn_frontend.errors import ConfigError, ModelError

HPARAMS = """
__set_seed: !apply:torch.manual_seed [1]
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
tokenizer: !new:letters_of_test.Letters
decoding_function: !name:speechbrain.decoders.ctc_greedy_decode
    blank_id: 0
modules:
    encoder: !new:speechbrain.nnet.containers.LengthsCapableSequential
        features: !new:speechbrain.lobes.features.Fbank
            n_mels: 20
        linear: !new:speechbrain.nnet.linear.Linear
            input_size: 20
            n_neurons: 5
"""
LETTERS = """
class Letters:
    def decode_ids(self, ids):
        return " ".join("abcde"[i] for i in ids)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "letters_of_test.py").write_text(LETTERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "hyperparams.yaml").write_text(HPARAMS)
    yield tmp_path
    sys.modules.pop("letters_of_test", None)


def test_a_folder_and_its_file_give_the_same_recogniser(folder: Path, noisy: np.ndarray) -> None:
    text = load_recognizer(folder)(noisy, 16000).text
    assert text
    assert set(text.split()) <= set("bcde")
    (folder / "hyperparams.yaml").rename(folder / "asr.yaml")
    assert load_recognizer(folder / "asr.yaml")(noisy, 16000).text == text


NORMALIZER = """
audio_normalizer: !new:gtcrn_frontend.adapters.speechbrain.EnhancingAudioNormalizer
    sample_rate: 16000
"""
FRONTEND = """modules:
    encoder: !new:speechbrain.nnet.containers.LengthsCapableSequential
        frontend: !new:gtcrn_frontend.adapters.speechbrain.EnhanceFrontend
            trainable: {trainable}
"""


@pytest.mark.parametrize("trainable", ["False", "True"])
def test_front_ends_of_the_model_itself_are_left_out(
    folder: Path, noisy: np.ndarray, trainable: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What is heard without front-end is not enhanced, and what is heard behind one is enhanced once."""
    plain = load_recognizer(folder)
    assert "front-end" not in caplog.text
    start = HPARAMS.replace("__set_seed: !apply:torch.manual_seed [1]\n", "")  # a front-end draws numbers too
    enhancing = FRONTEND.format(trainable=trainable)
    modules = start.replace(enhancing[: enhancing.index("        frontend")], enhancing)
    assert modules != start
    (folder / "hyperparams.yaml").write_text(modules + NORMALIZER)
    loaded = load_recognizer(folder)._recognizer
    assert "EnhancingAudioNormalizer, EnhanceFrontend" in caplog.text
    samples = torch.from_numpy(noisy)
    assert torch.equal(loaded.audio_normalizer(samples, 16000), plain._recognizer.audio_normalizer(samples, 16000))
    [frontend] = [module for module in loaded.modules() if type(module).__name__ == "EnhanceFrontend"]
    torch.testing.assert_close(frontend(samples[None]), samples[None], atol=1e-6, rtol=0)


def test_audio_at_another_rate_is_converted(folder: Path, noisy: np.ndarray) -> None:
    heard = []
    recognizer = load_recognizer(folder)
    recognizer._recognizer.transcribe_batch = lambda wavs, lengths: (heard.append(wavs.shape), (["x"], [[1]]))[1]
    assert recognizer(noisy, 8000).text == "x"
    assert heard == [torch.Size([1, 2 * len(noisy)])]


def test_words_of_whisper_are_joined(noisy: np.ndarray) -> None:
    class Whisper:
        def audio_normalizer(self, audio, rate):
            return audio

        def transcribe_batch(self, wavs, lengths):
            return [["one", "two"]], [[1, 2]]

    assert SpeechBrainRecognizer(Whisper())(noisy, 16000).text == "one two"


@pytest.mark.parametrize("names", ["modules:\n    vad: 1\n", "modules:\n    encoder: 1\n", "a: 1\n", "- 1\n"])
def test_a_file_without_recogniser_is_refused(tmp_path: Path, names: str) -> None:
    (tmp_path / "hyperparams.yaml").write_text(names)
    with pytest.raises(ConfigError, match="expected modules encoder and decoder"):
        load_recognizer(tmp_path)


def test_a_model_that_does_not_load_is_named(folder: Path) -> None:
    (folder / "hyperparams.yaml").write_text(HPARAMS.replace("n_neurons", "neurons"))
    with pytest.raises(ModelError, match=r"hyperparams\.yaml: the model cannot be loaded: "):
        load_recognizer(folder)
    with pytest.raises(ConfigError, match="hyperparameter file"):
        load_recognizer(folder / "nothing.yaml")
