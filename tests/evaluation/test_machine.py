import os
import platform
from importlib.metadata import version

from gtcrn_frontend.evaluation import machine


def test_names_the_processor_the_system_and_the_versions():
    facts = machine.environment()
    assert list(facts) == ["cpu", "system", "python", *machine.PACKAGES]
    assert facts["python"] == platform.python_version()
    assert facts["numpy"] == version("numpy")
    assert facts["cpu"] == machine.cpu_name()
    assert all(facts.values())


def test_a_package_that_is_not_installed_is_absent(monkeypatch):
    monkeypatch.setattr(machine, "PACKAGES", ("numpy", "no-such-package-anywhere"))
    assert machine.environment()["no-such-package-anywhere"] == machine.ABSENT


def test_linux_says_the_name_in_a_file(monkeypatch, tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Fast CPU @ 9 GHz\n\nprocessor\t: 1\nmodel name\t: Fast CPU\n")
    monkeypatch.setattr(machine, "_CPUINFO", cpuinfo)
    assert machine.cpu_name() == f"Fast CPU @ 9 GHz ({os.cpu_count()} cores)"


def test_elsewhere_and_on_processors_without_a_name_there_python_says_it(monkeypatch, tmp_path):
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    nameless = tmp_path / "cpuinfo"
    nameless.write_text("processor\t: 0\nBogoMIPS\t: 50.00\n")
    for file in (tmp_path / "missing", nameless):
        monkeypatch.setattr(machine, "_CPUINFO", file)
        assert machine.cpu_name() == f"arm64 ({os.cpu_count()} cores)"
