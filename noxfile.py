"""What CI checks, as sessions: `nox`, or `nox --no-venv -s lint types docs` in an environment that has the tools.

See CONTRIBUTING.md.
"""

from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
CONSTRAINTS = ("-c", "constraints.txt")

nox.options.sessions = ["lint", "types", "docs", "tests", "native"]
nox.options.reuse_existing_virtualenvs = True
nox.needs_version = ">=2024.4"


def install(session: nox.Session, *requirements: str) -> None:
    """Installs into the session's environment, if it has one of its own."""
    if session.venv_backend != "none":
        session.install(*CONSTRAINTS, *requirements)


@nox.session
def lint(session: nox.Session) -> None:
    """Style."""
    install(session, "ruff")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Types of the installed package, adapters included."""
    install(session, ".[test]")
    session.chdir(session.create_tmp())  # away from the source tree
    session.run("mypy", "--config-file", str(ROOT / "pyproject.toml"), "--strict", "-p", "gtcrn_frontend")


@nox.session
def docs(session: nox.Session) -> None:
    """The site, in `site/` (`-- --site-dir FOLDER`); a broken link is an error."""
    install(session, ".[docs,sherpa,proxy,speechbrain,lhotse]")
    session.run("mkdocs", "build", "--strict", *session.posargs, env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def tests(session: nox.Session) -> None:
    """The tests; arguments go behind `--`."""
    install(session, ".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """The tests with a coverage report."""
    install(session, ".[test]", "pytest-cov")
    session.run("pytest", "--cov=gtcrn_frontend", "--cov-report=term", "--cov-report=html", *session.posargs)


@nox.session
def native(session: nox.Session) -> None:
    """The C library under sanitizers."""
    install(session, ".[test]")
    session.run(".ci/native", external=True)
