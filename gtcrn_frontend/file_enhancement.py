"""Block-wise enhancement of audio files, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from gtcrn_frontend.audio.audio_file import AudioFile
from gtcrn_frontend.audio.io import Samples, Source, audio_writer, open_audio, read_blocks
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.enhancer import Enhancer
from gtcrn_frontend.errors import AudioFormatError, ConfigError

Progress = Callable[[int], None]


def enhance_file(
    source: Source,
    output_path: str | Path | None = None,
    config: EnhancerConfig | None = None,
    *,
    overwrite: bool = False,
) -> Samples:
    """Returns an enhanced audio file, `(n,)` or `(n, channels)`: int16 for 16-bit PCM, else float32.

    Examples:
        >>> enhance_file("examples/noisy.flac").shape
        (130145,)

    Args:
        source: path (also of a pipe), contents as bytes, or an open binary file, in any format that libsndfile reads.
        output_path: file to write the result to as well, see `write_enhanced`; another existing file is replaced.
        config: settings; sample rate and channels are taken from the file.
        overwrite: allows `output_path` to be the source, which is then lost.

    Raises:
        AudioFormatError: the source cannot be read, or the output cannot be written in its format.
        ConfigError: `config` is not an `EnhancerConfig`, or the output is the source.
    """
    config = EnhancerConfig() if config is None else config
    if not isinstance(config, EnhancerConfig):
        raise ConfigError(
            f"expected an EnhancerConfig, got {type(config).__name__}: EnhancerConfig.from_dict makes one"
        )
    if output_path is not None and not isinstance(output_path, (str, Path)):
        raise AudioFormatError(f"expected the path of a file to write, got {type(output_path).__name__}")
    with open_audio(source) as audio, ExitStack() as stack:
        enhancer = enhancer_for(audio, config)
        write: Callable[[Samples], None] | None = None
        if output_path is not None:  # what is wrong with it is said before computing
            _check_apart(source, Path(output_path), overwrite)
            write = stack.enter_context(_writer(audio, Path(output_path), enhancer))
        samples = np.concatenate(list(_enhanced_blocks(audio, enhancer, lambda frames: None)))
        if write:
            write(samples)
    return samples


def write_enhanced(
    source: Source, output_path: str | Path, enhancer: Enhancer, progress: Progress, *, overwrite: bool = False
) -> int:
    """Enhances a file into another one; returns the number of frames written.

    The output keeps the sample format (16-bit PCM, ...) if its container, selected by the suffix, supports it, or else
    gets the nearest. It appears under its name once it is complete: an interrupted run leaves no file, a killed one a
    hidden `.part` file.

    Args:
        source: as in `enhance_file`.
        output_path: the suffix selects the container; another existing file is replaced.
        enhancer: has the rate and channels of the file, see `enhancer_for`; flushed at the end.
        progress: called with the number of input frames after each block.
        overwrite: allows `output_path` to be the source.

    Raises:
        AudioFormatError: the source cannot be read, or the output cannot be written in its format.
        ConfigError: the output is the source.
    """
    with open_audio(source) as audio:
        _check_apart(source, Path(output_path), overwrite)
        return write_enhanced_audio(audio, output_path, enhancer, progress)


def write_enhanced_audio(audio: AudioFile, output_path: str | Path, enhancer: Enhancer, progress: Progress) -> int:
    """Enhances an open file into another one; returns the number of frames written. See `write_enhanced`."""
    written = 0
    with _writer(audio, Path(output_path), enhancer) as write:
        for block in _enhanced_blocks(audio, enhancer, progress):
            write(block)
            written += len(block)
    return written


def enhancer_for(audio: AudioFile, config: EnhancerConfig) -> Enhancer:
    """Returns an enhancer with the settings of `config` and the rate and channels of the file.

    Raises:
        AudioFormatError: the rate or channel count of the file is out of range; the message names the file.
        ModelError: the model or the engine cannot be loaded.
    """
    try:
        enhancer = Enhancer.from_config(replace(config, sample_rate=audio.samplerate, channels=audio.channels))
    except ConfigError as error:
        raise AudioFormatError(f"{audio.name}: {error}") from error
    return enhancer.for_whole_signal()


def _enhanced_blocks(audio: AudioFile, enhancer: Enhancer, progress: Progress) -> Iterator[Samples]:
    for block in read_blocks(audio):
        try:
            enhanced = enhancer.process_chunk(block)
        except AudioFormatError as error:
            raise AudioFormatError(f"{audio.name}: {error}") from error
        yield enhanced
        progress(len(block))
    yield enhancer.flush()


def _writer(audio: AudioFile, path: Path, enhancer: Enhancer) -> AbstractContextManager[Callable[[Samples], None]]:
    channels = 1 if enhancer.config.downmix else audio.channels
    rate = enhancer.output_sample_rate
    # A file may hold a little more than it says, see `read_blocks`.
    frames = (audio.frames + audio.samplerate) * rate // audio.samplerate + rate
    return audio_writer(path, rate, channels, audio.subtype, frames)


def _check_apart(source: Source, output: Path, overwrite: bool) -> None:
    if overwrite or not isinstance(source, (str, Path)):
        return
    try:
        is_same = output.samefile(source)
    except OSError:  # there is no output yet
        return
    if is_same:
        raise ConfigError(f"{output}: expected another file than the input, which overwrite=True would replace")
