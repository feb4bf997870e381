"""Reads `tokens.txt` as sherpa-onnx does, with errors where sherpa-onnx ends the process."""

from __future__ import annotations

import re
from pathlib import Path

from gtcrn_frontend.errors import ModelError

BLANKS = ("<blk>", "<eps>", "<blank>")
"""Names of the CTC blank that sherpa-onnx accepts."""

_ID = re.compile(r"\d+")


def read_tokens(path: str | Path) -> dict[int, str]:
    """Returns the symbols by id. A line holds a symbol and its id, or, for the space, the id alone.

    Raises:
        ModelError: the file cannot be read, has a malformed line, or an id twice; the message names file and line.
    """
    symbols: dict[int, str] = {}
    for number, line in enumerate(_lines(Path(path)), start=1):
        if not line.strip():
            continue
        symbol, token_id = _split(line, f"{path}: line {number}")
        if token_id in symbols:
            raise ModelError(
                f"{path}: line {number}: expected every id once, got {token_id} for {symbols[token_id]!r} and "
                f"{symbol!r}: sherpa-onnx would keep the first"
            )
        symbols[token_id] = symbol
    if not symbols:
        raise ModelError(f"{path}: expected a symbol and its id on each line, got an empty file")
    return symbols


def check_ctc_tokens(path: str | Path, vocabulary: int | None) -> None:
    """Raises `ModelError` unless the tokens have a blank, and a symbol for each output of a CTC model.

    More symbols than outputs are allowed: icefall appends disambiguation symbols.

    Args:
        path: of `tokens.txt`.
        vocabulary: number of outputs of the model; None if it is dynamic.
    """
    symbols = read_tokens(path)
    blank = next((token_id for name in BLANKS for token_id, symbol in symbols.items() if symbol == name), None)
    if blank is None:
        raise ModelError(
            f"{path}: expected a blank, one of {', '.join(BLANKS)}, found none among {len(symbols)} symbols: "
            "sherpa-onnx would end the process; is this the tokens file of this model?"
        )
    outputs = len(symbols) if vocabulary is None else vocabulary
    missing = [token_id for token_id in range(outputs) if token_id not in symbols]
    if missing:
        said = (
            "expected ids without gaps" if vocabulary is None else f"expected the ids 0 to {outputs - 1} of the model"
        )
        raise ModelError(f"{path}: {said}, {_listed(missing)} missing: is this the tokens file of this model?")
    if blank >= outputs:
        raise ModelError(
            f"{path}: expected the blank among the model's outputs, 0 to {outputs - 1}, got {symbols[blank]} {blank}: "
            "is this the tokens file of this model?"
        )


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: expected text in UTF-8, a symbol and its id on each line: {error}") from error
    if text.startswith("\ufeff"):
        raise ModelError(f"{path}: begins with a byte order mark, which sherpa-onnx takes for text: save it without")
    return text.split("\n")


def _split(line: str, where: str) -> tuple[str, int]:
    # not str.split(): it also splits at Unicode spaces, which may be symbols
    fields = re.findall(r"[^ \t\r\f\v]+", line)
    symbol, token_id = (" ", fields[0]) if len(fields) == 1 else (fields[0], fields[-1])
    if len(fields) > 2 or not _ID.fullmatch(token_id):
        raise ModelError(f"{where}: expected a symbol and its id, got {line.strip()!r}")
    return symbol, int(token_id)


def _listed(ids: list[int]) -> str:
    shown = ", ".join(map(str, ids[:5]))
    return shown if len(ids) <= 5 else f"{shown} and {len(ids) - 5} more are"
