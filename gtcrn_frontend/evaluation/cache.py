"""What was heard before: a folder of small files, so that a sweep goes on where it was, and a second one is free."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from gtcrn_frontend.atomic import replaced_at_end
from gtcrn_frontend.errors import ConfigError

VERSION = 1

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Heard:
    """What a recogniser heard in one signal.

    Attributes:
        text: as the recogniser wrote it.
        recognising_s: seconds that it took.
        enhancing_s: seconds that the network took before, at full strength.
    """

    text: str
    recognising_s: float
    enhancing_s: float


class Cache:
    """Results by signal, recogniser and setting; one file for each signal and recogniser.

    Two processes may use one folder: files are replaced whole, and where both write the same one, the last stays.

    Args:
        folder: is made when it is first written to; None keeps nothing beyond this object.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._files: dict[str, dict[str, Heard]] = {}

    def get(self, signal_key: str, recognizer: str, setting_key: str) -> Heard | None:
        """Returns what was heard, or None."""
        return self._file(signal_key, recognizer).get(setting_key)

    def put(self, signal_key: str, recognizer: str, setting_key: str, heard: Heard) -> None:
        """Keeps what was heard, on disk when this returns.

        Raises:
            ConfigError: the folder cannot be written to.
        """
        results = self._file(signal_key, recognizer)
        results[setting_key] = heard
        if self._folder is None:
            return
        path = self._path(signal_key, recognizer)
        content = {key: asdict(value) for key, value in results.items()}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replaced_at_end(path) as part:
                part.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"cannot write to the cache {self._folder}: {error.strerror}") from error

    def _file(self, signal_key: str, recognizer: str) -> dict[str, Heard]:
        name = _name(signal_key, recognizer)
        if name not in self._files:
            self._files[name] = {} if self._folder is None else _read(self._path(signal_key, recognizer))
        return self._files[name]

    def _path(self, signal_key: str, recognizer: str) -> Path:
        name = _name(signal_key, recognizer)
        return (self._folder or Path()) / name[:2] / f"{name}.json"


def _name(signal_key: str, recognizer: str) -> str:
    return hashlib.sha256(f"{VERSION}\n{signal_key}\n{recognizer}".encode()).hexdigest()[:40]


def _read(path: Path) -> dict[str, Heard]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {key: Heard(**value) for key, value in content.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        _log.warning("%s: not a file of this cache, recognising again: %s", path, error)
        return {}
