"""Transcribes files with a recogniser that speechbrain_recipe.py has trained, without and with the front-end.

python examples/speechbrain_inference.py results/speechbrain_recipe results/speechbrain_recipe/data/test/*.wav

Takes 20 s (4 s of computing) on one core of a busy machine.
"""

import sys
import tempfile
from pathlib import Path

from gtcrn_frontend.adapters.speechbrain import with_frontend

# isort: split
from speechbrain.inference.ASR import EncoderASR
from speechbrain.utils.checkpoints import Checkpointer

VOWELS = ("i", "a", "u", "e")


def main(results_folder, *wavs):
    checkpoint = Checkpointer(Path(results_folder) / "save").find_checkpoint(min_key="error_rate")
    with tempfile.TemporaryDirectory() as folder:
        asr = EncoderASR.from_hparams(
            source=str(Path(__file__).parent),
            hparams_file="speechbrain_inference.yaml",
            savedir=folder,
            overrides={"checkpoint": str(checkpoint.path.absolute())},
        )
    asr.tokenizer.insert_blank(index=0)
    asr.tokenizer.update_from_iterable(VOWELS, sequence_input=False)
    enhancing = with_frontend(asr, strength=0.8)
    for wav in map(str, wavs):
        print(f"{wav}: raw {asr.transcribe_file(wav)!r}, with front-end {enhancing.transcribe_file(wav)!r}")


if __name__ == "__main__":
    main(*sys.argv[1:])
