"""Enhances one item: the same for every runner, and for files the code of `enhance`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gtcrn_frontend.audio.io import open_audio
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.corpus.items import Item, Outcome, Problem
from gtcrn_frontend.corpus.shards import enhance_shard, is_shard
from gtcrn_frontend.corpus.storage import exists, local_copy, local_target
from gtcrn_frontend.errors import GtcrnFrontendError
from gtcrn_frontend.file_enhancement import enhancer_for, write_enhanced_audio


def enhance_item(
    item: Item, config: EnhancerConfig, progress: Callable[[float], None] = lambda seconds: None
) -> Outcome:
    """Enhances an item unless its output is there; outputs appear when they are complete.

    So a second call after a killed first one loses and doubles nothing. Errors become the outcome.

    Args:
        item: file or shard.
        config: settings; rate and channels are those of the audio.
        progress: called with the seconds of audio after each block.
    """
    try:
        if exists(item.output):
            return Outcome(item.source, kept=True)
        with local_copy(item.source) as source, local_target(item.output) as target:
            try:
                if is_shard(item.source):
                    audio_s, left_out = enhance_shard(source, target, config, progress)
                    problems = [Problem(f"{item.source}: {name}", reason) for name, reason in left_out]
                    return Outcome(item.source, audio_s, problems=tuple(problems))
                return Outcome(item.source, _enhance_file(source, target, config, progress))
            except GtcrnFrontendError as error:  # a temporary name means nothing to the reader
                raise type(error)(str(error).replace(str(source), item.source)) from error
    except (GtcrnFrontendError, OSError) as error:
        reason = " ".join(str(error).removeprefix(f"{item.source}: ").split())
        return Outcome(item.source, failed=True, problems=(Problem(item.source, reason),))


def _enhance_file(source: Path, target: Path, config: EnhancerConfig, progress: Callable[[float], None]) -> float:
    with open_audio(source) as audio:
        rate = audio.samplerate
        enhancer = enhancer_for(audio, config)
        write_enhanced_audio(audio, target, enhancer, lambda frames: progress(frames / rate))
        return float(audio.frames / rate)
