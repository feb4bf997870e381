"""What gets installed: built from a clean copy of the tree, so that leftovers of earlier builds cannot help or hurt."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]
INSTALLED_AS = {
    "gtcrn_frontend": "gtcrn_frontend",
    "adapters": "gtcrn_frontend/adapters",
    "models": "gtcrn_frontend/models",
}
LIVEKIT_PLUGIN = "adapters/livekit/plugin"
NOT_INSTALLED = "adapters/web"  # a package for npm, and the program that builds it
MODEL_FILES = {".onnx", ".safetensors", ".md", ".json", ".toml"}
DATA_FOLDERS = {"templates", "hparams"}  # of code that reads them when it runs
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the build needs."""
    copy = tmp_path_factory.mktemp("source")
    for folder in INSTALLED_AS:
        leftovers = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd")
        shutil.copytree(ROOT / folder, copy / folder, ignore=leftovers)
    for file in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, copy)
    return copy


def build(hook: str, source: Path, target: Path, **environment: str) -> Path:
    """Runs a hook of the build backend, as pip does but without its isolated environment; returns the file."""
    target.mkdir(exist_ok=True)
    code = f"from setuptools import build_meta; build_meta.{hook}({str(target)!r})"
    environ = os.environ | environment
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True, env=environ)
    (built,) = target.glob("*.tar.gz" if hook == "build_sdist" else "*.whl")
    return built


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return zipfile.ZipFile(build("build_wheel", source, tmp_path_factory.mktemp("wheel")))


def extensions(wheel: zipfile.ZipFile) -> set[str]:
    return {name for name in wheel.namelist() if name.endswith((".so", ".pyd"))}


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


def test_only_the_package_is_installed_at_top_level_and_a_plugin_where_livekit_looks_for_it(
    wheel: zipfile.ZipFile,
) -> None:
    """`livekit` and `livekit.plugins` stay namespaces: an `__init__.py` of ours would hide those of other packages."""
    top_level = {PurePosixPath(name).parts[0] for name in wheel.namelist()}
    assert top_level == {"gtcrn_frontend", "livekit", f"gtcrn_frontend-{PROJECT['version']}.dist-info"}
    plugin = {name for name in wheel.namelist() if name.startswith("livekit/")}
    assert plugin == {"livekit/plugins/gtcrn/__init__.py"}


def test_every_module_and_model_file_of_the_tree_is_installed(source: Path, wheel: zipfile.ZipFile) -> None:
    expected = {"gtcrn_frontend/py.typed"}
    for folder, installed_as in INSTALLED_AS.items():
        for path in set((source / folder).rglob("*")) - set((source / LIVEKIT_PLUGIN).rglob("*")):
            if path.is_relative_to(source / NOT_INSTALLED):
                continue
            of_models = folder == "models" and path.suffix in MODEL_FILES
            if path.suffix == ".py" or of_models or (path.parent.name in DATA_FOLDERS and path.is_file()):
                expected.add(f"{installed_as}/{path.relative_to(source / folder).as_posix()}")
    found = {name for name in wheel.namelist() if name.startswith("gtcrn_frontend/")} - extensions(wheel)
    assert not expected - found, "they are missing from the packages of setup.py or the package data of pyproject.toml"
    assert not found - expected, "these files are no part of the package"
    assert "gtcrn_frontend/models/gtcrn.onnx" in found


