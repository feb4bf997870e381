from pathlib import Path

import numpy as np
import pytest
import soundfile

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.noisy_set import Recording, find_noise
from gtcrn_frontend.evaluation.speech_free import SILENCES_S, parse_levels, plan_speech_free


@pytest.fixture
def noise(tmp_path: Path) -> list[Recording]:
    rng = np.random.default_rng(1)
    soundfile.write(tmp_path / "long.wav", rng.normal(0, 0.1, (40 * 44100, 2)), 44100)
    soundfile.write(tmp_path / "short.wav", rng.normal(0, 0.1, 8000), 8000)
    return find_noise(tmp_path)


def level_dbfs(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.square(samples, dtype=float).mean()))


def test_excerpts_have_their_levels_and_silence_is_silent(noise: list[Recording]) -> None:
    signals = plan_speech_free(noise, 4, (-30.0, -45.0))
    assert len(signals) == 2 * 4 + len(SILENCES_S)
    assert len({signal.key for signal in signals}) == len(signals)
    for signal in signals:
        samples, rate = signal.read()
        assert (rate, len(samples), samples.dtype) == (16000, signal.duration_s * 16000, np.float32)
        if signal.level_dbfs is None:
            assert not samples.any()
            assert signal.condition == "digital silence"
        else:
            assert level_dbfs(samples) == pytest.approx(signal.level_dbfs, abs=0.01)
            assert signal.condition == f"noise {signal.level_dbfs:g} dBFS"


def test_an_excerpt_is_the_same_at_every_level_and_recordings_take_turns(noise: list[Recording]) -> None:
    loud, soft = (plan_speech_free(noise, 4, (level,))[:4] for level in (-30.0, -50.0))
    for a, b in zip(loud, soft, strict=True):
        assert (a.unit, a.noise, a.seed) == (b.unit, b.noise, b.seed)
        np.testing.assert_allclose(a.read()[0], 10 * b.read()[0], atol=1e-6)
    assert [signal.noise for signal in loud[:2]] == [signal.noise for signal in loud[2:]]
    assert {signal.noise for signal in loud} == set(noise)


def test_the_seed_chooses_the_place(noise: list[Recording]) -> None:
    first, again, other = (plan_speech_free(noise, 2, seed=seed)[:2] for seed in (0, 0, 1))
    assert first == again
    assert {signal.key for signal in first}.isdisjoint(signal.key for signal in other)


def test_a_telephone_delivers_8_khz(noise: list[Recording]) -> None:
    wide, narrow = (plan_speech_free(noise, 1, channel=channel) for channel in ("microphone", "telephone"))
    assert {signal.read()[1] for signal in narrow} == {8000}
    assert not {signal.key for signal in wide} & {signal.key for signal in narrow}


def test_none_can_be_asked_for(noise: list[Recording]) -> None:
    assert plan_speech_free(noise, 0) == []
    assert plan_speech_free([], 5) == []


def test_levels_are_read() -> None:
    assert parse_levels("-30, -45,-30") == (-30.0, -45.0)
    for wrong in ("", "loud", "5", "nan", "-200"):
        with pytest.raises(ConfigError, match="expected levels"):
            parse_levels(wrong)
