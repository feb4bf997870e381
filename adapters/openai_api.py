"""`OpenAIRecognizer`: any server of OpenAI's `POST /v1/audio/transcriptions`, as a `Recognizer`.

OpenAI itself, and servers that people run themselves: vLLM, speaches, whisper.cpp, LocalAI. The key is taken from the
environment variable OPENAI_API_KEY when a request is sent, and is part of no message, report or cache.
"""

from __future__ import annotations

import io
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from email.message import Message
from functools import partial
from http.client import HTTPException
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import numpy as np
import numpy.typing as npt
import soundfile

from gtcrn_frontend.adapters.recognizer_names import (
    digest,
    number,
    optional,
    parse_options,
    settings_shown,
    split_options,
    whole,
    words,
)
from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.evaluation.asr.recognizer import Transcript
from gtcrn_frontend.evaluation.asr.recognizer_source import RecognizerSource
from gtcrn_frontend.parsing import parse_json

KIND = "openai"
KEY_VARIABLE = "OPENAI_API_KEY"
ENDPOINT = "/audio/transcriptions"

RETRIED = (408, 429, 500, 502, 503, 504)
"""Answers after which the same request may succeed: too many requests, and a server that is busy or restarts."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 20.0
MOST_RETRIES = 10

_MOST_BYTES = 4 << 20  # of an answer
_SHOWN = 300  # characters of what a server said


@dataclass(frozen=True)
class OpenAISettings:
    """Fields of the request, and how it is sent.

    Attributes:
        model: name of the model; servers with one model take any.
        language: ISO 639-1 code such as `en`; None leaves it to the server.
        temperature: of the decoding; None leaves it to the server.
        prompt: text that is taken to come before; None is none.
        timeout: seconds without an answer after which an attempt has failed, > 0.
        retries: further attempts where the connection fails or the answer is one of `RETRIED`, at most `MOST_RETRIES`.

    Raises:
        ConfigError: a value is out of range.
    """

    model: str = "whisper-1"
    language: str | None = None
    temperature: float | None = None
    prompt: str | None = None
    timeout: float = 60.0
    retries: int = 4

    def __post_init__(self) -> None:
        if not self.timeout > 0:
            raise ConfigError(f"{KIND}, option timeout: expected seconds above 0, got {self.timeout:g}")
        if not 0 <= self.retries <= MOST_RETRIES:
            raise ConfigError(f"{KIND}, option retries: expected 0 to {MOST_RETRIES}, got {self.retries}")


OPTIONS = {
    "model": words,
    "language": optional(words),
    "temperature": optional(number),
    "prompt": optional(words),
    "timeout": number,
    "retries": whole,
}


class OpenAIRecognizer:
    """Sends whole utterances to a server as 16-bit wave files at their own rate.

    >>> OpenAIRecognizer("http://127.0.0.1:8000")(samples, 16000).text  # doctest: +SKIP
    'Seven, three, one.'

    Redirections are not followed: they would carry the key and the recording elsewhere.

    Args:
        url: of the server, as far as `/v1` or to the end: `http://127.0.0.1:8000`.
        settings: fields of the request, timeout and retries.

    Raises:
        ConfigError: the URL cannot be used.
    """

    def __init__(self, url: str, settings: OpenAISettings | None = None) -> None:
        self._url = endpoint(url)
        self._settings = settings or OpenAISettings()
        self._opener = build_opener(_NoRedirection)

    def __call__(self, samples: npt.NDArray[np.float32], sample_rate: int) -> Transcript:
        """Returns the transcript of samples `(n,) float32` in [-1, 1] at `sample_rate` Hz.

        Raises:
            ConfigError: OPENAI_API_KEY holds something that cannot be sent.
            ModelError: the server cannot be reached, refuses the request, or answers something else.
        """
        fields = {
            "model": self._settings.model,
            "response_format": "json",
            "language": self._settings.language,
            "temperature": self._settings.temperature,
            "prompt": self._settings.prompt,
        }
        body, content_type = multipart(
            {name: str(value) for name, value in fields.items() if value is not None}, _wave(samples, sample_rate)
        )
        return Transcript(" ".join(self._text(self._answer(body, content_type)).split()))

    def _answer(self, body: bytes, content_type: str) -> bytes:
        """What the server answers to a request, after as many attempts as it takes and is allowed."""
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        key = _key()
        if key:
            headers["Authorization"] = f"Bearer {key}"
        for attempt in range(self._settings.retries + 1):
            wait_s = min(FIRST_WAIT_S * 2**attempt, LONGEST_WAIT_S)
            try:
                request = Request(self._url, body, headers, method="POST")
                with self._opener.open(request, timeout=self._settings.timeout) as response:
                    return _read(response)
            except HTTPError as error:
                with error:
                    problem = f"answered {error.code} {_without(key, str(error.reason))}: {_said(error, key)}"
                if error.code not in RETRIED:
                    break
                wait_s = min(_asked_to_wait_s(error.headers) or wait_s, LONGEST_WAIT_S)
            except (URLError, HTTPException, OSError) as error:
                reason = getattr(error, "reason", None) or error
                problem = f"cannot be reached: {_without(key, str(reason) or type(reason).__name__)}"
            if attempt < self._settings.retries:
                time.sleep(wait_s)
        tried = f" ({attempt + 1} attempts)" if attempt else ""
        hint = f"; set {KEY_VARIABLE}" if not key and problem.startswith("answered 401") else ""
        raise ModelError(f"{self._url} {problem}{hint}{tried}")

    def _text(self, answer: bytes) -> str:
        try:
            text = parse_json(answer)["text"]
        except (ValueError, LookupError, TypeError):
            # Without its cause, which holds the whole answer.
            raise ModelError(f"{self._url}: expected JSON with a text, got {_excerpt(answer, _key())!r}") from None
        if not isinstance(text, str):
            raise ModelError(f"{self._url}: expected JSON with a text, got {type(text).__name__} as text")
        return text


def endpoint(url: str) -> str:
    """Returns the address of the transcriptions of a server.

    >>> endpoint("http://127.0.0.1:8000")
    'http://127.0.0.1:8000/v1/audio/transcriptions'

    Raises:
        ConfigError: the URL is not one of http or https, or has a user, a password or a query in it.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is none
    except ValueError as error:
        raise ConfigError(f"{KIND}: expected a URL such as http://127.0.0.1:8000/v1: {error}") from error
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        # Not shown: what is secret in it would be.
        raise ConfigError(
            f"{KIND}: expected a URL without user, password and query, as it is written to reports; "
            f"a key goes into the environment variable {KEY_VARIABLE}"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or any(c.isspace() for c in url):
        raise ConfigError(f"{KIND}: expected a URL such as http://127.0.0.1:8000/v1, got {url!r}")
    base = url.rstrip("/")
    if base.endswith(ENDPOINT):
        return base
    return base + ENDPOINT if base.endswith("/v1") else f"{base}/v1{ENDPOINT}"


def multipart(fields: Mapping[str, str], wave: bytes) -> tuple[bytes, str]:
    """Returns the body of a form with a wave file (RFC 7578), and its content type."""
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="audio.wav"\r\n'
    parts.append(f"{head}Content-Type: audio/wav\r\n\r\n".encode() + wave + f"\r\n--{boundary}--\r\n".encode())
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"


def source(text: str) -> RecognizerSource:
    """Returns the recogniser of `URL[,option=value...]`; it is asked for nothing before it is made.

    Raises:
        ConfigError: the URL or an option is not valid.
    """
    url, options = split_options(text)
    settings = OpenAISettings(**parse_options(options, OPTIONS, KIND))  # type: ignore[arg-type]
    address = endpoint(url)
    shown = settings_shown({"url": address, **asdict(settings)})
    decisive = [pair for pair in shown if pair[0] not in ("timeout", "retries")]
    return RecognizerSource(f"{KIND}:{text}", digest(KIND, *decisive), partial(_load, url, settings), shown)


class _NoRedirection(HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any) -> None:
        return None


def _load(url: str, settings: OpenAISettings, temporary: str) -> OpenAIRecognizer:
    return OpenAIRecognizer(url, settings)


def _key() -> str:
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not all("!" <= character <= "~" for character in key):
        raise ConfigError(f"{KEY_VARIABLE}: expected printable ASCII without spaces; what it holds is not shown")
    return key


def _wave(samples: npt.NDArray[np.float32], sample_rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.clip(samples, -1, 1), sample_rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def _read(response: IO[bytes]) -> bytes:
    return response.read(_MOST_BYTES)


def _said(error: HTTPError, key: str) -> str:
    try:
        body = _read(error)
    except (HTTPException, OSError):
        body = b""
    return _excerpt(body, key) or "nothing more"


def _excerpt(body: bytes, key: str) -> str:
    return " ".join(_without(key, body.decode(errors="replace")).split())[:_SHOWN]


def _without(key: str, text: str) -> str:
    """The text without the key: servers may repeat what they were sent."""
    return text.replace(key, "***") if key else text


def _asked_to_wait_s(headers: Message) -> float | None:
    """How long the server asks to wait, where it says so in seconds."""
    text = headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else None
