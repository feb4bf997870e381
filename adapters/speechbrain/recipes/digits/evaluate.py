"""Word error rates of the digit recogniser that `frozen.yaml` trains, behind the weights of any network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gtcrn_frontend.adapters.speechbrain import EnhanceFrontend  # before SpeechBrain, see `torchaudio_fallback`

# isort: split

import speechbrain as sb

from gtcrn_frontend.adapters.speechbrain.recipes.common import load_hparams
from gtcrn_frontend.adapters.speechbrain.recipes.digits.brain import Counts, DigitsBrain, load_recognizer, report
from gtcrn_frontend.adapters.speechbrain.recipes.digits.data import dataio_prepare
from gtcrn_frontend.adapters.speechbrain.recipes.digits.prepare import prepare_digits


class DigitsEvaluator:
    """The recogniser and its test set of digit strings in noise; missing files are reported by the constructor.

    Args:
        settings: overrides of `frozen.yaml`, with `data_folder`, `output_folder` and `pretrained_recognizer`.
        run_opts: of the recipe, see `sb.parse_arguments`.

    Raises:
        ConfigError: there is no recogniser, or the data has no digits or no noise to test with.
    """

    def __init__(self, settings: Mapping[str, Any], run_opts: Mapping[str, Any]) -> None:
        Path(settings["output_folder"]).mkdir(parents=True, exist_ok=True)
        no_training_set = {"train_strings": 0, "valid_strings": 0}
        self.hparams = load_hparams("frozen.yaml", __file__, {**no_training_set, **settings})
        self.run_opts = dict(run_opts)
        sb.utils.distributed.run_on_main(prepare_digits, kwargs=self.hparams["prepare"])
        load_recognizer(self.hparams)

    def __call__(self, model: str | Path) -> dict[str, Counts]:
        """Returns the errors without and with the front-end; writes the table to the log and to `wer_file`."""
        hparams = self.hparams
        manifests, data_folder, cache_folder = (hparams[f"{of}_folder"] for of in ("manifest", "data", "cache"))
        test_set = dataio_prepare(manifests, data_folder, cache_folder, ["test"])["test"]
        modules = hparams["modules"] | {"frontend": EnhanceFrontend(model)}
        brain = DigitsBrain(modules, hparams=hparams, run_opts=self.run_opts)
        rows = {
            name: brain.word_errors(test_set, strength)
            for name, strength in (("raw", 0.0), ("front-end", brain.frontend.strength))
        }
        report(rows, hparams["wer_file"])
        return rows
