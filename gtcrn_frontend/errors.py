"""Exception hierarchy. All errors that this package raises derive from `GtcrnFrontendError`.

GtcrnFrontendError
├── AudioFormatError (ValueError)    samples of a wrong shape, type, range or rate
├── ModelError (RuntimeError)        weights or graphs that are missing, damaged or cannot run here
├── ConfigError (ValueError)         a setting that does not exist or does not fit
├── StateError (ValueError)          a saved stream state that is damaged or belongs elsewhere
└── StreamBusyError (RuntimeError)   a second call of one stream while the first still runs

Messages state what was expected, what was received, and what to do. Invalid input leaves a stream unchanged, so callers
can catch the error and continue.
"""

MAX_MESSAGE = 4000
"""Characters of a message: a small file must not become a huge line in a log."""


class GtcrnFrontendError(Exception):
    """Base class of all errors of this package; messages are cut to `MAX_MESSAGE` characters."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(_shortened(arg) if isinstance(arg, str) else arg for arg in args))


class AudioFormatError(GtcrnFrontendError, ValueError):
    """Audio that cannot be processed: wrong shape, type, range or sample rate."""


class ModelError(GtcrnFrontendError, RuntimeError):
    """A model that is missing, damaged, unknown or not runnable with this engine."""


class ConfigError(GtcrnFrontendError, ValueError):
    """A configuration value or combination that is not valid."""


class StateError(GtcrnFrontendError, ValueError):
    """A stream state that is damaged, of another version or of another model."""


class StreamBusyError(GtcrnFrontendError, RuntimeError):
    """A call on a stream that another thread (or the same one, under a signal handler) is using."""

    def __init__(self, message: str = "") -> None:
        super().__init__(
            message
            or "expected one call of a stream at a time, got a second one before the first has ended; nothing has "
            "changed: wait for the first, or use one Enhancer per thread, or a StreamPool"
        )


def _shortened(text: str) -> str:
    if len(text) <= MAX_MESSAGE:
        return text
    half = MAX_MESSAGE // 2 - 50
    return f"{text[:half]} ... ({len(text) - 2 * half} characters left out) ... {text[-half:]}"
