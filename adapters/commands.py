"""Adapters for arbitrary recognisers: a Python function or a shell command."""

from __future__ import annotations

import importlib
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.evaluation.asr.recognizer import Transcript

F32 = npt.NDArray[np.float32]

PLACE = "{}"
"""Placeholder for the path of the WAV file in a command."""

_SHOWN = 300  # characters of stderr shown in errors


class FunctionRecognizer:
    """Calls a Python function `(samples, sample_rate) -> text` (or -> `Transcript`).

    >>> import sys, types
    >>> sys.modules["my_asr"] = module = types.ModuleType("my_asr")
    >>> module.recognise = lambda samples, sample_rate: f"{len(samples)} samples"
    >>> FunctionRecognizer("my_asr:recognise")(np.zeros(3, np.float32), 16000).text
    '3 samples'

    Args:
        name: `module:function`, or any other callable such as `module:object.method`.
        folder: folder to search for modules first; None: Python's search path only.

    Raises:
        ConfigError: the function does not exist.
    """

    def __init__(self, name: str, folder: str | None = None) -> None:
        if folder is not None and folder not in sys.path:
            sys.path.insert(0, folder)
        module, _, path = name.partition(":")
        try:
            found: Any = importlib.import_module(module)
            for attribute in path.split("."):
                found = getattr(found, attribute)
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"expected a function module:function, {name} cannot be imported: {error}") from error
        if not callable(found):
            raise ConfigError(f"expected a function (samples, sample_rate) -> text, {name} is a {type(found).__name__}")
        self._name = name
        self._function = found

    def __call__(self, samples: F32, sample_rate: int) -> Transcript:
        """Returns what the function returns for samples `(n,) float32` in [-1, 1] at `sample_rate` Hz."""
        result = self._function(samples, sample_rate)
        if isinstance(result, Transcript):
            return result
        if not isinstance(result, str):
            raise ModelError(f"expected text from {self._name}, got {type(result).__name__}")
        return Transcript(" ".join(result.split()))


class CommandRecognizer:
    """Runs a shell command on a WAV file (mono, 16-bit PCM); its stdout is the transcript.

    >>> CommandRecognizer("echo one two; test -f {}")(np.zeros(160, np.float32), 16000).text
    'one two'

    Args:
        command: shell command, with `{}` in place of the path.
        folder: working directory of the command; None is the current one.
        wave_folder: folder for the temporary WAV files; None: the system's. A killed process leaves its file there.

    Raises:
        ConfigError: the command does not contain `{}`.
    """

    def __init__(self, command: str, folder: str | None = None, wave_folder: str | None = None) -> None:
        if PLACE not in command:
            raise ConfigError(f"expected a command with {PLACE} in place of the WAV file, got {command!r}")
        self._command = command
        self._folder = folder
        self._wave_folder = wave_folder

    def __call__(self, samples: F32, sample_rate: int) -> Transcript:
        """Returns what the command prints for samples `(n,) float32` in [-1, 1] at `sample_rate` Hz.

        Raises:
            ModelError: the command exits with a code other than 0, or does not print UTF-8 text.
        """
        # Not NamedTemporaryFile: on Windows an open file cannot be opened again by the command.
        handle, path = tempfile.mkstemp(suffix=".wav", prefix="gtcrn-frontend-", dir=self._wave_folder)
        os.close(handle)
        try:
            soundfile.write(path, np.clip(samples, -1, 1), sample_rate, subtype="PCM_16")
            command = self._command.replace(PLACE, shlex.quote(path))
            done = subprocess.run(  # the user's own command, given on the command line
                command, shell=True, cwd=self._folder, capture_output=True, stdin=subprocess.DEVNULL, check=False
            )
        finally:
            Path(path).unlink(missing_ok=True)
        if done.returncode != 0:
            said = " ".join(done.stderr.decode(errors="replace").split())[-_SHOWN:]
            raise ModelError(f"the command ended with exit code {done.returncode}: {said or 'nothing on stderr'}")
        try:
            return Transcript(" ".join(done.stdout.decode().split()))
        except UnicodeDecodeError as error:
            raise ModelError(f"expected text in UTF-8 on stdout of the command: {error}") from error
