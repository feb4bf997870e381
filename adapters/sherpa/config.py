"""`PipelineConfig`: a pipeline file, validated before anything is passed to sherpa-onnx."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gtcrn_frontend.adapters.sherpa.factory_args import checked_arguments, factory
from gtcrn_frontend.adapters.sherpa.vad import DEFAULT_ROUTE
from gtcrn_frontend.adapters.sherpa.vad_config import VadConfig
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.parsing import read_yaml
from gtcrn_frontend.settings import check_names, settings_from_dict

SECTIONS = ("frontend", "recognizer", "vad", "endpoint", "hotwords")

_ENABLE = "enable_endpoint_detection"
_RULES = ("rule1_min_trailing_silence", "rule2_min_trailing_silence", "rule3_min_utterance_length")


@dataclass(frozen=True)
class PipelineConfig:
    """Settings of a sherpa-onnx recogniser with front-end, VAD, endpoint rules and hotwords.

    Attributes:
        factory: for example `OnlineRecognizer.from_transducer`.
        arguments: validated arguments of the factory with absolute paths, including endpoint rules and hotwords.
        frontend: settings of the enhancer; None: no front-end.
        vad: voice activity detector in front of an offline recogniser; None: none.
        hotwords: phrases for each stream, as `create_stream` takes them; empty for none.
    """

    factory: str
    arguments: Mapping[str, Any]
    frontend: EnhancerConfig | None = None
    vad: VadConfig | None = None
    hotwords: str = ""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], folder: str | Path = ".") -> PipelineConfig:
        """Returns a config from sections by name; relative paths are relative to `folder`.

        Raises:
            ConfigError: a key is unknown or a value invalid; the message names the key.
            ImportError: sherpa-onnx is not installed.
        """
        _check_section(values, "sections by name")
        check_names(values, SECTIONS, "sections of a pipeline")
        sections = {name: value for name, value in values.items() if value is not None and value is not False}
        folder = Path(folder)
        with _named("recognizer"):
            given = dict(_check_section(sections.get("recognizer"), "a factory and its arguments by name"))
            name = given.pop("factory", None)
            if not isinstance(name, str):
                raise ConfigError(
                    f"factory: expected the name of one, such as OnlineRecognizer.from_transducer, got {name!r}"
                )
            known = list(inspect.signature(factory(name)).parameters)
        with _named("endpoint"):
            given |= _endpoint(sections.get("endpoint"), known, given)
        with _named("hotwords"):
            from_section, hotwords = _hotwords(sections.get("hotwords"), known, given)
        with _named("recognizer"):
            arguments = checked_arguments(name, given | from_section, folder)
        with _named("vad"):
            vad = VadConfig.from_dict(sections["vad"], folder) if "vad" in sections else None
            if vad and name.startswith("Online"):
                raise ConfigError(f"expected an OfflineRecognizer behind it, got {name}: use endpoint: instead")
        with _named("frontend"):
            frontend = _frontend(sections["frontend"], folder) if "frontend" in sections else None
        if vad and vad.route != DEFAULT_ROUTE and not frontend:
            raise ConfigError(f"vad: route: expected a section frontend: for {vad.route}, got none")
        return cls(name, arguments, frontend, vad, hotwords)

    @classmethod
    def from_yaml(cls, path: str | Path) -> PipelineConfig:
        """Returns a config from a pipeline file; relative paths in it are relative to its folder.

        Raises:
            ConfigError: the file cannot be read, a key is unknown or a value invalid; the message names file and key.
            ImportError: sherpa-onnx is not installed.
        """
        values = read_yaml(Path(path), "a YAML file that describes a pipeline")
        try:
            return cls.from_dict(values, Path(path).parent)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error

    @property
    def has_endpoints(self) -> bool:
        """Whether the recogniser ends utterances by rules."""
        return bool(self.arguments.get(_ENABLE))

    def without_endpoints(self) -> PipelineConfig:
        """Returns the config of a recogniser that takes each signal as one utterance."""
        kept = {name: value for name, value in self.arguments.items() if name not in (_ENABLE, *_RULES)}
        return dataclasses.replace(self, arguments=kept)


@contextmanager
def _named(key: str) -> Iterator[None]:
    """Prefixes the message of a `ConfigError` with a key."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from error


def _check_section(values: Any, expected: str) -> Mapping[str, Any]:
    if not isinstance(values, Mapping):
        raise ConfigError(f"expected {expected}, got {values!r}")
    return values


def _frontend(values: Any, folder: Path) -> EnhancerConfig:
    """Settings from the section `frontend`: true, settings by name, or the path of a file of them."""
    if isinstance(values, str):
        try:
            path = folder / Path(values).expanduser()
        except RuntimeError as error:
            raise ConfigError(f"expected the path of a file of settings, got {values!r}: {error}") from error
        config = EnhancerConfig.from_yaml(path)
    else:
        expected = "true, settings by name, or the path of a file of them"
        section = {} if values is True else _check_section(values, expected)
        config = settings_from_dict(EnhancerConfig, section, folder=folder)
    wrong = [name for name in ("sample_rate", "channels", "downmix") if getattr(config, name) not in (None, 1, False)]
    if wrong:
        raise ConfigError(f"{wrong[0]}: expected none, as each stream has the rate of its audio: remove it")
    return config


def _endpoint(values: Any, known: list[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns factory arguments from the section `endpoint`: true, or rules by sherpa-onnx's names."""
    if values is None:
        return {}
    rules = {} if values is True else dict(_check_section(values, "true, or rules by name"))
    check_names(rules, _RULES, "rules")
    arguments = {_ENABLE: True, **rules}
    if _ENABLE not in known:
        raise ConfigError("expected an OnlineRecognizer, offline ones have no endpoints: use vad: instead")
    twice = sorted(set(arguments) & set(given))
    if twice:
        raise ConfigError(f"{twice[0]}: expected it once, got it under recognizer: as well")
    return arguments


def _hotwords(values: Any, known: list[str], given: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Returns factory arguments from the section `hotwords`, and the hotwords of each stream."""
    if values is None:
        return {}, ""
    section = _check_section(values, "file or phrases, and score")
    check_names(section, ("file", "phrases", "score"), "file or phrases, and score")
    if ("file" in section) == ("phrases" in section):
        raise ConfigError("expected file or phrases, got both" if "file" in section else "expected file or phrases")
    if "hotwords_file" not in known:
        raise ConfigError(
            "expected the factory of a transducer, others do not support hotwords: sherpa-onnx would end the process"
        )
    if given.get("decoding_method") != "modified_beam_search":
        raise ConfigError("expected decoding_method: modified_beam_search under recognizer:, hotwords need it")
    arguments = {"hotwords_score": section["score"]} if "score" in section else {}
    if "file" in section:
        arguments["hotwords_file"] = section["file"]
    twice = sorted(set(arguments) & set(given))
    if twice:
        raise ConfigError(f"{twice[0]}: expected it once, got it under recognizer: as well")
    phrases = section.get("phrases", [])
    if not isinstance(phrases, list) or not all(isinstance(p, str) and p.strip() and "/" not in p for p in phrases):
        raise ConfigError(f"phrases: expected a list of phrases without slashes, got {phrases!r}")
    return arguments, "/".join(phrases)