def test_the_native_engine_is_built_and_works_from_the_wheel(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler to build the native engine with")
    (extension,) = extensions(wheel)
    assert extension.startswith("gtcrn_frontend/native/_native.")
    assert engines_of(wheel, tmp_path)[0] == ["native", "{}"]


@pytest.mark.skipif(bool(sysconfig.get_config_var("Py_GIL_DISABLED")), reason="has no limited API")
def test_the_wheel_is_one_for_all_versions_of_python(wheel: zipfile.ZipFile) -> None:
    assert "-cp311-abi3-" in Path(str(wheel.filename)).name


def test_the_sdist_builds_the_same_wheel(source: Path, wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    sdist = build("build_sdist", source, tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    unpacked = tmp_path / sdist.name.removesuffix(".tar.gz")
    assert not (unpacked / "tests").exists()
    again = zipfile.ZipFile(build("build_wheel", unpacked, tmp_path / "wheel"))
    assert set(again.namelist()) == set(wheel.namelist())


def test_without_a_compiler_the_package_installs_and_onnx_runs(source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "source"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("build", "*.so", "*.pyd", "*.egg-info"))
    wheel = zipfile.ZipFile(build("build_wheel", copy, tmp_path, CC="/bin/false", CXX="/bin/false"))
    assert not extensions(wheel)
    (engine, absent), (refusal,) = engines_of(wheel, tmp_path / "installed")
    assert engine == "onnx"
    for message in (absent, refusal):
        assert "its C extension is not installed (No module named" in message
        assert "install gcc or clang" in message


def engines_of(wheel: zipfile.ZipFile, folder: Path) -> list[list[str]]:
    """What `auto` is and which engines are absent, and the error for `native`, in an installed wheel."""
    wheel.extractall(folder)
    code = f"""if True:
        import sys
        from pathlib import Path
        sys.path.insert(0, {str(folder)!r})
        import numpy as np
        from gtcrn_frontend.engines import loading
        from gtcrn_frontend.errors import ModelError
        from gtcrn_frontend.model_spec import GTCRN_SPEC
        from gtcrn_frontend.weights.model import Model
        from gtcrn_frontend.weights.param_shapes import gtcrn_parameters
        assert loading.__file__.startswith({str(folder)!r})
        parameters = {{name: np.ones(shape, np.float32) for name, shape in gtcrn_parameters().items()}}
        model = Model(GTCRN_SPEC, Path("ones"), "", parameters)
        absent = {{k: v for k, v in loading.absent_engines().items() if k != "torch"}}
        print(loading._build(model, "auto", 1, ()).name, absent, sep="\\t")
        try:
            engine = loading._build(model, "native", 1, ())
            hops = np.ones((2, 256), np.float32)
            assert np.isfinite(engine.process(hops, engine.new_state())).all()
        except ModelError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def test_every_folder_with_modules_is_a_package(source: Path) -> None:
    folders = {path.parent for name in INSTALLED_AS for path in (source / name).rglob("*.py")}
    folders.remove(source / NOT_INSTALLED)
    assert not {str(folder.relative_to(source)) for folder in folders if not (folder / "__init__.py").is_file()}


def test_metadata(metadata: Message) -> None:
    assert metadata["Name"] == "gtcrn-frontend"
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata.get_payload(), "the README is the long description"


def test_core_requirements_are_few_and_light(metadata: Message) -> None:
    core = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    names = {re.split(r"[^A-Za-z0-9_-]", line)[0].lower() for line in core}
    assert names == {"cffi", "numpy", "onnxruntime", "soundfile", "safetensors", "pooch", "pyyaml", "tqdm"}


def test_the_test_extra_includes_every_other_extra_but_those_apart(metadata: Message) -> None:
    extras = set(metadata.get_all("Provides-Extra", []))
    assert {"torch", "sherpa", "speechbrain", "calibrate", "train", "test"} <= extras
    (own,) = (line for line in PROJECT["optional-dependencies"]["test"] if line.startswith("gtcrn-frontend["))
    assert set(own.removeprefix("gtcrn-frontend[").removesuffix("]").split(",")) == extras - {
        "test",
        "pipecat",
        "hosts-test",
        "whisper",
        "whisper-test",
    }


def test_every_requirement_is_pinned_in_the_constraints() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line.partition("==") for line in lines if line and not line.startswith("#")]
    pinned = {re.sub(r"[-_.]+", "-", name).lower() for name, equals, version in pins if equals and version}
    requirements = PROJECT["dependencies"] + [r for extra in PROJECT["optional-dependencies"].values() for r in extra]
    names = {re.split(r"[\[<>=!~; ]", requirement)[0].lower() for requirement in requirements} - {"gtcrn-frontend"}
    assert not names - pinned
    assert pins[0] == ("torch", "==", "2.13.0")


def test_the_command_is_installed_and_the_version_is_that_of_the_tree() -> None:
    installed = importlib.metadata.distribution("gtcrn-frontend")
    assert installed.version == PROJECT["version"]
    (command,) = installed.entry_points.select(group="console_scripts", name="gtcrn-frontend")
    assert callable(command.load())


def test_nothing_is_importable_under_a_name_that_belongs_to_others(tmp_path: Path) -> None:
    code = "from importlib.util import find_spec; print([n for n in ('adapters', 'models', 'tests') if find_spec(n)])"
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_an_editable_install_maps_adapters_and_models(source: Path, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    zipfile.ZipFile(build("build_editable", source, tmp_path)).extractall(installed)
    # -S: without the site-packages of this environment, where the package is installed too
    code = f"""if True:
        import importlib.util, site, sys
        site.addsitedir({str(installed)!r})
        sys.modules["gtcrn_frontend"] = importlib.util.module_from_spec(importlib.util.find_spec("gtcrn_frontend"))
        for name in ("errors", "adapters", "models"):
            print(importlib.util.find_spec("gtcrn_frontend." + name).origin)
        print([n for n in ('adapters', 'models', 'tests') if importlib.util.find_spec(n)])
    """
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == [
        str(source / "gtcrn_frontend/errors.py"),
        str(source / "adapters/__init__.py"),
        str(source / "models/__init__.py"),
        "[]",
    ]


def test_python_started_in_the_checkout_finds_everything() -> None:
    """There the source tree comes before the installed package, and its models lie beside it."""
    script = "import gtcrn_frontend, gtcrn_frontend.models as m; print(gtcrn_frontend.__file__, *m.__path__, sep='\\n')"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    found = [Path(line).resolve() for line in done.stdout.splitlines()]
    assert found[:2] == [ROOT / "gtcrn_frontend" / "__init__.py", ROOT / "models"]
