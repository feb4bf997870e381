"""A picture of a recording before and after: waveforms and spectrograms on common scales."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.atomic_write import replaced_at_end
from gtcrn_frontend.audio.io import Source, open_audio, read_blocks
from gtcrn_frontend.audio.types import F32
from gtcrn_frontend.audio.validation import INT16_SCALE
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.install_hint import install_hint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FRAME_S = 0.032
SHOWN_DB = 70.0
"""From the loudest level down to black."""

_MAX_COLUMNS = 1000  # more than a figure has pixels for
_FLOOR_DB = -120.0  # digital silence
_SIZE_INCHES = (12.0, 6.5)
_DPI = 120


@dataclass(frozen=True)
class Outline:
    """What is drawn of a recording, of whatever length: one column for each stretch of time.

    Attributes:
        duration_s: of all columns.
        sample_rate: in Hz.
        lowest: smallest sample of each column, over all channels, `(columns,)`.
        highest: largest sample.
        levels_db: `(bins, columns)`, power averaged over channels; a sine of full scale has 0 dB.
    """

    duration_s: float
    sample_rate: int
    lowest: F32
    highest: F32
    levels_db: F32


def check_plot(path: Path) -> None:
    """Raises `ConfigError` if matplotlib is not installed or has no image format of this suffix."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # an extra, and slow to import
    except ModuleNotFoundError as error:
        raise ConfigError(f"plots need matplotlib: {install_hint('plot')}") from error
    known = sorted(FigureCanvasAgg.get_supported_filetypes())
    if path.suffix.removeprefix(".").lower() not in known:
        raise ConfigError(f"{path}: expected the suffix of an image format ({', '.join(known)}), got {path.suffix!r}")


def outline(source: Source) -> Outline:
    """Returns what is drawn of an audio file.

    Raises:
        AudioFormatError: it cannot be read.
    """
    with open_audio(source) as audio:
        rate = audio.samplerate
        n_fft = round(FRAME_S * rate)
        step = max(n_fft // 4, -(-audio.frames // _MAX_COLUMNS))
        columns = [
            (stretch[:step].min(), stretch[:step].max(), _power(stretch, n_fft))
            for stretch in _stretches(read_blocks(audio), step, max(step, n_fft))
        ]
    lowest, highest, power = zip(*columns, strict=True)
    levels_db = 10 * np.log10(np.maximum(np.stack(power, axis=1), 10 ** (_FLOOR_DB / 10)))
    return Outline(len(columns) * step / rate, rate, np.stack(lowest), np.stack(highest), levels_db)


def draw_comparison(before: Outline, after: Outline, path: Path, titles: tuple[str, str] = ("before", "after")) -> None:
    """Writes a picture of two recordings side by side; an existing file is replaced.

    Raises:
        ConfigError: see `check_plot`.
    """
    check_plot(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE_INCHES, dpi=_DPI, layout="constrained")
    axes = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=(1, 2))
    peak = 1.05 * max(float(np.abs([each.lowest, each.highest]).max()) for each in (before, after))
    loudest_db = max(float(before.levels_db.max()), _FLOOR_DB + SHOWN_DB)
    for column, (each, title) in enumerate(zip((before, after), titles, strict=True)):
        _draw_waveform(axes[0, column], each, peak or 1.0, title)
        image = _draw_spectrogram(axes[1, column], each, loudest_db)
    axes[0, 0].set_ylabel("Amplitude")
    axes[1, 0].set_ylabel("Frequency (kHz)")
    axes[1, 0].set_ylim(0, max(before.sample_rate, after.sample_rate) / 2000)
    axes[1, 0].set_xlim(0, max(before.duration_s, after.duration_s))
    figure.colorbar(image, ax=axes[1, :], label="Level (dBFS)", pad=0.01, extend="min")
    with replaced_at_end(path) as temporary:
        figure.savefig(temporary, format=path.suffix.removeprefix("."))


def _draw_waveform(axes: Axes, recording: Outline, peak: float, title: str) -> None:
    edges_s = np.linspace(0, recording.duration_s, len(recording.lowest) + 1)
    axes.stairs(recording.highest, edges_s, baseline=recording.lowest, fill=True, color="#31688e")
    axes.set_ylim(-peak, peak)
    # A file name: not a formula, even with dollar signs, and not UTF-8 of necessity.
    axes.set_title(title.encode(errors="replace").decode(), parse_math=False)
    axes.grid(alpha=0.3)


def _draw_spectrogram(axes: Axes, recording: Outline, loudest_db: float) -> Any:
    extent = (0.0, recording.duration_s, 0.0, recording.sample_rate / 2000)
    axes.set_xlabel("Time (s)")
    axes.set_facecolor("0.85")  # where the lower of two rates has no band: not the black of silence
    return axes.imshow(
        recording.levels_db,
        origin="lower",
        aspect="auto",
        extent=extent,
        cmap="magma",
        vmin=loudest_db - SHOWN_DB,
        vmax=loudest_db,
    )


def _stretches(blocks: Iterator[npt.NDArray[Any]], step: int, length: int) -> Iterator[F32]:
    """Stretches of `length` frames, `(length, channels)`, every `step` frames until the samples end; zeros fill up."""
    waiting = np.empty((0, 1), np.float32)
    for block in blocks:
        scale = INT16_SCALE if block.dtype == np.int16 else 1.0
        samples = block.astype(np.float32).reshape(len(block), -1) / np.float32(scale)
        waiting = np.concatenate([waiting, samples]) if len(waiting) else samples
        start = 0
        while start + length <= len(waiting):
            yield waiting[start : start + length]
            start += step
        waiting = waiting[start:]
    for start in range(0, max(1, len(waiting)), step):  # at least one column, also of a file without samples
        stretch = waiting[start : start + length]
        yield np.pad(stretch, ((0, length - len(stretch)), (0, 0)))


def _power(stretch: F32, n_fft: int) -> F32:
    """Mean power of whole frames of a stretch, over channels as well, `(bins,)`; of a sine of full scale, 1."""
    window = np.hanning(n_fft + 1)[:-1].astype(np.float32)
    frames = stretch[: len(stretch) // n_fft * n_fft].reshape(-1, n_fft, stretch.shape[1])
    spectra = np.fft.rfft(frames * window[:, None], axis=1) * (2 / window.sum())
    return np.asarray((np.abs(spectra) ** 2).mean(axis=(0, 2)), np.float32)
