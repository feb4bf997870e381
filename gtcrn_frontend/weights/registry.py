"""Registered models: metadata and verified files, embedded in the package or downloaded once and cached.

The cache is one folder per user, `GTCRN_FRONTEND_CACHE` or the platform's default, and may be filled by hand. Files in
it are used only if their SHA-256 is the registered one. Processes need no lock: each downloads into its own temporary
folder and moves the verified file into place atomically.
"""

from __future__ import annotations

import difflib
import hashlib
import logging
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from gtcrn_frontend.errors import ModelError

CACHE_VARIABLE = "GTCRN_FRONTEND_CACHE"
"""Environment variable for the folder of downloaded models."""

Location = Literal["embedded", "missing", "cached", "damaged", "not downloaded", "to be supplied"]
"""`missing`: an embedded file is not installed. `damaged`: the file in the cache has another hash."""

_HEX_DIGEST = re.compile("[0-9a-f]{64}")
_NEAR = 0.4  # similarity, 0 to 1, above which an unknown name is considered a typo

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Download:
    """URL, checksum and size of a file; a download ends at that size, whatever the server sends."""

    url: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class RegisteredModel:
    """Metadata of a registered model.

    Attributes:
        name: value for `model=`.
        file: name of its file, next to the registry (embedded) or in the cache; empty if users must supply it.
        network: network of the weights, `ModelSpec.name`.
        licence: of the weights (SPDX); empty if users must supply them.
        description: one line.
        supply: for a model without a file: where to get the weights.
        download: None for an embedded model.
    """

    name: str
    network: str
    description: str
    file: str = ""
    licence: str = ""
    supply: str = ""
    download: Download | None = None


@dataclass(frozen=True)
class Registry:
    """The registered models, and the folder of the embedded ones."""

    models: Mapping[str, RegisteredModel]
    folder: Path

    @classmethod
    def from_toml(cls, path: str | Path) -> Registry:
        """Returns the registry in a TOML file; see `models/registry.toml` for its keys.

        Raises:
            ModelError: the file cannot be read, or an entry is incomplete or has an unknown key.
        """
        path = Path(path)
        try:
            with path.open("rb") as file:
                entries = tomllib.load(file)
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise ModelError(f"cannot read the registry of models {path}: {error}") from error
        try:
            models = {name: _registered(name, entry) for name, entry in entries.items()}
        except (TypeError, ValueError) as error:
            raise ModelError(f"registry of models {path}: {error}") from error
        return cls(MappingProxyType(models), path.parent)

    def find(self, name: str) -> RegisteredModel:
        """Returns the model with this name.

        Raises:
            ModelError: no such model; the message suggests the closest name.
        """
        if name in self.models:
            return self.models[name]
        raise ModelError(f"expected a registered model ({', '.join(self.models)}), got {name!r}{self.hint(name)}")

    def hint(self, name: str) -> str:
        """Returns the suffix of an error message that suggests the registered model closest to `name`; may be empty."""
        near = difflib.get_close_matches(name.lower(), self.models, n=1, cutoff=_NEAR)
        return f", did you mean {near[0]!r}?" if near else ""

    def path(self, name: str) -> Path:
        """Returns the path of a model's file, whether or not it has been downloaded.

        Raises:
            ModelError: see `find`; or users must supply the weights: the message says where to get them.
        """
        model = self.find(name)
        if model.supply:
            raise ModelError(
                f"expected weights for {name}, which this package cannot distribute: {model.supply}. "
                f"Pass the path of the checkpoint instead of the name {name!r}"
            )
        return (self.folder if model.download is None else cache_folder()) / model.file

    def location(self, name: str) -> Location:
        """Returns where a model is available; `ModelError` as in `find`, or if the cache cannot be read."""
        model = self.find(name)
        if model.supply:
            return "to be supplied"
        path = self.path(name)
        if model.download is None:
            return "embedded" if path.is_file() else "missing"
        found = _sha256_at(path)
        if found is None:
            return "not downloaded"
        return "cached" if found == model.download.sha256 else "damaged"

    def fetch(self, name: str) -> Path:
        """Returns the file of a model: embedded, or verified in the cache after downloading it if necessary.

        Raises:
            ModelError: see `path`; or the installation is incomplete, the cache not usable, or the download failed. The
                cache is then unchanged, and the message explains how to download by hand.
        """
        model, path = self.find(name), self.path(name)
        if model.download is None:
            if not path.is_file():
                raise ModelError(
                    f"expected {path.name} among the installed models at {path}: install the package again"
                )
            return path
        found = _sha256_at(path)
        if found == model.download.sha256:
            return path
        if found is not None:
            logger.warning("%s has sha256 %s, not %s: downloading it again", path, found, model.download.sha256)
        try:
            _download(model.download, path)
        except ModelError as error:
            other = f"; the existing file there has another sha256, {found}" if found else ""
            raise ModelError(
                f"{name}: {error}. By hand: save {model.download.url} as {path.name} in {path.parent} "
                f"({CACHE_VARIABLE} chooses another folder){other}"
            ) from error
        return path


