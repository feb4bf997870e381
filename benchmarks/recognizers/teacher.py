"""Features of the project's recognisers as a loss: `loss: recognizers: factory` of a training config."""

from __future__ import annotations

import sys
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parent))

from export import load

from gtcrn_frontend.adapters.speechbrain.recipes.digits.ctc_recognizer import CtcRecognizer
from gtcrn_frontend.adapters.speechbrain.recipes.digits.fbank import Fbank

RECOGNIZERS = Path(__file__).parents[2] / "tests" / "assets" / "recognizers"


class Features(nn.Module):
    """The normalised input, the outputs of convolutions and GRUs, and the log-probabilities of a recogniser."""

    def __init__(self, network: CtcRecognizer) -> None:
        super().__init__()
        self.network = network
        self.fbank = Fbank(network.config.n_mels)

    def forward(self, samples: Tensor) -> list[Tensor]:
        """Returns features `(B, T, channels)` of samples `(B, n)` at 16 kHz."""
        network = self.network
        x = network.normalise(self.fbank(samples))
        x = functional.pad(x, (0, 0, 3, -x.shape[1] % 4)).transpose(1, 2)
        x = network.norm1(functional.relu(network.conv1(x)).transpose(1, 2))
        features = [x]
        x = network.norm2(functional.relu(network.conv2(x.transpose(1, 2))).transpose(1, 2))
        features.append(x)
        for recurrent in network.recurrent:
            x, _ = recurrent(x)
            features.append(x)
        return features


def characters(sample_rate: int) -> Features:
    """Returns the features of the letter recogniser, trained on clean LibriSpeech."""
    if sample_rate != 16_000:
        raise ValueError(f"expected 16000 Hz, got {sample_rate}")
    return Features(load(RECOGNIZERS / "characters-clean" / "offline.onnx"))
