"""Other products' denoisers, their models alone, for `gtcrn_frontend.evaluation.benchmark_networks`."""

from gtcrn_frontend.adapters.denoisers.dtln import DTLN
from gtcrn_frontend.adapters.denoisers.hush import HUSH
from gtcrn_frontend.adapters.denoisers.rnnoise import RNNOISE

__all__ = ["DTLN", "HUSH", "RNNOISE"]
