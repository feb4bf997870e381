"""Recognises strings of digits in noise: a CTC network behind the front-end, which is frozen, or trained as well.

    python -m gtcrn_frontend.adapters.speechbrain.recipes.digits.train frozen.yaml --data_folder DATA
    python -m gtcrn_frontend.adapters.speechbrain.recipes.digits.train joint.yaml --data_folder DATA

`frozen.yaml` trains the recogniser; `joint.yaml` begins with that recogniser, fine-tunes the front-end, and writes it
to a file that `Enhancer(model=path)` streams. Both end with word error rates by SNR on speakers and noise that were not
heard before. DATA holds a `manifest.json`, see `prepare_digits`. The same command again goes on where a run ended.
"""

from __future__ import annotations

import itertools
import logging
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gtcrn_frontend.adapters.speechbrain import FrontendMixin  # before SpeechBrain, see `torchaudio_fallback`

# isort: split

import speechbrain as sb
import torch
from torch import Tensor

from gtcrn_frontend.adapters.speechbrain.recipes.common import begin_experiment, fuse
from gtcrn_frontend.adapters.speechbrain.recipes.digits.data import dataio_prepare
from gtcrn_frontend.adapters.speechbrain.recipes.digits.prepare import WORDS, prepare_digits
from gtcrn_frontend.atomic import replaced_at_end
from gtcrn_frontend.evaluation.tables import Value, markdown_table
from gtcrn_frontend.evaluation.wer import ErrorCounts, count_errors, error_rate
from gtcrn_frontend.nets.ctc_recognizer import greedy_symbols, output_lengths
from gtcrn_frontend.nets.fbank import FLOOR
from gtcrn_frontend.spec import GTCRN_SPEC
from gtcrn_frontend.training.losses import Transform
from gtcrn_frontend.training.objective import Objective

STATISTICS_BATCHES = 8
LEAST_DEVIATION = 0.5
QUIET = 1.0  # log-mel energies less than so much above digital silence are no part of the statistics

logger = logging.getLogger(__name__)

Counts = dict[str, list[ErrorCounts]]
"""Errors of each utterance, by condition: an SNR, or clean."""


class DigitsBrain(FrontendMixin, sb.Brain):  # type: ignore[misc]  # SpeechBrain has no types
    """The recogniser of digits.

    Attributes:
        counts: errors in the last validation or test.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.counts: Counts = {}
        self.train_loss = float("nan")
        self.enhancement_loss: Objective | None = None
        if hasattr(self.hparams, "enhancement_loss"):
            self.enhancement_loss = Objective(self.hparams.enhancement_loss, Transform(GTCRN_SPEC, self.device))

    def compute_forward(self, batch: Any, stage: Any) -> tuple[Tensor, Tensor]:
        """Returns log-probabilities `(B, U, V)`, and how many of the U are of each utterance."""
        wavs, lengths = batch.sig
        features = self.modules.compute_features(wavs)
        frames = (lengths * features.shape[1]).round().long()
        if stage == sb.Stage.TRAIN and hasattr(self.hparams, "fea_augment"):
            features, _ = self.hparams.fea_augment(features, lengths)
        return self.modules.recognizer(features, frames), output_lengths(frames)

    def compute_objectives(self, predictions: tuple[Tensor, Tensor], batch: Any, stage: Any) -> Tensor:
        """Returns the loss of CTC; if so configured, plus that of the enhanced signal against the clean one."""
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
        """Begins to count errors; a front-end is judged in the engine that will stream it."""
        if stage != sb.Stage.TRAIN:
            self.counts = defaultdict(list)
            self.frontend.trainable = False

    def on_stage_end(self, stage: Any, stage_loss: float, epoch: int | None = None) -> None:
        """Writes to the log, lowers the learning rates and saves a checkpoint."""
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
        """Loads the best checkpoint by a key; without a key, the weights of now are judged."""
        if max_key is not None or min_key is not None:
            super().on_evaluate_start(max_key, min_key)

    def set_statistics(self, batches: Iterable[Any]) -> None:
        """Sets the recogniser's mean and deviation of features over the first batches, without silence."""
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
        for row, count, said, condition in zip(scores, counts.tolist(), batch.words, batch.condition, strict=True):
            heard = " ".join(WORDS[symbol - 1] for symbol in greedy_symbols(row[:count]))
            self.counts[condition].append(count_errors(said, heard))


def _counts(lengths: Tensor, longest: int) -> list[int]:
    counts: list[int] = (lengths * longest).round().long().tolist()
    return counts


def error_table(rows: Mapping[str, Counts]) -> str:
    """Returns word error rates in percent by SNR, with half the width of their 95 % interval, as a Markdown table."""
    table: list[dict[str, Value]] = []
    for name, counts in rows.items():
        row: dict[str, Value] = {"WER %": name}
        for condition, of_utterances in counts.items():
            rate = error_rate(of_utterances)
            row[condition] = f"{100 * rate.value:.1f} ±{50 * (rate.high - rate.low):.1f}"
        table.append(row)
    return markdown_table(table, {})


def main(arguments: Sequence[str]) -> dict[str, Counts]:
    """Runs the recipe; returns the errors of the test without the front-end, with it, and with the trained one.

    Args:
        arguments: of the command line, as in every recipe of SpeechBrain.
    """
    hparams, run_opts = begin_experiment(arguments, __file__)
    sb.utils.distributed.run_on_main(prepare_digits, kwargs=hparams["prepare"])
    datasets = dataio_prepare(hparams["manifest_folder"], hparams["data_folder"], hparams["cache_folder"])

    brain = DigitsBrain(hparams["modules"], hparams["opt_class"], hparams, run_opts, hparams["checkpointer"])
    valid_loader = brain.make_dataloader(datasets["valid"], sb.Stage.VALID, None, **hparams["test_dataloader_opts"])
    if hparams["pretrained_recognizer"] is None:
        brain.set_statistics(valid_loader)
    else:
        hparams["pretrainer"].collect_files()
        hparams["pretrainer"].load_collected()

    full = brain.frontend.strength

    def judge(strength: float, min_key: str | None = None) -> Counts:
        brain.frontend.strength = strength
        brain.evaluate(datasets["test"], min_key=min_key, test_loader_kwargs=hparams["test_dataloader_opts"])
        brain.frontend.strength = full
        return brain.counts

    rows: dict[str, Counts] = {}
    joint = "trained_frontend" in hparams
    if joint:
        rows = {"raw": judge(0.0), "front-end": judge(full)}
        brain.modules.recognizer.requires_grad_(hparams["train_recognizer"])
        if hparams["fused"] and brain.device == "cpu":
            fuse(brain.frontend.net)
    brain.fit(
        hparams["epoch_counter"], datasets["train"], valid_loader, train_loader_kwargs=hparams["train_dataloader_opts"]
    )
    if joint:
        rows["joint"] = judge(full, "WER")
        brain.frontend.save_safetensors(hparams["trained_frontend"])
    else:
        front_end = judge(full, "WER")
        rows = {"raw": judge(0.0), "front-end": front_end}
    with replaced_at_end(Path(hparams["trained_recognizer"])) as part:
        torch.save(brain.modules.recognizer.state_dict(), part)
    table = error_table(rows)
    logger.info("Word error rates by SNR\n%s", table)
    Path(hparams["wer_file"]).write_text(table + "\n", encoding="utf-8")
    return rows


if __name__ == "__main__":
    main(sys.argv[1:])
