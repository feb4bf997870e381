"""`DigitsBrain`, the digit recogniser behind a front-end, and the report of its word error rates."""

from __future__ import annotations

import itertools
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gtcrn_frontend.adapters.speechbrain import FrontendMixin  # before SpeechBrain, see `torchaudio_fallback`

# isort: split

import speechbrain as sb
import torch
from torch import Tensor

from gtcrn_frontend.adapters.speechbrain.recipes.digits.ctc_recognizer import greedy_symbols, output_lengths
from gtcrn_frontend.adapters.speechbrain.recipes.digits.fbank import FLOOR
from gtcrn_frontend.adapters.speechbrain.recipes.digits.prepare import WORDS
from gtcrn_frontend.atomic_write import write_text
from gtcrn_frontend.config import Strength
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.asr.wer import ErrorCounts, count_errors, error_rate
from gtcrn_frontend.evaluation.report.tables import Value, markdown_table
from gtcrn_frontend.model_spec import GTCRN_SPEC
from gtcrn_frontend.training.losses.combined import CombinedLoss
from gtcrn_frontend.training.losses.hybrid import Transform

logger = logging.getLogger(__name__)

STATISTICS_BATCHES = 8
LEAST_DEVIATION = 0.5
QUIET = 1.0  # log-mel energies closer to digital silence are excluded from the statistics

Counts = dict[str, list[ErrorCounts]]
"""Errors of each utterance, by condition: an SNR, or clean."""


class DigitsBrain(FrontendMixin, sb.Brain):  # type: ignore[misc]  # SpeechBrain has no types
    """Trains the digit recogniser behind a front-end, or both.

    Attributes:
        counts: errors in the last validation or test.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.counts: Counts = {}
        self.train_loss = float("nan")
        self.enhancement_loss: CombinedLoss | None = None
        if hasattr(self.hparams, "enhancement_loss"):
            self.enhancement_loss = CombinedLoss(self.hparams.enhancement_loss, Transform(GTCRN_SPEC, self.device))

    def compute_forward(self, batch: Any, stage: Any) -> tuple[Tensor, Tensor]:
        """Returns log-probabilities `(B, U, V)`, and the number of outputs of each utterance `(B,)`."""
        wavs, lengths = batch.sig
        features = self.modules.compute_features(wavs)
        frames = (lengths * features.shape[1]).round().long()
        if stage == sb.Stage.TRAIN and hasattr(self.hparams, "fea_augment"):
            features, _ = self.hparams.fea_augment(features, lengths)
        return self.modules.recognizer(features, frames), output_lengths(frames)

    def compute_objectives(self, predictions: tuple[Tensor, Tensor], batch: Any, stage: Any) -> Tensor:
        """Returns the CTC loss, plus the enhancement loss against the clean signal if configured."""
        scores, counts = predictions
        tokens, token_lengths = batch.tokens
        loss: Tensor = self.hparams.ctc_cost(scores, tokens, counts / scores.shape[1], token_lengths)
        if stage != sb.Stage.TRAIN:
            self._count(scores, counts, batch)
        elif self.enhancement_loss is not None and self.enhanced is not None:
            spectra = [
                self.enhancement_loss.transform.forward(signal.data)
                for signal in (self.enhanced, batch.sig, batch.clean)
            ]
            loss = loss + self.hparams.enhancement_weight * self.enhancement_loss(*spectra)
        return loss

    def on_stage_start(self, stage: Any, epoch: int | None = None) -> None:
        """Resets the error counts; evaluation runs the front-end in the engine used for streaming."""
        if stage != sb.Stage.TRAIN:
            self.counts = defaultdict(list)
            self.frontend.trainable = False

    def on_stage_end(self, stage: Any, stage_loss: float, epoch: int | None = None) -> None:
        """Writes the log, updates the learning rates and saves a checkpoint."""
        if stage == sb.Stage.TRAIN:
            self.train_loss = stage_loss
        if stage != sb.Stage.VALID:
            return
        errors = 100 * error_rate(list(itertools.chain(*self.counts.values()))).value
        rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in self.optimizers_dict.items()}
        self.hparams.train_logger.log_stats(
            {"epoch": epoch, **{f"lr {name}": rate for name, rate in rates.items()}},
            train_stats={"loss": self.train_loss},
            valid_stats={"loss": stage_loss, "WER": errors},
        )
        for name, optimizer in self.optimizers_dict.items():
            _, rate = self.hparams.lr_annealing[name](epoch)
            sb.nnet.schedulers.update_learning_rate(optimizer, rate)
        self.checkpointer.save_and_keep_only(meta={"WER": errors}, min_keys=["WER"])

    def on_evaluate_start(self, max_key: str | None = None, min_key: str | None = None) -> None:
        """Loads the best checkpoint by a key; without a key, keeps the current weights."""
        if max_key is not None or min_key is not None:
            super().on_evaluate_start(max_key, min_key)

    def word_errors(self, test_set: Any, strength: Strength, min_key: str | None = None) -> Counts:
        """Returns the errors on a test set with the front-end at a strength; `min_key` as in `evaluate`."""
        usual = self.frontend.strength
        self.frontend.strength = strength
        self.evaluate(test_set, min_key=min_key, test_loader_kwargs=self.hparams.test_dataloader_opts)
        self.frontend.strength = usual
        return self.counts

    def set_statistics(self, batches: Iterable[Any]) -> None:
        """Sets the recogniser's mean and standard deviation of features from the first batches, without silence."""
        rows = []
        for batch in itertools.islice(batches, STATISTICS_BATCHES):
            wavs, lengths = batch.to(self.device).sig
            features = self.modules.compute_features(self.frontend(wavs, lengths))
            rows += [row[:count] for row, count in zip(features, _counts(lengths, features.shape[1]), strict=True)]
        recognizer = self.modules.recognizer
        values = torch.cat(rows)[:, : recognizer.config.used_mels]
        values = values[values.mean(dim=1) > torch.tensor(FLOOR).log() + QUIET]
        recognizer.mean.copy_(values.mean(dim=0))
        recognizer.scale.copy_(1 / values.std(dim=0).clamp(min=LEAST_DEVIATION))

    def _count(self, scores: Tensor, counts: Tensor, batch: Any) -> None:
        for row, count, reference, condition in zip(scores, counts.tolist(), batch.words, batch.condition, strict=True):
            hypothesis = " ".join(WORDS[symbol - 1] for symbol in greedy_symbols(row[:count]))
            self.counts[condition].append(count_errors(reference, hypothesis))


