"""Downloads a file of known size over HTTP, within limits on size and time."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 30.0  # between two pieces
TOTAL_TIMEOUT_S = 1800.0  # for the whole file: 10 MB at 6 kB/s
_PIECE_BYTES = 1 << 16


def save(url: str, path: Path, size_bytes: int, on_bytes: Callable[[int], object]) -> None:
    """Saves what a URL answers; the file may be shorter than `size_bytes`, but never longer.

    Args:
        url: http or https.
        path: of the file to write.
        size_bytes: the expected size: nothing beyond it is read.
        on_bytes: called with the number of bytes of each piece.

    Raises:
        OSError: no answer, an error, more bytes than expected, a body that would have to be unpacked, or one that takes
            longer than `TOTAL_TIMEOUT_S`.
    """
    import requests  # it and urllib3 come with pooch; imported late: takes 0.1 s
    from urllib3.exceptions import HTTPError

    headers = {"Accept-Encoding": "identity"}
    timeouts_s = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
    end_s = time.monotonic() + TOTAL_TIMEOUT_S
    with requests.get(url, headers=headers, timeout=timeouts_s, stream=True) as response, path.open("wb") as file:
        response.raise_for_status()
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":  # a small body could fill memory when unpacked
            raise OSError(f"expected the file itself, got content encoded with {encoding!r}")
        left = size_bytes
        # What has arrived: `read`, for urllib3 before 2.2, waits for a whole piece, however slowly its bytes come.
        read = getattr(response.raw, "read1", response.raw.read)
        try:
            while piece := read(min(_PIECE_BYTES, left + 1), decode_content=False):
                if len(piece) > left:
                    raise OSError(f"expected a file of {size_bytes} bytes, got more from the server")
                if time.monotonic() > end_s:
                    got = size_bytes - left
                    raise OSError(f"not complete after {TOTAL_TIMEOUT_S:g} s: {got} of {size_bytes} bytes")
                file.write(piece)
                left -= len(piece)
                on_bytes(len(piece))
        except HTTPError as error:  # of urllib3, no OSError; requests would translate it only for its own reader
            raise OSError(str(error)) from error
