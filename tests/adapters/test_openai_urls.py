"""What `openai:URL[,option=value...]` may say; no server is asked."""

import pytest

from gtcrn_frontend.adapters.openai_api import endpoint, source
from gtcrn_frontend.errors import ConfigError

KEY = "sk-not-to-be-seen-1234567890"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h:8000", "http://h:8000/v1/audio/transcriptions"),
        ("https://h/", "https://h/v1/audio/transcriptions"),
        ("https://h/openai/v1/", "https://h/openai/v1/audio/transcriptions"),
        ("http://h/v1/audio/transcriptions", "http://h/v1/audio/transcriptions"),
        ("http://[::1]:80/v1", "http://[::1]:80/v1/audio/transcriptions"),
    ],
)
def test_a_url_is_completed(url: str, expected: str) -> None:
    assert endpoint(url) == expected


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://h", "file:///etc/passwd", "http://", "http://h:x", "http://h /v1"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"expected (a URL such as|NAME)"):
        source(url)


@pytest.mark.parametrize("url", [f"https://me:{KEY}@h/v1", f"https://{KEY}@h/v1", f"https://h/v1?key={KEY}"])
def test_a_secret_in_the_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match=r"without user, password and query.*OPENAI_API_KEY") as error:
        source(url)
    assert KEY not in str(error.value)


@pytest.mark.parametrize("option", ["timeout=0", "timeout=-1", "retries=11", "retries=x", "key=abc", "language="])
def test_an_option_out_of_range_is_refused(option: str) -> None:
    with pytest.raises(ConfigError, match="openai"):
        source(f"http://h,{option}")


def test_a_recogniser_is_named_by_what_decides_about_its_words() -> None:
    identity = source("http://h:1").identity
    assert source("http://h:1/v1/,timeout=5,retries=0").identity == identity
    others = ["http://h:2", "http://h:1,model=x", "http://h:1,language=en", "http://h:1,temperature=0"]
    assert len({identity, *(source(other).identity for other in others)}) == 1 + len(others)
    assert dict(source("http://h:1,temperature=0.2").settings) == {
        "url": "http://h:1/v1/audio/transcriptions",
        "model": "whisper-1",
        "language": "none",
        "temperature": "0.2",
        "prompt": "none",
        "timeout": "60",
        "retries": "4",
    }
