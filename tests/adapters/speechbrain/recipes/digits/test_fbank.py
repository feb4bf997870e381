import kaldi_native_fbank
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend.adapters.speechbrain.recipes.digits.fbank import FLOOR, Fbank, n_frames


def kaldi(samples: np.ndarray, n_mels: int) -> np.ndarray:
    """What sherpa-onnx computes: the package it uses, with its options."""
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0
    options.frame_opts.snip_edges = False
    options.mel_opts.low_freq = 20
    options.mel_opts.high_freq = -400
    options.mel_opts.num_bins = n_mels
    extractor = kaldi_native_fbank.OnlineFbank(options)
    extractor.accept_waveform(16000, samples.tolist())
    extractor.input_finished()
    return np.stack([extractor.get_frame(i) for i in range(extractor.num_frames_ready)])


@pytest.mark.parametrize("n_mels", [40, 80])
def test_features_are_those_of_kaldi(audio_folder: object, n_mels: int) -> None:
    import soundfile

    samples, _ = soundfile.read(f"{audio_folder}/clean.flac", dtype="float32")
    ours = Fbank(n_mels)(torch.from_numpy(samples)[None])[0].numpy()
    theirs = kaldi(samples, n_mels)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < 1e-3
    assert np.abs(ours - theirs).mean() < 1e-5


@settings(deadline=None, max_examples=30)
@given(st.integers(400, 3000), st.integers(0, 2**32 - 1))
def test_any_length_agrees_with_kaldi_at_both_ends(n: int, seed: int) -> None:
    samples = np.random.default_rng(seed).normal(0, 0.1, n).astype(np.float32)
    ours = Fbank(40)(torch.from_numpy(samples)[None])[0].numpy()
    theirs = kaldi(samples, 40)
    assert len(ours) == n_frames(n) == len(theirs)
    assert np.abs(ours - theirs).max() < 5e-3


def test_digital_silence_is_the_floor() -> None:
    features = Fbank(40)(torch.zeros(1, 16000))
    assert torch.all(features == torch.tensor(FLOOR).log())
    assert features[0, 0, 0].item() == pytest.approx(-15.942, abs=1e-3)


def test_a_batch_is_each_signal_on_its_own() -> None:
    wavs = torch.randn(3, 8000, generator=torch.Generator().manual_seed(0)) * 0.1
    fbank = Fbank(80)
    together = fbank(wavs)
    for wav, row in zip(wavs, together, strict=True):
        torch.testing.assert_close(fbank(wav[None])[0], row, atol=1e-5, rtol=0)


def test_gradients_reach_the_samples() -> None:
    wavs = (torch.randn(1, 4000, generator=torch.Generator().manual_seed(0)) * 0.1).requires_grad_()
    Fbank(40)(wavs).sum().backward()
    assert wavs.grad is not None
    assert torch.isfinite(wavs.grad).all()
    assert (wavs.grad != 0).float().mean() > 0.99
