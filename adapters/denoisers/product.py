"""`InstalledDenoiser`: another product in a benchmark, from the package that it comes in."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gtcrn_frontend.adapters.denoisers.packages import package_folder
from gtcrn_frontend.evaluation.bench.streams import BenchEngine, SeparateStreams
from gtcrn_frontend.evaluation.environment import installed_version

MAX_STREAMS = 200


@dataclass(frozen=True)
class InstalledDenoiser:
    """A denoiser for `evaluation.benchmark_networks`; see `evaluation.bench.streams.OtherEngineFactory`.

    Attributes:
        name: of the product.
        package, distribution: what it is installed as, for Python and for pip.
        engine: what executes its network.
        part: what of the distribution runs, for the table's legend.
        without: what of it does not run; empty for nothing.
        load: takes the package's folder; a function of a module, as it is pickled.
        sample_rate: in Hz.
        hop_length: samples per call.
        is_required: whether the benchmark fails without it.
    """

    name: str
    package: str
    distribution: str
    engine: str
    part: str
    without: str
    load: Callable[[Path], SeparateStreams]
    sample_rate: int
    hop_length: int
    is_required: bool = False

    def prepare(self, folder: Path) -> BenchEngine:
        """Returns the denoiser, not yet loaded.

        Raises:
            ImportError: it is not installed; the message is the command that installs it.
        """
        make = functools.partial(self.load, package_folder(self.package, self.distribution))
        runs = f"{self.part} in {self.distribution} {installed_version(self.distribution)}{self.without}"
        return BenchEngine(
            self.name, self.name, self.engine, runs, make, self.sample_rate, self.hop_length, MAX_STREAMS
        )
