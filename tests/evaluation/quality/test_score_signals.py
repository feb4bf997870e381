"""Scoring in processes: what comes out is what the measures say, failures cost one signal, and the cache is right."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import soundfile

from gtcrn_frontend import Enhancer, EnhancerConfig
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.evaluation.progress import LoggedProgress
from gtcrn_frontend.evaluation.quality import score_signals
from gtcrn_frontend.evaluation.quality.metric_registry import MetricRunner
from gtcrn_frontend.evaluation.quality.metrics import pesq_wb, si_snr, stoi
from gtcrn_frontend.evaluation.quality.pairs import FilePair, Pair, find_pairs
from gtcrn_frontend.evaluation.quality.score_signals import Plan, Scorer, score_pairs
from gtcrn_frontend.evaluation.systems import RAW

RATE = 16000
SYSTEMS = {"noisy": RAW, "full": EnhancerConfig(strength=1.0), "half": EnhancerConfig(strength=0.5)}


@pytest.fixture(scope="module")
def pairs(audio_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[FilePair]:
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    for name in "ab":
        clean = soundfile.read(audio_folder / f"speech_{name}.flac", dtype="float32")[0][: 2 * RATE]
        soundfile.write(folder / f"{name}_clean.wav", clean, RATE, subtype="FLOAT")
        noisy = clean + rng.normal(0, 0.01, len(clean)).astype(np.float32)
        soundfile.write(folder / f"{name}_noisy.wav", noisy, RATE, subtype="FLOAT")
    return find_pairs(folder)


def test_scores_are_those_of_the_enhancers_output(pairs: list[FilePair]) -> None:
    scored = score_pairs(pairs, Plan(SYSTEMS, ("si-snr", "pesq", "stoi", "log-mel", "clean")), LoggedProgress(), jobs=2)
    assert [one.name for one in scored] == ["a", "b"]
    for pair, one in zip(pairs, scored, strict=True):
        clean, noisy = pair.read()
        enhanced = Enhancer(strength=1.0).enhance(noisy)
        assert one.duration_s == 2.0
        assert list(one.values) == ["noisy", "full", "half"]
        assert one.values["noisy"]["SI-SNR dB"] == pytest.approx(si_snr(clean, noisy))
        assert one.values["full"]["SI-SNR dB"] == pytest.approx(si_snr(clean, enhanced), abs=1e-4)
        assert one.values["full"]["PESQ-WB"] == pytest.approx(pesq_wb(clean, enhanced, RATE), abs=1e-3)
        assert one.values["half"]["STOI"] == pytest.approx(stoi(clean, 0.5 * enhanced + 0.5 * noisy, RATE), abs=1e-4)
        of_clean = Enhancer(strength=1.0).enhance(clean)
        assert one.values["full"]["clean input: PESQ-WB"] == pytest.approx(pesq_wb(clean, of_clean, RATE), abs=1e-3)
        assert one.values["noisy"]["clean input: PESQ-WB"] > 4.6
        assert one.values["noisy"]["clean input: level change dB"] == pytest.approx(0, abs=1e-6)
        assert one.snr_db == pytest.approx(10 * np.log10(np.square(clean).mean() / 1e-4), abs=3)


class CountingProgress(LoggedProgress):
    def __init__(self) -> None:
        self.done = 0.0
        self.messages: list[str] = []

    def update(self, count: float = 1) -> None:
        self.done += count

    def message(self, text: str) -> None:
        self.messages.append(text)


class CountingMetrics(MetricRunner):
    asked: ClassVar[list[str]] = []

    def __call__(self, family: str, clean: np.ndarray, estimate: np.ndarray) -> dict[str, float]:
        self.asked.append(family)
        return super().__call__(family, clean, estimate)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(CountingMetrics, "asked", [])
    monkeypatch.setattr(score_signals, "MetricRunner", CountingMetrics)
    return CountingMetrics.asked


def test_what_was_measured_is_not_measured_again(pairs: list[FilePair], tmp_path: Path, asked: list[str]) -> None:
    plan = Plan(SYSTEMS, ("si-snr", "clean"), cache=tmp_path / "cache")
    first = Scorer(plan)(pairs[0])
    assert sorted(asked) == ["clean"] * 3 + ["si-snr"] * 3
    assert Scorer(plan)(pairs[0]) == first
    assert len(asked) == 6
    more = Plan({**SYSTEMS, "less": EnhancerConfig(strength=0.2)}, ("si-snr", "log-mel"), cache=tmp_path / "cache")
    again = Scorer(more)(pairs[0])
    assert sorted(asked[6:]) == ["log-mel"] * 4 + ["si-snr"]
    assert again.values["full"]["SI-SNR dB"] == first.values["full"]["SI-SNR dB"]
    Scorer(plan)(pairs[1])
    assert len(asked) == 6 + 5 + 6, "another signal has scores of its own"


def test_other_models_of_dnsmos_have_other_scores(
    pairs: list[FilePair], tmp_path: Path, asked: list[str], shared
) -> None:
    for digest in ("one", "one", "two"):
        plan = Plan({"noisy": RAW}, ("dnsmos",), shared / "dnsmos", digest, tmp_path / "cache")
        Scorer(plan)(pairs[0])
    assert len(asked) == 2


def test_undefined_scores_survive_the_cache(tmp_path: Path) -> None:
    silence = Silence()
    plan = Plan({"noisy": RAW}, ("pesq", "si-snr"), cache=tmp_path)
    for _ in range(2):
        values = Scorer(plan)(silence).values["noisy"]
        assert np.isnan(values["PESQ-WB"])
        assert np.isnan(values["SI-SNR dB"])


@dataclass(frozen=True)
class Silence:
    name: str = "silence"
    group: str = "silence"

    def read(self) -> Pair:
        return Pair(np.zeros(RATE, np.float32), np.zeros(RATE, np.float32))


def test_a_signal_that_cannot_be_read_costs_itself_only(pairs: list[FilePair], tmp_path: Path) -> None:
    broken = FilePair("broken", tmp_path / "no.wav", tmp_path / "such.wav")
    progress = CountingProgress()
    scored = score_pairs([broken, pairs[0]], Plan({"noisy": RAW}, ("si-snr",)), progress)
    assert [one.name for one in scored] == ["a"]
    assert progress.done == 2
    (message,) = progress.messages
    assert message.startswith("failed: broken: AudioFormatError: ")
    assert "found nothing there" in message
    with pytest.raises(ModelError, match="none of 1 signals could be measured: AudioFormatError"):
        score_pairs([broken], Plan({"noisy": RAW}, ("si-snr",)), progress)
