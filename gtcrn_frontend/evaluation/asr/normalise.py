"""What is not counted as an error: how transcripts are written, made equal on both sides before they are compared."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from gtcrn_frontend.errors import ConfigError, ModelError

LOWER, PUNCTUATION, UNICODE, ENGLISH = "lower", "punctuation", "unicode", "english"
STEPS = {
    UNICODE: "characters that look alike are one (Unicode NFKC)",
    ENGLISH: "Whisper's normaliser for English: numbers become digits, contractions are written out, spelling is "
    "American, fillers and what stands in brackets are left out",
    LOWER: "upper case becomes lower case",
    PUNCTUATION: "punctuation becomes a space; apostrophes within words and signs within numbers stay",
}
"""Steps by name, in the order in which they are taken."""
DEFAULT_STEPS = (UNICODE, LOWER, PUNCTUATION)
"""Numbers stay as they are written: `7` is not `seven`."""

_APOSTROPHES = {"\u2019": "'", "\u02bc": "'", "`": "'"}


@dataclass(frozen=True)
class Normalisation:
    """Steps taken on what was said and on what was heard alike; white space never counts.

    Raises:
        ConfigError: there is no step of such a name.
        ModelError: the step `english` needs a package that is not installed.
    """

    steps: tuple[str, ...] = DEFAULT_STEPS

    def __post_init__(self) -> None:
        for step in self.steps:
            if step not in STEPS:
                raise ConfigError(f"expected steps of normalisation out of {', '.join(STEPS)}, or none, got {step!r}")
        if ENGLISH in self.steps:
            _english()

    @classmethod
    def from_text(cls, text: str) -> Normalisation:
        """Returns the steps of a comma-separated list; `none` is none of them."""
        names = [name.strip() for name in text.split(",") if name.strip()]
        return cls(() if names == ["none"] else tuple(names))

    def __call__(self, text: str) -> str:
        """Returns a transcript as it is compared: words with single spaces between them."""
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
        """Returns what it does, a sentence per step."""
        done = [STEPS[step] for step in STEPS if step in self.steps]
        numbers = [] if ENGLISH in self.steps else ["numbers stay as they are written"]
        return [*done, "white space is one space", *numbers]


@cache
def _english() -> Callable[[str], str]:
    """Whisper's own normaliser, by which its word error rates are published (Radford et al., 2022, appendix C)."""
    try:
        from whisper_normalizer.english import EnglishTextNormalizer
    except ImportError as error:
        raise ModelError(f"the step {ENGLISH} needs {error.name}: pip install 'gtcrn-frontend[whisper]'") from error
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
