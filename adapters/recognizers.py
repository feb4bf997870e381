"""`recognizer_source`: a recogniser by its short name, pipeline file, SpeechBrain model, Python function or command."""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import os
import re
import shlex
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gtcrn_frontend.adapters.fingerprint import files_around, fingerprint
from gtcrn_frontend.adapters.recognizer_names import digest as _digest
from gtcrn_frontend.adapters.recognizer_names import installed_version as _version
from gtcrn_frontend.adapters.recognizer_names import named_source
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.asr.recognizer_source import RecognizerSource
from gtcrn_frontend.evaluation.audio_files import file_digest

if TYPE_CHECKING:
    from gtcrn_frontend.audio.levels import Samples
    from gtcrn_frontend.evaluation.asr.recognizer import Recognizer, Transcript

EXPECTED = (
    "a pipeline file of sherpa-onnx (.yaml), the folder or hyperparameter file of a SpeechBrain model, "
    "faster-whisper:NAME_OR_FOLDER, openai:URL, module:function, or a shell command with {} for the wave file"
)
PLACE = "{}"
SPEECHBRAIN_FILE = "hyperparams.yaml"
YAML_SUFFIXES = (".yaml", ".yml")

_log = logging.getLogger(__name__)

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_SPEECHBRAIN_TAG = re.compile(r"!(?:new|name|apply|ref):?")


def recognizer_source(text: str, apart: Iterable[Path] = ()) -> RecognizerSource:
    """Returns the source of a recogniser for `gtcrn_frontend.evaluation`; worker processes load it later.

    Args:
        text: pipeline file of sherpa-onnx, folder or hyperparameter file of a SpeechBrain model,
            `faster-whisper:NAME_OR_FOLDER`, `openai:URL`, `module:function`, or a shell command with `{}` for the wave
            file.
        apart: files and folders that do not belong to the recogniser wherever they lie, such as outputs: changes in
            them do not invalidate cached results.

    Raises:
        ConfigError: the text is none of these, or what it names does not exist.
        ModelError: a package that a short name needs is not installed.
    """
    if named := named_source(text):
        return named
    others = {path.resolve() for path in apart}
    if PLACE in text:
        return _command(text, others)
    path = Path(text)
    if path.is_dir():
        return _speechbrain(path, others)
    if path.suffix in YAML_SUFFIXES:
        if not path.is_file():
            raise ConfigError(f"{path}: expected a pipeline or hyperparameter file, found nothing there")
        content = path.read_text(encoding="utf-8")
        return _speechbrain(path, others) if _SPEECHBRAIN_TAG.search(content) else _pipeline(path)
    if _FUNCTION.fullmatch(text):
        return _function(text, others)
    raise ConfigError(f"--recognizer: expected {EXPECTED}; got {text!r}")


def _pipeline(path: Path) -> RecognizerSource:
    from gtcrn_frontend.adapters.sherpa.config import PipelineConfig

    config = PipelineConfig.from_yaml(path)  # errors come here, and not in other processes
    if config.has_endpoints:
        reason = "each recording is one utterance, and an endpoint can cost a word"
        _log.warning("%s: endpoint: is not used here: %s", path, reason)
        config = config.without_endpoints()
    vad = _named(config.vad.settings) if config.vad else None
    identity = _digest(config.factory, _named(config.arguments), vad, config.hotwords, _version("sherpa-onnx"))
    return RecognizerSource(path.name, identity, partial(_load_pipeline, str(path.resolve())))


def _speechbrain(path: Path, apart: Collection[Path]) -> RecognizerSource:
    file = path / SPEECHBRAIN_FILE if path.is_dir() else path
    if not file.is_file():
        raise ConfigError(f"{path}: {_expected_in(path)}")
    files = [other for other, _ in files_around([file.parent], apart)]
    identity = _digest("speechbrain", file.name, _version("speechbrain"), *_contents([file, *files]))
    return RecognizerSource(path.name, identity, partial(_load_speechbrain, str(file.resolve())))


