import numpy as np
import pytest


@pytest.mark.parametrize("kind", ["ambience", "events", "babble", "synthetic"])
def test_every_kind_of_noise_has_mean_power_one(kind: str) -> None:
    from corpora import Noises

    recordings = [0.1 * np.random.default_rng(seed).standard_normal(40000).astype(np.float32) for seed in range(8)]
    noises = Noises(recordings, recordings, recordings)
    assert kind in Noises.KINDS
    for seed in range(20):  # enough for each family of synthetic noise
        noise = noises.draw(kind, np.random.default_rng(seed), 16000)
        assert noise.shape == (16000,)
        assert np.square(noise).mean() == pytest.approx(1, rel=1e-3)
