"""What `export --layout sherpa-onnx --strength s` promises to users of C++: sherpa-onnx's own programs run it."""

import shutil
import subprocess

import numpy as np
import pytest
import soundfile

from gtcrn_frontend import Enhancer
from gtcrn_frontend.cli.main import main


@pytest.mark.parametrize("kind", ["online", "offline"])
def test_the_cpp_denoisers_run_an_export_with_a_strength_inside(tmp_path, audio_folder, kind):
    model, noisy, enhanced = tmp_path / "model.onnx", tmp_path / "noisy.wav", tmp_path / "enhanced.wav"
    assert main(["export", "gtcrn-asr", "--layout", "sherpa-onnx", "--strength", "0.7", "-o", str(model)]) == 0
    samples, rate = soundfile.read(audio_folder / "speech_a.flac", dtype="float32", frames=32000)
    soundfile.write(noisy, samples, rate, subtype="PCM_16")

    program = shutil.which(f"sherpa-onnx-{kind}-denoiser")
    assert program, "the package sherpa-onnx-bin belongs to the extra test"
    options = [f"--speech-denoiser-gtcrn-model={model}", f"--input-wav={noisy}", f"--output-wav={enhanced}"]
    subprocess.run([program, *options], capture_output=True, timeout=60, check=True)

    got, expected = soundfile.read(enhanced, dtype="float32")[0], Enhancer(strength=0.7).enhance(samples)
    expected = expected[: len(got)]  # the offline one leaves out the last hop if it is not whole
    assert len(got) > len(samples) - 512
    # the offline one mirrors the signal before its begin, where ours is silent
    error = (got - expected)[1024:]
    assert 10 * np.log10(np.sum(expected[1024:] ** 2) / np.sum(error**2)) > 40
