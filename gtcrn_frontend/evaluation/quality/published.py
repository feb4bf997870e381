"""Published scores for comparison, each on the test set that it names.

Source: tables 1 and 2 of Rong et al., "GTCRN: A Speech Enhancement Network Requiring Ultralow Computational Resources",
ICASSP 2024, as repeated in <https://github.com/Xiaobin-Rong/gtcrn>; Lite-RTSE as given by its authors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gtcrn_frontend.evaluation.quality.metric_registry import BAK, OVRL, P808, PESQ_WB, SI_SNR, SIG, STOI


@dataclass(frozen=True)
class Published:
    """Scores of one system on one test set, by the metric's title."""

    test_set: str
    system: str
    values: Mapping[str, float]


VOICEBANK = "VoiceBank-DEMAND"
DNS3 = "DNS3 blind"

PUBLISHED = (
    Published(VOICEBANK, "noisy", {SI_SNR.title: 8.45, PESQ_WB.title: 1.97, STOI.title: 0.921}),
    Published(VOICEBANK, "GTCRN", {SI_SNR.title: 18.83, PESQ_WB.title: 2.87, STOI.title: 0.940}),
    Published(VOICEBANK, "Lite-RTSE", {SI_SNR.title: 18.4, PESQ_WB.title: 2.67, STOI.title: 0.936}),
    Published(DNS3, "noisy", {SIG.title: 3.20, BAK.title: 2.65, OVRL.title: 2.33, P808.title: 2.96}),
    Published(DNS3, "GTCRN", {SIG.title: 3.00, BAK.title: 3.90, OVRL.title: 2.70, P808.title: 3.44}),
)