def _expected_in(folder: Path) -> str:
    """What a folder that is not a SpeechBrain model may have been meant for."""
    pipelines = sorted(file.name for file in folder.iterdir() if file.suffix in YAML_SUFFIXES)
    if pipelines:
        return f"expected a pipeline file, got its folder: give {folder / pipelines[0]}"
    if any(folder.glob("*.onnx")):
        return (
            "expected a pipeline file of sherpa-onnx (.yaml), got the folder of a model: write one that names a "
            "factory and these files, as examples/pipeline.yaml does"
        )
    return f"expected a SpeechBrain model with a {SPEECHBRAIN_FILE}, found none in that folder"


def _function(name: str, apart: Collection[Path]) -> RecognizerSource:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module = name.partition(":")[0]
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"--recognizer: module {module} cannot be imported: {error}") from error
    if found is None:
        raise ConfigError(f"--recognizer: expected the Python module {module}, found none in {folder} or installed")
    files = [Path(found.origin)] if found.origin and Path(found.origin).is_file() else []
    return RecognizerSource(name, _foreign_identity(name, files, apart), partial(_load_function, name, folder))


def _command(command: str, apart: Collection[Path]) -> RecognizerSource:
    identity = _foreign_identity(command, _paths_in(command), apart)
    return RecognizerSource(command, identity, partial(_load_command, command, str(Path.cwd())))


def _foreign_identity(name: str, paths: Sequence[Path], apart: Collection[Path]) -> str:
    """Identity of code of which only some paths are known: these, the files around them, and the working directory."""
    here = Path.cwd().resolve()
    files = [path.resolve() for path in paths if _is_file(path)]
    folders = {path.parent for path in files} | {path.resolve() for path in paths if _is_folder(path)}
    libraries = (path for name, path in sysconfig.get_paths().items() if name.endswith("lib"))
    shared = {
        Path(folder).resolve() for folder in (*os.get_exec_path(), *libraries, tempfile.gettempdir(), here.anchor)
    }
    around = fingerprint((folders - shared) | {here}, apart)
    return _digest(name, here, *files, *_contents(files), *around)


def _load_pipeline(path: str, temporary: str) -> Recognizer:
    from gtcrn_frontend.adapters.sherpa.config import PipelineConfig
    from gtcrn_frontend.adapters.sherpa.pipeline import Pipeline
    from gtcrn_frontend.evaluation.asr.recognizer import Transcript

    # Front-ends are what is compared, so that the one in the file is not used. No trial: if sherpa-onnx ends the
    # process, it is this worker process, and that is reported.
    config = dataclasses.replace(PipelineConfig.from_yaml(path).without_endpoints(), frontend=None)
    pipeline = Pipeline.from_config(config, trial=False)

    def recognise(samples: Samples, sample_rate: int) -> Transcript:
        return Transcript(pipeline.transcribe(samples, sample_rate).text)

    return recognise


def _load_speechbrain(path: str, temporary: str) -> Recognizer:
    from gtcrn_frontend.adapters.speechbrain.transcriber import load_recognizer

    return load_recognizer(path)


def _load_function(name: str, folder: str, temporary: str) -> Recognizer:
    from gtcrn_frontend.adapters.commands import FunctionRecognizer

    return FunctionRecognizer(name, folder)


def _load_command(command: str, folder: str, temporary: str) -> Recognizer:
    from gtcrn_frontend.adapters.commands import CommandRecognizer

    return CommandRecognizer(command, folder, temporary)


def _named(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Settings by name; digests in place of files, as a model that was moved is the same one."""
    return sorted((name, next(iter(_contents([Path(str(value))])), str(value))) for name, value in settings.items())


def _paths_in(command: str) -> list[Path]:
    """Words of a command that may be files, programs included."""
    try:
        words = [word for word in shlex.split(command) if word != PLACE]
    except ValueError:  # unbalanced quotes: the shell will report them
        return []
    inner = [part for word in words if " " in word for part in word.split()]  # sh -c 'asr.sh {}'
    values = [word.partition("=")[2] for word in words if "=" in word]  # --model=x.onnx
    return [Path(shutil.which(word) or word) for word in (*words, *inner, *values) if word]


def _contents(paths: Iterable[Path]) -> list[str]:
    """Digests of those paths that are files."""
    return [file_digest(path.resolve()) for path in paths if _is_file(path)]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a word too long for a name, or with a zero in it
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
