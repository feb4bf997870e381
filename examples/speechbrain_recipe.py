"""Trains a small recogniser of sung vowels in noise with SpeechBrain; the front-end is in the YAML alone.

python examples/speechbrain_recipe.py examples/speechbrain_recipe.yaml

Takes a minute (15 s of computing) on one core of a busy machine.
"""

import sys
from pathlib import Path

import gtcrn_frontend.adapters.speechbrain  # noqa: F401  (first: next to a CPU build of torch, SpeechBrain needs it)

# isort: split
import numpy as np
import soundfile
import speechbrain as sb
import torch
from hyperpyyaml import load_hyperpyyaml
from speechbrain.utils.metric_stats import ErrorRateStats

# Layers this small are not worth dividing: with two threads on two busy cores an epoch took 48 s, with one 1.3 s.
torch.set_num_threads(1)

RATE = 16000
FORMANTS_HZ = ((300, 2300), (700, 1100), (350, 800), (550, 1800))  # roughly as in beat, father, boot, bet


class ASR(sb.Brain):
    def compute_forward(self, batch, stage):
        batch = batch.to(self.device)
        wavs, wav_lens = batch.sig
        features = self.hparams.compute_features(wavs, wav_lens)
        features = self.modules.normalize(features, wav_lens)
        return self.modules.model(features, wav_lens), wav_lens

    def compute_objectives(self, predictions, batch, stage):
        log_probs, wav_lens = predictions
        labels, label_lens = batch.labels
        if stage != sb.Stage.TRAIN:
            sequences = sb.decoders.ctc_greedy_decode(log_probs, wav_lens, blank_id=0)
            self.errors.append(batch.id, sequences, labels, target_len=label_lens)
        return self.hparams.ctc_cost(log_probs, labels, wav_lens, label_lens)

    def on_stage_start(self, stage, epoch=None):
        if stage != sb.Stage.TRAIN:
            self.errors = ErrorRateStats()

    def on_stage_end(self, stage, stage_loss, epoch=None):
        if stage == sb.Stage.TRAIN:
            self.train_loss = stage_loss
            return
        error_rate = self.errors.summarize("error_rate")
        if stage == sb.Stage.VALID:
            print(f"epoch {epoch}: training loss {self.train_loss:.2f}, error rate {error_rate:.1f} %")
            self.checkpointer.save_and_keep_only({"error_rate": error_rate}, min_keys=["error_rate"])
        else:
            print(f"test: loss {stage_loss:.2f}, error rate {error_rate:.1f} %")


def make_vowel(rng, formants_hz):
    """Returns 0.3 s of a vowel with a pitch that moves."""
    time_s = np.arange(int(0.3 * RATE)) / RATE
    pitch_hz = rng.uniform(90, 220) * (1 + 0.15 * np.sin(2 * np.pi * rng.uniform(1.5, 3) * time_s))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE
    harmonics = np.arange(1, 36)[:, None]
    gains = sum(1 / (1 + ((harmonics * pitch_hz - formant) / 100) ** 2) for formant in formants_hz)
    return 0.15 * np.hanning(len(time_s)) * (gains * np.sin(harmonics * phase)).sum(0)


def make_data(folder, count, seed):
    """Writes files of one to three vowels in noise, and returns their dataset."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    data = {}
    for item in range(count):
        labels = rng.integers(1, len(FORMANTS_HZ) + 1, rng.integers(1, 4))
        speech = np.concatenate([make_vowel(rng, FORMANTS_HZ[label - 1]) for label in labels])
        soundfile.write(folder / f"{item}.wav", speech + rng.normal(0, 0.03, len(speech)), RATE)
        data[f"{folder.name}{item}"] = {"wav": str(folder / f"{item}.wav"), "labels": torch.tensor(labels)}
    return sb.dataio.dataset.DynamicItemDataset(data)


@sb.utils.data_pipeline.takes("wav")
@sb.utils.data_pipeline.provides("sig")
def audio_pipeline(wav):
    return sb.dataio.dataio.read_audio(wav)


def main(arguments):
    """Trains, or goes on where an earlier run has stopped, and evaluates the best checkpoint."""
    hparams_file, run_opts, overrides = sb.parse_arguments(arguments)
    with Path(hparams_file).open() as file:
        hparams = load_hyperpyyaml(file, overrides)
    sb.create_experiment_directory(hparams["output_folder"], hparams_file, overrides, save_env_desc=False)
    folder = Path(hparams["output_folder"]) / "data"
    train, valid, test = (make_data(folder / name, n, seed) for seed, (name, n) in enumerate(hparams["items"].items()))
    sb.dataio.dataset.add_dynamic_item([train, valid, test], audio_pipeline)
    sb.dataio.dataset.set_output_keys([train, valid, test], ["id", "sig", "labels"])
    brain = ASR(hparams["modules"], hparams["opt_class"], hparams, run_opts, hparams["checkpointer"])
    loader = {"batch_size": hparams["batch_size"]}
    brain.fit(hparams["epoch_counter"], train, valid, train_loader_kwargs=loader, valid_loader_kwargs=loader)
    brain.evaluate(test, min_key="error_rate", test_loader_kwargs=loader)


if __name__ == "__main__":
    main(sys.argv[1:])
