"""SpeechBrain recipe: a CTC recogniser of digit strings in noise behind the front-end, frozen or jointly trained.

    python -m gtcrn_frontend.adapters.speechbrain.recipes.digits.train frozen.yaml --data_folder DATA
    python -m gtcrn_frontend.adapters.speechbrain.recipes.digits.train joint.yaml --data_folder DATA

`frozen.yaml` trains the recogniser; `joint.yaml` starts from that recogniser, fine-tunes the front-end, and writes a
file for `Enhancer(model=path)`. Both end with word error rates by SNR on unseen speakers and noise. DATA holds a
`manifest.json`, see `prepare_digits`. The same command resumes an interrupted run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gtcrn_frontend.adapters.speechbrain  # noqa: F401  # before SpeechBrain, see `torchaudio_fallback`

# isort: split

import speechbrain as sb
import torch

from gtcrn_frontend.adapters.speechbrain.recipes.common import begin_experiment, fuse, run_as_command
from gtcrn_frontend.adapters.speechbrain.recipes.digits.brain import Counts, DigitsBrain, load_recognizer, report
from gtcrn_frontend.adapters.speechbrain.recipes.digits.data import dataio_prepare
from gtcrn_frontend.adapters.speechbrain.recipes.digits.prepare import prepare_digits
from gtcrn_frontend.atomic_write import replaced_at_end


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
        load_recognizer(hparams)

    full, test_set = brain.frontend.strength, datasets["test"]
    rows: dict[str, Counts] = {}
    joint = "trained_frontend" in hparams
    if joint:
        rows = {"raw": brain.word_errors(test_set, 0.0), "front-end": brain.word_errors(test_set, full)}
        brain.modules.recognizer.requires_grad_(hparams["train_recognizer"])
        if hparams["fused"] and brain.device == "cpu":
            fuse(brain.frontend.net)
    brain.fit(
        hparams["epoch_counter"], datasets["train"], valid_loader, train_loader_kwargs=hparams["train_dataloader_opts"]
    )
    if joint:
        rows["joint"] = brain.word_errors(test_set, full, "WER")
        brain.frontend.save_safetensors(hparams["trained_frontend"])
    else:
        front_end = brain.word_errors(test_set, full, "WER")  # first, as it loads the best recogniser
        rows = {"raw": brain.word_errors(test_set, 0.0), "front-end": front_end}
    with replaced_at_end(Path(hparams["trained_recognizer"])) as part:
        torch.save(brain.modules.recognizer.state_dict(), part)
    report(rows, hparams["wer_file"])
    return rows


if __name__ == "__main__":
    run_as_command(main)
