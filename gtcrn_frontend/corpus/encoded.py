"""Audio files in memory: encoded in, encoded out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from gtcrn_frontend.audio.io import container_of, open_audio
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.file_enhancement import enhancer_for, write_enhanced_audio

_SUFFIX_OF = {"WAVEX": ".wav", "RF64": ".wav", "MPEG": ".mp3"}  # others are called as their suffix


def enhance_encoded(
    content: bytes | Path,
    config: EnhancerConfig,
    suffix: str = "",
    progress: Callable[[float], None] = lambda seconds: None,
) -> tuple[bytes, float]:
    """Returns an audio file with enhanced samples, as `enhance` would write it, and its duration in seconds.

    Args:
        content: of the file, or its path.
        config: settings; rate and channels are those of the file.
        suffix: selects the container (`.flac`); empty, or that of no container, for the one that the file has.
        progress: called with the seconds of audio after each block.

    Raises:
        AudioFormatError: the file cannot be read, or the container cannot hold its audio.
    """
    with open_audio(content) as audio, tempfile.TemporaryDirectory(prefix="gtcrn-frontend-") as folder:
        if container_of(Path(f"audio{suffix}")) is None:
            suffix = _SUFFIX_OF.get(audio.format, f".{audio.format.lower()}")
        target = Path(folder) / f"audio{suffix}"
        rate = audio.samplerate
        enhancer = enhancer_for(audio, config)
        write_enhanced_audio(audio, target, enhancer, lambda frames: progress(frames / rate))
        return target.read_bytes(), audio.frames / rate