def _counts(lengths: Tensor, longest: int) -> list[int]:
    counts: list[int] = (lengths * longest).round().long().tolist()
    return counts


def load_recognizer(hparams: Mapping[str, Any]) -> None:
    """Loads the weights of `pretrained_recognizer`; `ConfigError` if there is no such file."""
    path = Path(hparams["pretrained_recognizer"])
    if not path.is_file():
        raise ConfigError(
            f"pretrained_recognizer: expected a trained recogniser, got {path}, which is no file: train one first, "
            "python -m gtcrn_frontend.adapters.speechbrain.recipes.digits.train frozen.yaml --data_folder DATA"
        )
    hparams["pretrainer"].collect_files()
    hparams["pretrainer"].load_collected()


def report(rows: Mapping[str, Counts], path: str | Path) -> None:
    """Writes the table of word error rates to the log and to a file."""
    table = error_table(rows)
    logger.info("Word error rates by SNR\n%s", table)
    write_text(Path(path), table + "\n")


def error_table(rows: Mapping[str, Counts]) -> str:
    """Returns word error rates in percent by SNR, with the half width of their 95 % interval, as a Markdown table."""
    table: list[dict[str, Value]] = []
    for name, counts in rows.items():
        row: dict[str, Value] = {"WER %": name}
        for condition, of_utterances in counts.items():
            rate = error_rate(of_utterances)
            row[condition] = f"{100 * rate.value:.1f} ±{50 * (rate.high - rate.low):.1f}"
        table.append(row)
    return markdown_table(table, {})
