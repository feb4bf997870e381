"""The entry in the local network: another host on the loopback interface sees it come and go."""

import asyncio
import contextlib
import functools
import signal
import subprocess
import sys

import pytest
import zeroconf
import zeroconf.asyncio
from zeroconf import ServiceStateChange
from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

from gtcrn_frontend.adapters.wyoming import WyomingProxy, WyomingSettings
from gtcrn_frontend.adapters.wyoming.announcement import SERVICE_TYPE, Announcement
from gtcrn_frontend.errors import ConfigError

PATIENCE_S = 60
SETTINGS = {"upstream": "tcp://127.0.0.1:9", "port": 0}


def run(test):
    return asyncio.run(asyncio.wait_for(test, PATIENCE_S))


@contextlib.asynccontextmanager
async def neighbour():
    """What another host sees: a coroutine that waits for a change of a name, and the entries."""
    seen, changed = [], asyncio.Condition()

    def note(zeroconf, service_type, name, state_change):
        seen.append((name.removesuffix(f".{SERVICE_TYPE}"), state_change))
        tasks.append(asyncio.create_task(tell()))

    async def tell():
        async with changed:
            changed.notify_all()

    async def change(name, kind):
        async with changed:
            await changed.wait_for(lambda: (name, kind) in seen)

    tasks, host = [], AsyncZeroconf(interfaces=["127.0.0.1"])
    browser = AsyncServiceBrowser(host.zeroconf, SERVICE_TYPE, handlers=[note])
    try:
        yield change, host
    finally:
        await browser.async_cancel()
        await host.async_close()


@pytest.fixture
def on_loopback(monkeypatch):
    monkeypatch.setattr(zeroconf.asyncio, "AsyncZeroconf", functools.partial(AsyncZeroconf, interfaces=["127.0.0.1"]))


def test_the_entry_lasts_as_long_as_the_proxy(on_loopback):
    async def test():
        async with neighbour() as (change, host):
            async with WyomingProxy(WyomingSettings(**SETTINGS, zeroconf="kitchen")) as proxy:
                await change("kitchen", ServiceStateChange.Added)
                entry = await host.async_get_service_info(SERVICE_TYPE, f"kitchen.{SERVICE_TYPE}")
                assert entry.parsed_addresses() == ["127.0.0.1"]
                assert proxy.address == f"tcp://127.0.0.1:{entry.port}"
            await change("kitchen", ServiceStateChange.Removed)

    run(test())


def test_an_error_withdraws_the_entry(on_loopback):
    async def test():
        async with neighbour() as (change, _):
            with pytest.raises(RuntimeError, match="of the program"):
                async with WyomingProxy(WyomingSettings(**SETTINGS, zeroconf="hall")):
                    await change("hall", ServiceStateChange.Added)
                    raise RuntimeError("of the program")
            await change("hall", ServiceStateChange.Removed)

    run(test())


@pytest.mark.parametrize("when", ["announcing", "running"])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_withdraws_the_entry(name, when):
    """With the interfaces of the program's choice, the loopback interface among them."""
    command = [sys.executable, "-P", "-m", "gtcrn_frontend.cli.main", "wyoming", "--zeroconf", f"{name} {when}"]
    command += ["--uri", "tcp://127.0.0.1:0", "--upstream", "tcp://127.0.0.1:9"]

    async def test():
        async with neighbour() as (change, _):
            with subprocess.Popen(command, stdout=subprocess.PIPE) as program:
                try:
                    await change(f"{name} {when}", ServiceStateChange.Added)
                    if when == "running":
                        await asyncio.to_thread(program.stdout.readline)
                    program.send_signal(signal.Signals[name])
                    await change(f"{name} {when}", ServiceStateChange.Removed)
                    return await asyncio.to_thread(program.wait)
                finally:
                    program.kill()

    assert run(test()) == 0


@pytest.mark.parametrize("name", ["x\0", "x" * 64])
def test_what_is_no_name_is_an_error_and_leaves_nothing_open(on_loopback, name, monkeypatch):
    closed, close = [], AsyncZeroconf.async_close

    async def counting_close(self):
        await close(self)
        closed.append(self)

    async def test():
        monkeypatch.setattr(AsyncZeroconf, "async_close", counting_close)
        with pytest.raises(ConfigError, match="zeroconf: expected a name that is free in the network, got 'x"):
            async with WyomingProxy(WyomingSettings(**SETTINGS, zeroconf=name)):
                pass

    run(test())
    assert len(closed) == 1


def test_a_network_that_is_gone_does_not_stop_the_shutdown(on_loopback, monkeypatch, caplog):
    async def fail(self):
        raise OSError(101, "Network is unreachable")

    async def test():
        announcement = await Announcement.announce("attic", "127.0.0.1", 10_300)
        with monkeypatch.context() as patched:
            patched.setattr(AsyncZeroconf, "async_close", fail)
            await announcement.withdraw()
        await announcement.withdraw()

    run(test())
    assert "cannot withdraw the zeroconf entry" in caplog.text