def cache_folder() -> Path:
    """Returns the folder for downloaded models; it need not exist.

    Where the user has no home, as in a container that runs under any uid, it is one of that uid among the temporary
    files.

    Raises:
        ModelError: `CACHE_VARIABLE` begins with `~`, and the user has no home.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        try:
            return Path(chosen).expanduser().absolute()
        except RuntimeError as error:
            raise ModelError(f"{CACHE_VARIABLE}: expected a folder, got {chosen!r}: {error}") from error
    import pooch  # imported late: takes 0.1 s and is not needed for the embedded model

    try:
        folder = Path(pooch.os_cache("gtcrn_frontend"))
        if folder.is_absolute():  # else it begins with a `~` that stands for nothing
            return folder
    except RuntimeError:
        pass
    return Path(tempfile.gettempdir()) / f"gtcrn_frontend-{os.getuid() if hasattr(os, 'getuid') else 'user'}"


def _registered(name: str, entry: dict[str, Any]) -> RegisteredModel:
    """Parses one entry; TypeError for a missing, unknown or mistyped key, ValueError for a wrong value."""
    values = dict(entry)
    download = values.pop("download", None)
    try:
        model = RegisteredModel(name, **values, download=None if download is None else Download(**download))
    except TypeError as error:  # Python's message names the key
        raise TypeError(f"{name}: {error}") from error
    texts: dict[str, Any] = {"network": model.network, "description": model.description}
    texts |= {"supply": model.supply} if model.supply else {"file": model.file, "licence": model.licence}
    if model.download is not None:
        texts |= {"url": model.download.url, "sha256": model.download.sha256}
    if not all(isinstance(text, str) and text for text in texts.values()):
        raise TypeError(f"{name}: expected texts, got {texts}")
    if Path(model.file).name != model.file:
        raise ValueError(f"{name}: expected file to be a plain name, got {model.file!r}")
    if model.download is not None and not _HEX_DIGEST.fullmatch(model.download.sha256):
        raise ValueError(f"{name}: expected a sha256 of 64 lower-case digits, got {model.download.sha256!r}")
    return model


def _sha256_at(path: Path) -> str | None:
    """Returns the hash of a file, None if there is none. Cached, as each `Enhancer` of a download needs it."""
    try:
        stat = path.stat()
        return _sha256(path, stat.st_mtime_ns, stat.st_size)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}; {CACHE_VARIABLE} chooses another folder") from error


@lru_cache(maxsize=32)
def _sha256(path: Path, _mtime_ns: int, _size_bytes: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(download: Download, target: Path) -> None:
    """Downloads and verifies `target`; leaves no file behind on failure.

    Like `pooch.retrieve`, which however reads whatever the server sends, always logs to stderr, creates files that
    other users of a shared cache cannot read, and on Windows copies over an existing file instead of replacing it.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(dir=target.parent, prefix=".download-")
    except OSError as error:
        raise ModelError(f"cannot write to the cache folder {target.parent}: {error.strerror}") from error
    from tqdm import tqdm

    from gtcrn_frontend.weights.http import save

    # disable=None: no bar where stderr is no terminal
    bar = tqdm(total=download.size_bytes, desc=target.name, unit="B", unit_scale=True, disable=None)
    with scratch as folder, bar:
        part = Path(folder) / target.name
        try:
            save(download.url, part, download.size_bytes, bar.update)
        except OSError as error:  # the exceptions of requests are OSErrors, too
            raise ModelError(f"the download failed: {_root_cause(error)}") from error
        found = _sha256_at(part)
        if found != download.sha256:
            raise ModelError(
                f"expected a file of sha256 {download.sha256} ({download.size_bytes} bytes), got sha256 {found} "
                f"({part.stat().st_size} bytes) and discarded it; a proxy or a login page may have answered instead"
            )
        try:
            part.replace(target)
        except OSError as error:
            raise ModelError(f"cannot write {target}: {error.strerror}") from error


def _root_cause(error: BaseException) -> str:
    """Returns the innermost cause: the outer errors of requests describe its own objects."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return str(error) or type(error).__name__
