"""Settings of the proxy: what is let through, what is refused, and what logs may show."""

import dataclasses

import pytest

from gtcrn_frontend.adapters.servers import ProxySettings
from gtcrn_frontend.adapters.servers.protocols import PROTOCOLS
from gtcrn_frontend.adapters.servers.protocols.sherpa_onnx import OfflineFraming, OnlineFraming
from gtcrn_frontend.cli import proxy
from gtcrn_frontend.cli._relay_args import split_address
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.errors import ConfigError

UPSTREAM = "ws://127.0.0.1:6006"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("127.0.0.1:6005", ("127.0.0.1", 6005)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:6005", ("::1", 6005)),
        ("0.0.0.0:65535", ("0.0.0.0", 65_535)),
    ],
)
def test_addresses(text, expected):
    assert split_address(text) == expected


@pytest.mark.parametrize(
    "text", ["", "6005", ":6005", "localhost", "localhost:", "a:65536", "a:-1", "::1:6005", "a:1/b"]
)
def test_other_addresses_are_refused(text):
    with pytest.raises(ConfigError, match="expected HOST:PORT"):
        split_address(text)


@pytest.mark.parametrize("upstream", ["", "127.0.0.1:6006", "http://127.0.0.1", "ws://", "ws://a:99999"])
def test_other_upstreams_are_refused(upstream):
    with pytest.raises(ConfigError, match="upstream: expected an address"):
        ProxySettings(upstream=upstream)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"upstream": None}, "upstream: expected a string, got None"),
        ({"port": 65_536}, "port: expected a whole number from 0 to 65535, got 65536"),
        ({"max_connections": 0}, "max_connections: expected a whole number of at least 1, got 0"),
        ({"idle_seconds": 0}, "idle_seconds: expected a number above 0 s, got 0"),
        ({"drain_seconds": -1}, "drain_seconds: expected a number of at least 0 s, got -1"),
        ({"tls_key": "key.pem"}, "tls_key: expected tls_cert beside it"),
    ],
)
def test_wrong_settings_are_explained(settings, message):
    with pytest.raises(ConfigError, match=message):
        ProxySettings(**{"upstream": UPSTREAM} | settings)


@pytest.mark.parametrize(
    "upstream, shown",
    [
        ("ws://127.0.0.1:6006", "ws://127.0.0.1:6006"),
        ("wss://name:secret@example.org/asr?token=secret", "wss://example.org:443"),
        ("ws://[::1]:6006/", "ws://[::1]:6006"),
    ],
)
def test_secrets_of_the_upstream_are_not_shown(upstream, shown):
    assert ProxySettings(upstream=upstream).upstream_shown == shown


def test_the_protocol_with_http_takes_and_shows_such_addresses():
    settings = ProxySettings(upstream="https://name:secret@example.org/api", protocol="openai")
    assert settings.upstream_shown == "https://example.org:443"
    assert settings.websocket_upstream == "wss://name:secret@example.org/api"
    with pytest.raises(ConfigError, match="upstream: expected an address"):
        ProxySettings(upstream="https://example.org", protocol="vosk")


def test_each_connection_gets_the_protocol_for_itself():
    for protocol, kind in (("online", OnlineFraming), ("offline", OfflineFraming)):
        settings = ProxySettings(upstream=UPSTREAM, protocol=protocol)
        first, second = settings.new_framing(), settings.new_framing()
        assert isinstance(first, kind)
        assert first is not second
    with pytest.raises(ConfigError, match=r"protocol: expected one of online, offline, .*, got 'both'"):
        ProxySettings(upstream=UPSTREAM, protocol="both")


def test_more_channels_are_refused():
    with pytest.raises(ConfigError, match="channels: expected 1"):
        ProxySettings(upstream=UPSTREAM, enhancer=EnhancerConfig(channels=2))


def test_the_command_has_the_same_defaults(monkeypatch):
    """They are written twice, because the command line must not need the libraries of the proxy to print its help."""
    import argparse

    import gtcrn_frontend.adapters.servers as package

    seen = []

    async def serve(settings, announce):
        seen.append(settings)

    monkeypatch.setattr(package, "serve", serve)
    parser = argparse.ArgumentParser()
    proxy.add_parser(parser.add_subparsers())
    args = parser.parse_args(["proxy", "--upstream", UPSTREAM])
    assert args.run(args) == 0
    assert tuple(PROTOCOLS) == proxy.PROTOCOLS
    assert [dataclasses.asdict(settings) for settings in seen] == [dataclasses.asdict(ProxySettings(upstream=UPSTREAM))]
