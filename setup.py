"""Compiles the native engine; everything else about the package is in pyproject.toml."""

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
HEADERS = ("auto_strength.h", "gtcrn.h", "resample.h")  # the second one includes the first
WINDOWS = os.name == "nt"

# What -ffast-math allows, but for taking NaN and infinity for impossible; and not -ffast-math itself, because with it
# gcc links code that switches the whole process to flush denormals.
MATH = ["-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros"]
KERNEL_FLAGS = ["-O3", *MATH, "-ffp-contract=fast", "-fvisibility=hidden"]
X86_LEVELS = {
    "v2": ["-march=x86-64-v2"],
    "v3": ["-march=x86-64-v3"],
    "v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
}


class BuildNative(build_ext):
    """Compiles kernel.c once for each instruction set, and links all of them into the extension."""

    def build_extension(self, ext: Extension) -> None:
        """Compiles and links; without a compiler setuptools goes on without the extension, as it is optional."""
        if self.compiler.compiler_type == "msvc":
            self.compiler.initialize()
            self.compiler.cc = os.environ.get("CC", "clang-cl")  # Microsoft's own compiler has no vector types
        ext.extra_objects = [
            obj for kernel, flags in kernels().items() for obj in self.compile_kernel(ext, kernel, flags)
        ]
        binding = Path(self.build_temp) / "_native.c"
        binding.parent.mkdir(parents=True, exist_ok=True)
        declared().emit_c_code(str(binding))
        ext.sources.append(str(binding))
        super().build_extension(ext)

    def compile_kernel(self, ext: Extension, kernel: str, flags: list[str]) -> list[str]:
        """Returns the object file of one build of the kernel, in a list."""
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
    """Returns the builds of the kernel for this target: their names, and the compiler flags of each."""
    target = os.environ.get("ARCHFLAGS") or platform.machine()
    return X86_LEVELS if "x86_64" in target or "AMD64" in target else {"generic": []}


def packages() -> list[str]:
    """Returns the packages of the three trees, by the names that they install under."""
    inside = {"adapters": "gtcrn_frontend.adapters", "models": "gtcrn_frontend.models"}
    found = find_packages(include=["gtcrn_frontend*", *(f"{tree}*" for tree in inside)])
    return [re.sub("^(adapters|models)(?=[.]|$)", lambda tree: inside[tree[0]], name) for name in found]


def declared() -> FFI:
    """Returns what the headers declare between their marks; lines of the preprocessor are not for cffi."""
    ffi = FFI()
    ffi.cdef("#define GTCRN_STATE_FLOATS ...\n#define GTCRN_HOP 256")  # a length of arrays: cffi wants the number
    for header in HEADERS:
        text = (FOLDER / header).read_text(encoding="utf-8")
        ffi.cdef(text.partition("/* cffi: begin.")[2].partition("*/")[2].partition("/* cffi: end.")[0])
    ffi.set_source("gtcrn_frontend.native._native", "".join(f'#include "{header}"\n' for header in HEADERS))
    return ffi


if __name__ == "__main__":
    native = Extension(
        "gtcrn_frontend.native._native",
        [str(FOLDER / f"{name}.c") for name in ("model", "dispatch", "path", "parallel", "auto_strength", "resample")],
        include_dirs=[str(FOLDER)],
        depends=[str(path) for path in sorted(FOLDER.glob("*.[ch]"))],
        # One rounding per operation, as in numpy: what is mixed here and there shall be the same.
        extra_compile_args=["/clang:-ffp-contract=off"]
        if WINDOWS
        else ["-std=gnu11", "-fvisibility=hidden", "-ffp-contract=off"],
        extra_link_args=[] if WINDOWS else ["-pthread"],
        libraries=["m"] if sys.platform.startswith("linux") else [],
        py_limited_api=not sysconfig.get_config_var("Py_GIL_DISABLED"),  # one binary for all versions of Python
        optional=True,  # without a compiler the package installs all the same, and ONNX Runtime runs the network
    )
    setup(packages=packages(), ext_modules=[native], cmdclass={"build_ext": BuildNative})
