import os
import platform
from importlib.metadata import version

from gtcrn_frontend.evaluation import environment as module


def test_names_the_processor_the_system_and_the_versions():
    facts = module.environment()
    assert list(facts) == ["cpu", "system", "python", *module.PACKAGES]
    assert facts["python"] == platform.python_version()
    assert facts["numpy"] == version("numpy")
    assert facts["cpu"] == module.cpu_name()
    assert all(facts.values())


def test_a_package_that_is_not_installed_is_absent(monkeypatch):
    monkeypatch.setattr(module, "PACKAGES", ("numpy", "no-such-package-anywhere"))
    assert module.environment()["no-such-package-anywhere"] == module.ABSENT


def test_linux_says_the_name_in_a_file(monkeypatch, tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Fast CPU @ 9 GHz\n\nprocessor\t: 1\nmodel name\t: Fast CPU\n")
    monkeypatch.setattr(module, "_CPUINFO", cpuinfo)
    assert module.cpu_name() == f"Fast CPU @ 9 GHz ({os.cpu_count()} cores)"


def test_elsewhere_and_on_processors_without_a_name_there_python_says_it(monkeypatch, tmp_path):
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    nameless = tmp_path / "cpuinfo"
    nameless.write_text("processor\t: 0\nBogoMIPS\t: 50.00\n")
    for file in (tmp_path / "missing", nameless):
        monkeypatch.setattr(module, "_CPUINFO", file)
        assert module.cpu_name() == f"arm64 ({os.cpu_count()} cores)"
