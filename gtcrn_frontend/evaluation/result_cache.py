"""What was found out before: a folder of small files, so that a run goes on where it was, and a second one is free."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from gtcrn_frontend.atomic_write import write_text
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.parsing import parse_json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

VERSION = 1

Result = TypeVar("Result", bound="DataclassInstance")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recognition:
    """What a recogniser heard in one signal.

    Attributes:
        text: as the recogniser wrote it.
        recognising_s: seconds that it took.
        enhancing_s: seconds that the network took before, at full strength.
    """

    text: str
    recognising_s: float
    enhancing_s: float


class Cache(Generic[Result]):
    """Results by signal, judge and setting; one file for each signal and judge, a recogniser or a measure.

    Two processes may use one folder: files are replaced whole, and where both write the same one, the last stays.

    Args:
        folder: is made when it is first written to; None keeps nothing beyond this object.
        kind: of the results, a dataclass of what JSON holds.
    """

    def __init__(self, folder: Path | None, kind: type[Result]) -> None:
        self._folder = folder
        self._kind = kind
        self._files: dict[str, dict[str, Result]] = {}

    def get(self, signal_key: str, judge: str, setting_key: str) -> Result | None:
        """Returns what was found out, or None."""
        return self._file(signal_key, judge).get(setting_key)

    def put(self, signal_key: str, judge: str, setting_key: str, result: Result) -> None:
        """Keeps what was found out, on disk when this returns.

        Raises:
            ConfigError: the folder cannot be written to.
        """
        results = self._file(signal_key, judge)
        results[setting_key] = result
        if self._folder is None:
            return
        path = self._path(signal_key, judge)
        content = {key: asdict(value) for key, value in results.items()}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps(content, ensure_ascii=False))
        except OSError as error:
            raise ConfigError(f"cannot write to the cache {self._folder}: {error.strerror}") from error

    def _file(self, signal_key: str, judge: str) -> dict[str, Result]:
        name = _name(signal_key, judge)
        if name not in self._files:
            self._files[name] = {} if self._folder is None else self._read(self._path(signal_key, judge))
        return self._files[name]

    def _path(self, signal_key: str, judge: str) -> Path:
        name = _name(signal_key, judge)
        return (self._folder or Path()) / name[:2] / f"{name}.json"

    def _read(self, path: Path) -> dict[str, Result]:
        try:
            content = parse_json(path.read_text(encoding="utf-8"))
            return {key: self._kind(**value) for key, value in content.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            _log.warning("%s: not a file of this cache, finding it out again: %s", path, error)
            return {}


def _name(signal_key: str, judge: str) -> str:
    return hashlib.sha256(f"{VERSION}\n{signal_key}\n{judge}".encode()).hexdigest()[:40]
