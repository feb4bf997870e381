"""SpeechBrain's `WhisperASR` with the weights of Whisper tiny.en, from a folder, bare and behind the front-end."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from speechbrain.inference.ASR import WhisperASR
from speechbrain.utils.fetching import LocalStrategy

from gtcrn_frontend import Enhancer
from gtcrn_frontend.adapters.recognizers import recognizer_source
from gtcrn_frontend.adapters.speechbrain import with_frontend
from gtcrn_frontend.adapters.speechbrain.transcriber import SpeechBrainRecognizer
from gtcrn_frontend.evaluation.asr.normalise import Normalisation
from gtcrn_frontend.evaluation.asr.wer import count_errors, error_rate

pytestmark = pytest.mark.whisper

RATE = 16000


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_the_folder_is_a_recogniser_that_writes_what_faster_whisper_does(
    speechbrain_whisper: Path, whisper_model: Path, sentences: list[tuple[Path, str]]
) -> None:
    from gtcrn_frontend.adapters.faster_whisper import FasterWhisperRecognizer

    recognizer = recognizer_source(str(speechbrain_whisper)).make("")
    other = FasterWhisperRecognizer(whisper_model, beam_size=1, temperature=0, without_timestamps=True)
    english, differences = Normalisation.from_text("english"), []
    for path, _ in sentences[:3]:
        samples = soundfile.read(path, dtype="float32")[0]
        heard, expected = (english(each(samples, RATE).text) for each in (recognizer, other))
        assert len(expected.split()) > 3
        differences.append(count_errors(expected, heard, "word"))
    assert error_rate(differences).value <= 0.05


def test_with_a_front_end_it_hears_what_the_enhancer_makes(
    speechbrain_whisper: Path, sentences: list[tuple[Path, str]]
) -> None:
    asr = WhisperASR.from_hparams(
        str(speechbrain_whisper), savedir=str(speechbrain_whisper), local_strategy=LocalStrategy.NO_LINK
    )
    samples = soundfile.read(sentences[0][0], dtype="float32")[0]
    noisy = samples + np.random.default_rng(0).normal(0, 0.02, len(samples)).astype(np.float32)
    enhanced = np.asarray(Enhancer(strength=0.7).enhance(noisy), np.float32)
    behind = SpeechBrainRecognizer(with_frontend(asr, strength=0.7))
    expected = SpeechBrainRecognizer(asr)(enhanced, RATE).text
    assert len(expected.split()) > 5
    assert behind(noisy, RATE).text == expected
    wavs, lengths = torch.from_numpy(noisy)[None], torch.ones(1)
    found = with_frontend(asr, strength=0.7).encode_batch(wavs, lengths)
    torch.testing.assert_close(found, asr.encode_batch(torch.from_numpy(enhanced)[None], lengths), atol=1e-3, rtol=0)
