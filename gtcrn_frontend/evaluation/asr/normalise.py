"""Normalisation of transcripts, so that spelling and punctuation do not count as recognition errors."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from gtcrn_frontend.errors import ConfigError, ModelError
from gtcrn_frontend.install_hint import install_hint

LOWER, PUNCTUATION, UNICODE, ENGLISH = "lower", "punctuation", "unicode", "english"
STEPS = {
    UNICODE: "Unicode compatibility forms are unified (NFKC)",
    ENGLISH: "Whisper's English normaliser: numbers as digits, contractions expanded, American spelling, fillers and "
    "text in brackets removed",
    LOWER: "converted to lower case",
    PUNCTUATION: "punctuation removed, except apostrophes within words and separators within numbers",
}
"""Steps by name, in the order in which they are applied."""
DEFAULT_STEPS = (UNICODE, LOWER, PUNCTUATION)
"""Numbers are not converted: `7` differs from `seven`."""

_APOSTROPHES = {"\u2019": "'", "\u02bc": "'", "`": "'"}


@dataclass(frozen=True)
class Normalisation:
    """Steps applied to reference and hypothesis alike; white space never counts.

    Attributes:
        steps: names out of `STEPS`; applied in the order of `STEPS`.

    Raises:
        ConfigError: a step is unknown.
        ModelError: the package for the step `english` is not installed.
    """

    steps: tuple[str, ...] = DEFAULT_STEPS

    def __post_init__(self) -> None:
        for step in self.steps:
            if step not in STEPS:
                raise ConfigError(f"normalise: expected steps out of {', '.join(STEPS)}, or none, got {step!r}")
        if ENGLISH in self.steps:
            _english()

    @classmethod
    def from_text(cls, text: str) -> Normalisation:
        """Returns the steps of a comma-separated list; `none` stands for no step."""
        names = [name.strip() for name in text.split(",") if name.strip()]
        return cls(() if names == ["none"] else tuple(names))

    def __call__(self, text: str) -> str:
        """Returns the normalised text, with single spaces between words."""
        if UNICODE in self.steps:
            text = unicodedata.normalize("NFKC", text)
        if ENGLISH in self.steps:
            text = _english()(text)
        if LOWER in self.steps:
            text = text.lower()
        if PUNCTUATION in self.steps:
            text = _without_punctuation(text)
        return " ".join(text.split())

    def describe(self) -> Sequence[str]:
        """Returns one phrase per step."""
        done = [STEPS[step] for step in STEPS if step in self.steps]
        numbers = [] if ENGLISH in self.steps else ["numbers as written"]
        return [*done, "white space collapsed", *numbers]


@cache
def _english() -> Callable[[str], str]:
    """Whisper's own normaliser, used for its published word error rates (Radford et al., 2022, appendix C)."""
    try:
        from whisper_normalizer.english import EnglishTextNormalizer
    except ImportError as error:
        raise ModelError(f"the step {ENGLISH} needs {error.name}: {install_hint('whisper')}") from error
    normalizer: Callable[[str], str] = EnglishTextNormalizer()
    return normalizer


def _without_punctuation(text: str) -> str:
    for mark, apostrophe in _APOSTROPHES.items():
        text = text.replace(mark, apostrophe)
    kept = []
    for i, character in enumerate(text):
        before, after = text[i - 1 : i], text[i + 1 : i + 2]
        within_word = character == "'" and before.isalpha() and after.isalpha()
        within_number = character in ".,:" and before.isdigit() and after.isdigit()
        is_mark = unicodedata.category(character)[0] == "P"
        kept.append(character if not is_mark or within_word or within_number else " ")
    return "".join(kept)
