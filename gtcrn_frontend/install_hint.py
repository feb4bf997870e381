"""`install_hint`: the command that installs an extra, for messages about packages that are missing."""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

DISTRIBUTION = "gtcrn-frontend"
_IN_A_CHECKOUT = ("in a checkout of gtcrn_frontend: pip install '.[", "]'")


def install_hint(*extras: str) -> str:
    """Returns the `pip install` command for extras, from where this package came: a folder, a repository or an index.

    >>> install_hint("evaluate")  # doctest: +SKIP
    "pip install '/home/me/gtcrn_frontend[evaluate]'"
    """
    before, after = _command()
    return f"{before}{','.join(extras)}{after}"


@cache
def _command() -> tuple[str, str]:
    """The command before and after the names of the extras."""
    try:
        recorded = distribution(DISTRIBUTION).read_text("direct_url.json")
    except PackageNotFoundError:  # sources that were not installed
        return _IN_A_CHECKOUT
    return _command_from(json.loads(recorded)) if recorded else (f"pip install '{DISTRIBUTION}[", "]'")


def _command_from(origin: dict[str, Any]) -> tuple[str, str]:
    """The same from what pip records of an installation that did not come from an index (PEP 610)."""
    url = origin["url"]
    if "vcs_info" in origin:
        return f"pip install '{DISTRIBUTION}[", f"] @ {origin['vcs_info']['vcs']}+{url}'"
    if not url.startswith("file:"):
        return f"pip install '{DISTRIBUTION}[", f"] @ {url}'"
    path = url2pathname(urlsplit(url).path)
    if not Path(path).exists():
        return _IN_A_CHECKOUT
    is_editable = origin.get("dir_info", {}).get("editable", False)
    return f"pip install {'-e ' if is_editable else ''}'{path}[", "]'"
