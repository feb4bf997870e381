import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.evaluation.quality.dnsmos import DNSMOS
from gtcrn_frontend.evaluation.quality.metric_registry import (
    FAMILIES,
    MetricRunner,
    dnsmos_digest,
    level_change_db,
    metrics_of,
)
from gtcrn_frontend.evaluation.quality.metrics import log_mel_distance, pesq_wb, si_snr, stoi
from gtcrn_frontend.evaluation.quality.published import PUBLISHED

RATE = 16000


@pytest.fixture(scope="module")
def speech(audio_folder: Path) -> np.ndarray:
    return soundfile.read(audio_folder / "speech_a.flac", dtype="float32")[0]


@pytest.fixture(scope="module")
def noisy(speech: np.ndarray) -> np.ndarray:
    return speech + np.random.default_rng(0).normal(0, 0.02, len(speech)).astype(np.float32)


def test_each_family_gives_its_measures(speech: np.ndarray, noisy: np.ndarray) -> None:
    runner = MetricRunner(None)
    found = {}
    for family in FAMILIES:
        if family != "dnsmos":
            values = runner(family, speech, noisy)
            assert list(values) == [measure.title for measure in FAMILIES[family]]
            found |= values
    assert found["SI-SNR dB"] == si_snr(speech, noisy)
    assert found["PESQ-WB"] == found["clean input: PESQ-WB"] == pesq_wb(speech, noisy, RATE)
    assert found["STOI"] == stoi(speech, noisy, RATE)
    assert found["log-mel distance"] == log_mel_distance(speech, noisy, RATE)


def test_dnsmos_rates_the_estimate(shared: Path, speech: np.ndarray, noisy: np.ndarray) -> None:
    values = MetricRunner(shared / "dnsmos")("dnsmos", speech, noisy)
    assert tuple(values.values()) == pytest.approx(tuple(DNSMOS(shared / "dnsmos")(noisy, RATE)))
    assert [title.removeprefix("DNSMOS ") for title in values] == ["SIG", "BAK", "OVRL", "P.808"]
    assert len(dnsmos_digest(shared / "dnsmos")) == 16


def test_dnsmos_without_its_models_is_said(tmp_path: Path, speech: np.ndarray) -> None:
    with pytest.raises(ModelError, match="expected the folder of its models"):
        MetricRunner(None)("dnsmos", speech, speech)
    with pytest.raises(ModelError, match="found no such file"):
        dnsmos_digest(tmp_path)


@pytest.mark.parametrize("gain_db", [-6.0, 0.0, 3.0])
def test_the_level_change_is_the_gain(speech: np.ndarray, gain_db: float) -> None:
    gained = speech * np.float32(10 ** (gain_db / 20))
    assert level_change_db(speech, gained) == pytest.approx(gain_db, abs=1e-3)


def test_the_level_of_silence_does_not_change(speech: np.ndarray) -> None:
    silence = np.zeros_like(speech)
    assert math.isnan(level_change_db(silence, speech))
    assert level_change_db(speech, silence) < -60


def test_published_figures_are_of_measures_that_there_are() -> None:
    titles = {measure.title for measure in metrics_of(list(FAMILIES))}
    assert all(set(published.values) <= titles for published in PUBLISHED)
    by_set = {(published.test_set, published.system): published.values for published in PUBLISHED}
    assert by_set["VoiceBank-DEMAND", "GTCRN"] == {"SI-SNR dB": 18.83, "PESQ-WB": 2.87, "STOI": 0.940}
    assert by_set["DNS3 blind", "GTCRN"]["DNSMOS OVRL"] == 2.70
