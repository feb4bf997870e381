from pathlib import Path

import numpy as np
import pytest
import soundfile

from gtcrn_frontend.training.data import audio_cache
from gtcrn_frontend.training.data.audio_cache import open_audio_cache

RATE = 16000


def test_two_runs_may_fill_the_same_cache_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, RATE).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", noise, RATE, subtype="FLOAT")
    decode, others = audio_cache._decode, []

    def decode_while_another_run_does(path: Path, sample_rate: int) -> audio_cache.Samples:
        monkeypatch.setattr(audio_cache, "_decode", decode)
        others.append(open_audio_cache([path], tmp_path / "cache", sample_rate))
        return decode(path, sample_rate)

    monkeypatch.setattr(audio_cache, "_decode", decode_while_another_run_does)
    opened = open_audio_cache([tmp_path / "a.wav"], tmp_path / "cache", RATE)
    for one in (opened, *others):
        np.testing.assert_allclose(one.read(0, 0, RATE), noise, atol=1e-4)
    assert sorted(path.suffix for path in (tmp_path / "cache").iterdir()) == [".int16", ".json"]
