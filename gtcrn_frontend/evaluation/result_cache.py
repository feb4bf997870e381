"""`ResultCache`: results of recognition and metrics in a folder of small files, to resume runs and to repeat them."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from gtcrn_frontend.atomic_write import write_text
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.parsing import parse_json
from gtcrn_frontend.weights.registry import cache_folder

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

VERSION = 1

Result = TypeVar("Result", bound="DataclassInstance")

_log = logging.getLogger(__name__)


class ResultCache(Generic[Result]):
    """Results by signal, evaluator and setting; one file for each signal and evaluator (a recogniser or a metric).

    Several processes may use one folder: files are replaced as a whole, and of two writers the last one wins.

    Args:
        folder: created on the first write; None keeps results in memory only.
        kind: dataclass of the results, with values that JSON can hold.
    """

    def __init__(self, folder: Path | None, kind: type[Result]) -> None:
        self._folder = folder
        self._kind = kind
        self._files: dict[str, dict[str, Result]] = {}

    def get(self, signal_key: str, evaluator: str, setting_key: str) -> Result | None:
        """Returns the result, or None if it is not in the cache."""
        return self._file(signal_key, evaluator).get(setting_key)

    def put(self, signal_key: str, evaluator: str, setting_key: str, result: Result) -> None:
        """Stores a result; it is on disk when this returns.

        Raises:
            ConfigError: the folder cannot be written to.
        """
        results = self._file(signal_key, evaluator)
        results[setting_key] = result
        if self._folder is None:
            return
        path = self._path(signal_key, evaluator)
        content = {key: asdict(value) for key, value in results.items()}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps(content, ensure_ascii=False))
        except OSError as error:
            raise ConfigError(f"cannot write to the cache {self._folder}: {error.strerror}") from error

    def _file(self, signal_key: str, evaluator: str) -> dict[str, Result]:
        name = _name(signal_key, evaluator)
        if name not in self._files:
            self._files[name] = {} if self._folder is None else self._read(self._path(signal_key, evaluator))
        return self._files[name]

    def _path(self, signal_key: str, evaluator: str) -> Path:
        name = _name(signal_key, evaluator)
        return (self._folder or Path()) / name[:2] / f"{name}.json"

    def _read(self, path: Path) -> dict[str, Result]:
        try:
            content = parse_json(path.read_text(encoding="utf-8"))
            return {key: self._kind(**value) for key, value in content.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            _log.warning("%s: not a file of this cache, computing its results again: %s", path, error)
            return {}


def result_folder(cache: str | Path | bool, name: str) -> Path | None:
    """Returns the folder of a cache.

    Args:
        cache: True for the user's cache folder, False for none, or a folder.
        name: of the subfolder of the user's cache folder.
    """
    if cache is False:
        return None
    return cache_folder() / name if cache is True else Path(cache)


def _name(signal_key: str, evaluator: str) -> str:
    return hashlib.sha256(f"{VERSION}\n{signal_key}\n{evaluator}".encode()).hexdigest()[:40]
