"""Loads models in a child process first, for models that cannot be checked and might end the process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from gtcrn_frontend.errors import ModelError

_FACTORY = """
import sherpa_onnx
kind, method = given["factory"].split(".")
getattr(getattr(sherpa_onnx, kind), method)(**given["arguments"])
"""


def try_factory(name: str, arguments: Mapping[str, Any]) -> None:
    """Raises `ModelError` if a factory fails or ends the process; takes as long as loading the models.

    Args:
        name: of the factory, such as `OnlineRecognizer.from_transducer`.
        arguments: by name: numbers, flags and strings.
    """
    try_in_child(_FACTORY, {"factory": name, "arguments": dict(arguments)}, name)


def try_in_child(code: str, given: Mapping[str, Any], name: str) -> None:
    """Raises `ModelError` if a program fails or ends itself.

    Args:
        code: source of the program.
        given: variable `given` of the program: any JSON value.
        name: name of the object under test, for the message.
    """
    program = f"import json, sys\ngiven = json.load(sys.stdin)\n{code}"
    command = [sys.executable, "-c", program]
    tried = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False)
    if tried.returncode:
        said = [line.strip() for line in tried.stderr.splitlines() if line.strip()]
        raise ModelError(
            f"{name} fails with these models (exit code {tried.returncode}): {said[-1] if said else 'no reason given'}"
        )
