"""The error tree: one root, and the built-in base that callers who do not know this package would catch."""

import pickle

import pytest

from gtcrn_frontend import errors

BASES = {
    errors.AudioFormatError: ValueError,
    errors.ModelError: RuntimeError,
    errors.ConfigError: ValueError,
    errors.StateError: ValueError,
    errors.StreamBusyError: RuntimeError,
}


@pytest.mark.parametrize("error", BASES)
def test_every_error_is_one_of_the_package_and_a_builtin_one(error):
    assert issubclass(error, errors.GtcrnFrontendError)
    assert issubclass(error, BASES[error])
    assert str(pickle.loads(pickle.dumps(error("expected this")))) == "expected this"


def test_no_other_error_is_defined():
    defined = {value for value in vars(errors).values() if isinstance(value, type)}
    assert defined == {*BASES, errors.GtcrnFrontendError}


def test_messages_are_short_whatever_is_in_them():
    text = str(errors.ConfigError("a" * 10_000_000))
    assert len(text) <= errors.MAX_MESSAGE
    assert "left out" in text
