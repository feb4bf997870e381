"""Who may use the proxy: the token of clients, and the file descriptors of the process."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from websockets.http11 import Request

from gtcrn_frontend.errors import ConfigError

MAX_FAREWELLS = 32
"""So many clients at a time are told that they are one too many; further ones are dropped at once."""

_RESERVED_DESCRIPTORS = 64  # standard streams, listeners, event loop, libraries, checks of the upstream


def read_token(path: Path) -> str:
    """Returns the token in the first line of a file; raises `ConfigError` if there is none."""
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"token_file: cannot read {path}: {error}") from error
    if not token or len(token.split()) != 1 or not token.isascii():
        raise ConfigError(
            f"token_file: expected one line of ASCII without spaces in {path}, got {len(token)} characters"
        )
    return token


def has_token(request: Request, token: str) -> bool:
    """Returns whether a request has the token: `Authorization: Bearer TOKEN`, or `?token=TOKEN`, as browsers do."""
    return is_token(token, request.headers.get_all("Authorization"), request.path)


def is_token(token: str, authorizations: Iterable[str], path: str) -> bool:
    """Returns whether the headers `Authorization` or the query of a request have the token."""
    given = [value.removeprefix("Bearer ") for value in authorizations]
    given += parse_qs(urlsplit(path).query).get("token", [])
    return any(hmac.compare_digest(value.encode(errors="surrogatepass"), token.encode()) for value in given)


def descriptors_needed(max_connections: int, max_handshakes: int) -> int:
    """Returns how many file descriptors a proxy needs: two for each connection, one for each other client."""
    return 2 * max_connections + max_handshakes + MAX_FAREWELLS + _RESERVED_DESCRIPTORS


def check_descriptors(needed: int, *, raise_limit: bool = False) -> None:
    """Raises `ConfigError` if the process may open fewer file descriptors; does nothing on Windows.

    Args:
        needed: see `descriptors_needed`.
        raise_limit: raise the soft limit of the process first, as far as needed and allowed.
    """
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _allows(soft, needed):
        return
    if raise_limit and _allows(hard, needed):
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
        return
    raise ConfigError(
        f"max_connections: expected {needed} file descriptors for so many connections, got a limit of {soft}: "
        f"raise it (ulimit -n {needed}), or lower max_connections or max_handshakes"
    )


def _allows(limit: int, needed: int) -> bool:
    return limit < 0 or limit >= needed  # RLIM_INFINITY is -1 on Linux
