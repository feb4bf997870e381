"""SpeechBrain, torchaudio included, imports and runs here: in this process and in those that tests start."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

AUDIO = Path(__file__).parent / "assets" / "audio"

# What matters of `torchaudio._extension`, with the loading of the library to be filled in.
FAKE_EXTENSION = """
from torchaudio import fail_with_message
def load_library(): {body}
_IS_TORCHAUDIO_EXT_AVAILABLE = load_library()
_IS_ALIGN_AVAILABLE = True
"""


def run_python(code: str, folder: Path) -> str:
    """What a process prints that finds modules in `folder` first."""
    path = os.pathsep.join([str(folder), os.environ["PYTHONPATH"]])
    command, environment = [sys.executable, "-c", code], {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_features_of_a_real_file_tell_speech_from_pause() -> None:
    import torch
    from speechbrain.dataio.dataio import read_audio
    from speechbrain.lobes.features import Fbank

    wav = read_audio(str(AUDIO / "clean.flac"))
    features = Fbank(sample_rate=16_000, n_mels=40)(wav[None])
    assert features.shape == (1, 1 + len(wav) // 160, 40)
    assert torch.isfinite(features).all()
    pause, speech = features[0, :30], features[0, 60:90]  # the file begins with 400 ms of silence
    assert speech.mean() > pause.mean() + 20  # dB


def test_inference_class_runs_a_network() -> None:
    import torch
    from speechbrain.decoders import ctc_greedy_decode
    from speechbrain.inference.ASR import EncoderASR
    from speechbrain.lobes.features import Fbank
    from speechbrain.nnet.containers import LengthsCapableSequential
    from speechbrain.processing.features import InputNormalization

    encoder = LengthsCapableSequential(
        Fbank(n_mels=40), InputNormalization(norm_type="sentence"), torch.nn.Linear(40, 5)
    )
    asr = EncoderASR(
        modules={"encoder": encoder},
        hparams={"tokenizer": None, "decoding_function": partial(ctc_greedy_decode, blank_id=0)},
    )
    encoded = asr.encode_batch(torch.randn(2, 8_000), torch.tensor([1.0, 0.5]))
    assert encoded.shape == (2, 51, 5)
    assert torch.isfinite(encoded).all()


def test_torchaudio_works_on_samples() -> None:
    import torch
    import torchaudio

    tone = torch.sin(2 * torch.pi * 440 * torch.arange(48_000) / 48_000)
    resampled = torchaudio.functional.resample(tone, 48_000, 16_000)
    expected = torch.sin(2 * torch.pi * 440 * torch.arange(16_000) / 16_000)
    torch.testing.assert_close(resampled[100:-100], expected[100:-100], atol=1e-2, rtol=0)


def test_a_new_process_imports_speechbrain(tmp_path: Path) -> None:
    assert "EncoderASR" in run_python("from speechbrain.inference.ASR import EncoderASR; print(EncoderASR)", tmp_path)


def test_the_hook_itself_imports_no_library(tmp_path: Path) -> None:
    loaded = run_python("import sys; print(*sys.modules)", tmp_path).split()
    assert "sitecustomize" in loaded
    assert not {"torch", "torchaudio", "numpy", "speechbrain"} & set(loaded)


def import_fake_torchaudio(folder: Path, body: str) -> str:
    package = folder / "torchaudio"
    package.mkdir()
    (package / "__init__.py").write_text("def fail_with_message(message): pass\nfrom . import _extension\n")
    (package / "_extension.py").write_text(FAKE_EXTENSION.format(body=body))
    report = "import torchaudio._extension as e; print(e._IS_TORCHAUDIO_EXT_AVAILABLE, e._IS_ALIGN_AVAILABLE)"
    return run_python(report, folder).strip()


def test_an_extension_that_loads_is_used(tmp_path: Path) -> None:
    assert import_fake_torchaudio(tmp_path, "return True") == "True True"


def test_an_extension_that_cannot_be_loaded_is_done_without(tmp_path: Path) -> None:
    assert import_fake_torchaudio(tmp_path, "raise OSError('libtorch_cuda.so')") == "False False"


def test_other_errors_of_the_extension_are_not_hidden(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="RuntimeError: versions differ"):
        import_fake_torchaudio(tmp_path, "raise RuntimeError('versions differ')")
