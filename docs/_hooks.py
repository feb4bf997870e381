"""Makes the pages, which are readable as plain files, into a site: links out of `docs/` lead to the repository.

`[pipeline.yaml](../examples/pipeline.yaml)` works where the files lie beside each other; on the site it becomes a link
to the file in the repository, or to a copy if it is audio. A link to a file that does not exist ends a strict build.
"""

from __future__ import annotations

import importlib.util
import logging
import posixpath
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
AUDIO = ("examples/noisy.flac", "examples/enhanced.flac")
LINK = re.compile(r"(?<=\]\()(\.\./[^)#\s]*)(#[^)\s]*)?(?=\))")

_log = logging.getLogger("mkdocs.hooks.docs")


def on_files(files: Files, config: Any) -> Files:
    """Adds the audio examples to the site."""
    for path in AUDIO:
        files.append(File.generated(config, f"audio/{Path(path).name}", abs_src_path=str(ROOT / path)))
    engine = _browser_engine()
    if engine:
        files.append(File.generated(config, "browser/gtcrn.js", content=engine))
    return files


def _browser_engine() -> bytes | None:
    """Builds what the page "In the browser" runs; without a compiler for it, that page says so."""
    if importlib.util.find_spec("ziglang") is None:
        _log.info("browser.md: without the package ziglang, the page comes without the engine")
        return None
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, str(ROOT / "adapters/web/build.py"), "--output", folder], check=True)
        return Path(folder, "gtcrn.js").read_bytes()


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """Rewrites the links of a page that lead out of `docs/`."""
    folder = posixpath.join("docs", posixpath.dirname(page.file.src_uri))

    def rewritten(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[1]))
        if target.startswith("docs/"):
            return link[0]
        if not (ROOT / target).exists():
            _log.warning("%s: links to %s, which does not exist", page.file.src_uri, target)
        if target in AUDIO:
            up = "../" * page.file.src_uri.count("/")
            return f"{up}audio/{posixpath.basename(target)}"
        return f"{config.repo_url.rstrip('/')}/blob/main/{target}{link[2] or ''}"

    return LINK.sub(rewritten, markdown)
