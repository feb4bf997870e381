"""The command `audiosocket` as operators run it."""

import socket
import struct
import subprocess
import sys
import urllib.request

import pytest

from gtcrn_frontend.cli.main import main
from gtcrn_frontend.errors import ConfigError

PATIENCE_S = 60


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def read(connection, count):
    data = b""
    while len(data) < count and (piece := connection.recv(count - len(data))):
        data += piece
    return data


def test_it_serves_calls_and_metrics_until_it_is_terminated():
    sent = struct.pack(">BH", 0x01, 16) + bytes(16) + struct.pack(">BH", 0x10, 320) + bytes(range(160)) * 2
    sent += struct.pack(">BH", 0x00, 0)
    admin = f"127.0.0.1:{free_port()}"
    with socket.create_server(("127.0.0.1", 0)) as application:
        upstream = f"tcp://127.0.0.1:{application.getsockname()[1]}"
        command = [sys.executable, "-m", "gtcrn_frontend.cli.main", "audiosocket", "--listen", "127.0.0.1:0"]
        command += ["--upstream", upstream, "--strength", "0", "--admin", admin]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                line = process.stdout.readline()
                host, _, port = line.split()[2].removeprefix("tcp://").rpartition(":")
                with socket.create_connection((host, int(port)), PATIENCE_S) as caller:
                    caller.sendall(sent)
                    called, _ = application.accept()
                    with called:
                        called.settimeout(PATIENCE_S)
                        assert read(called, len(sent)) == sent
                with urllib.request.urlopen(f"http://{admin}/metrics", timeout=PATIENCE_S) as response:
                    assert "gtcrn_proxy_streams_total 1.0" in response.read().decode()
                process.terminate()
                assert process.wait(PATIENCE_S) == 0
            finally:
                process.kill()
    assert line.strip().endswith(f"for {upstream}")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--upstream", "ws://127.0.0.1:1"], "expected an address such as tcp://"),
        (["--upstream", "tcp://127.0.0.1:1", "--listen", "9092"], "expected HOST:PORT"),
        (["--upstream", "tcp://127.0.0.1:1", "--idle-seconds", "0"], "idle_seconds: expected a number above 0"),
    ],
)
def test_wrong_settings_are_told_before_it_listens(arguments, part, capsys):
    try:
        assert main(["audiosocket", *arguments]) == 1
    except ConfigError as error:
        pytest.fail(f"not handled: {error}")
    assert part in capsys.readouterr().err
