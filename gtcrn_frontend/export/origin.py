"""Provenance of exported weights, written into the file's metadata."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gtcrn_frontend.weights.model import Model, installed_registry


@dataclass(frozen=True)
class Origin:
    """Provenance of weights.

    Attributes:
        name: the registered name, or the file name without the folder.
        digest: `Model.digest`.
        url: of a registered download; else empty.
        licence: of the weights (SPDX); empty where it is not known.
    """

    name: str
    digest: str
    url: str = ""
    licence: str = ""

    @classmethod
    def of(cls, model: str | Path, loaded: Model) -> Origin:
        """Returns the origin of a loaded model that was requested as `model`."""
        registered = installed_registry().models.get(str(model))
        if registered is None:
            return cls(loaded.source.name, loaded.digest)
        url = registered.download.url if registered.download else ""
        return cls(registered.name, loaded.digest, url, registered.licence)

    def to_metadata(self) -> dict[str, str]:
        """Returns the known fields as text by key."""
        known = {"source": self.url or self.name, "licence": self.licence, "digest": self.digest}
        return {key: text for key, text in known.items() if text}
