"""Build of the C extension (native engine); all other metadata is in pyproject.toml."""

import os
import platform
import re
import sys
import sysconfig
from pathlib import Path

from cffi import FFI
from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

FOLDER = Path("gtcrn_frontend/native")
HEADERS = ("gtcrn.h", "engine.h", "auto_strength.h", "resample.h")  # what Python uses, in the order of their needs
WINDOWS = os.name == "nt"

# The relaxations of -ffast-math except -ffinite-math-only; not -ffast-math itself, because gcc then links code that
# makes the whole process flush denormals.
MATH = ["-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros"]
KERNEL_FLAGS = ["-O3", *MATH, "-ffp-contract=fast", "-fvisibility=hidden"]
X86_LEVELS = {
    "v2": ["-march=x86-64-v2"],
    "v3": ["-march=x86-64-v3"],
    "v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
}


class BuildNative(build_ext):
    """Compiles kernel.c once per instruction set and links all builds into the extension."""

    def build_extension(self, ext: Extension) -> None:
        """Compiles and links; without a compiler setuptools skips the extension, as it is optional."""
        if self.compiler.compiler_type == "msvc":
            self.compiler.initialize()
            self.compiler.cc = os.environ.get("CC", "clang-cl")  # MSVC has no vector types
        ext.extra_objects = [
            obj for kernel, flags in kernels().items() for obj in self.compile_kernel(ext, kernel, flags)
        ]
        binding = Path(self.build_temp) / "_native.c"
        binding.parent.mkdir(parents=True, exist_ok=True)
        declared().emit_c_code(str(binding))
        ext.sources.append(str(binding))
        super().build_extension(ext)

    def compile_kernel(self, ext: Extension, kernel: str, flags: list[str]) -> list[str]:
        """Compiles one build of the kernel; returns the object file, in a list."""
        flags = [*KERNEL_FLAGS, *flags]
        return self.compiler.compile(
            [str(FOLDER / "kernel.c")],
            output_dir=str(Path(self.build_temp) / kernel),
            macros=[("GTCRN_KERNEL", f"gtcrn_kernel_{kernel}")],
            include_dirs=ext.include_dirs,
            extra_postargs=[f"/clang:{flag}" for flag in flags] if WINDOWS else ["-std=gnu11", *flags],
            depends=ext.depends,
        )


def kernels() -> dict[str, list[str]]:
    """Returns the kernel builds for this target, by name, with their compiler flags.

    The target is that of ARCHFLAGS (macOS), of _PYTHON_HOST_PLATFORM (cross builds, see .ci/wheels), or this machine.
    """
    target = os.environ.get("ARCHFLAGS") or os.environ.get("_PYTHON_HOST_PLATFORM") or platform.machine()
    return X86_LEVELS if "x86_64" in target or "AMD64" in target else {"generic": []}


def packages() -> list[str]:
    """Returns the packages of the three source trees by their installed names."""
    inside = {
        "adapters.livekit.plugin": "livekit.plugins.gtcrn",  # where LiveKit's users look for it
        "adapters": "gtcrn_frontend.adapters",
        "models": "gtcrn_frontend.models",
    }
    found = find_packages(include=["gtcrn_frontend*", *(f"{tree}*" for tree in inside)])
    trees = f"^({'|'.join(map(re.escape, inside))})(?=[.]|$)"
    return [re.sub(trees, lambda tree: inside[tree[0]], name) for name in found]


def declared() -> FFI:
    """Returns the declarations between the marks of the headers, without preprocessor lines, for cffi."""
    ffi = FFI()
    for header in HEADERS:
        text = (FOLDER / header).read_text(encoding="utf-8")
        ffi.cdef(text.partition("/* cffi: begin.")[2].partition("*/")[2].partition("/* cffi: end.")[0])
    ffi.set_source("gtcrn_frontend.native._native", "".join(f'#include "{header}"\n' for header in HEADERS))
    return ffi


if __name__ == "__main__":
    limited_api = not sysconfig.get_config_var("Py_GIL_DISABLED")  # one binary for all versions of Python
    native = Extension(
        "gtcrn_frontend.native._native",
        [str(path) for path in sorted(FOLDER.glob("*.c")) if path.name != "kernel.c"],
        include_dirs=[str(FOLDER)],
        depends=[str(path) for path in sorted(FOLDER.glob("*.[ch]"))],
        # One rounding per operation, as in numpy, so that mixing gives the same result in C and Python.
        extra_compile_args=["/clang:-ffp-contract=off"]
        if WINDOWS
        else ["-std=gnu11", "-fvisibility=hidden", "-ffp-contract=off"],
        extra_link_args=[] if WINDOWS else ["-pthread"],
        libraries=["m"] if sys.platform.startswith("linux") else [],
        py_limited_api=limited_api,
        optional=True,  # the package also installs without a compiler; ONNX Runtime then runs the network
    )
    setup(
        packages=packages(),
        ext_modules=[native],
        cmdclass={"build_ext": BuildNative},
        options={"bdist_wheel": {"py_limited_api": "cp311"}} if limited_api else {},
    )
