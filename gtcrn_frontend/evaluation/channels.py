"""Channels between speaker and recogniser, as part of a condition: microphone, telephone or room."""

from __future__ import annotations

from collections.abc import Sequence

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.manifest import CLEAN

MICROPHONE, TELEPHONE, ROOM = "microphone", "telephone", "room"
CHANNELS = {
    MICROPHONE: "the recordings as they are",
    TELEPHONE: "8 kHz and G.711 (mu-law); the front-end and the recogniser get 8 kHz",
    ROOM: "the speech convolved with an impulse response, before the noise is added",
}
"""Channels by name."""
DEFAULT_CHANNELS = (MICROPHONE,)


def parse_channels(text: str) -> tuple[str, ...]:
    """Returns the channels of a comma-separated list such as `microphone,telephone`, each once.

    Raises:
        ConfigError: there is none, or a name is unknown.
    """
    return checked_channels([name.strip() for name in text.split(",") if name.strip()])


def checked_channels(names: Sequence[str]) -> tuple[str, ...]:
    """Returns channels, each once.

    Raises:
        ConfigError: there is none, or a name is unknown.
    """
    if not names or not set(names) <= CHANNELS.keys():
        raise ConfigError(f"expected channels out of {', '.join(CHANNELS)}; got {', '.join(names) or 'none'}")
    return tuple(dict.fromkeys(names))


def through(channel: str, condition: str) -> str:
    """Returns the name of a condition behind a channel: `5 dB`, `telephone 5 dB`."""
    return condition if channel == MICROPHONE else f"{channel} {condition}"


WITHOUT_NOISE = frozenset(through(channel, CLEAN) for channel in CHANNELS)
"""Names of the conditions in which a front-end must not add errors."""
