"""`CalibrationData`: recordings, conditions and signals without speech that a calibration is made on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.channels import DEFAULT_CHANNELS, MICROPHONE, ROOM, TELEPHONE, checked_channels
from gtcrn_frontend.evaluation.manifest import Manifest, load_manifest
from gtcrn_frontend.evaluation.noisy_set import Item, checked_snrs, condition_name, find_noise, plan_items
from gtcrn_frontend.evaluation.progress import Progress
from gtcrn_frontend.evaluation.speech_free import SpeechFree, checked_levels, plan_speech_free

DEFAULT_SNRS_DB: tuple[float | None, ...] = (None, 10.0, 5.0, 0.0)


@dataclass(frozen=True)
class CalibrationData:
    """Recordings and conditions of a calibration.

    Attributes:
        manifest_path: as it was given.
        manifest: its content.
        items: utterances under each condition that the decision is based on.
        noise_path: folder of noise recordings; None if no noise was mixed in.
        snrs_db: signal-to-noise ratios; None in it stands for clean.
        seed: of the choice of noise.
        channels: see `channels.CHANNELS`.
        rooms_path: folder of impulse responses; None without the channel `room`.
        speech_free: signals in which hallucinated words are counted; may be empty.
    """

    manifest_path: str
    manifest: Manifest
    items: tuple[Item, ...]
    noise_path: str | None = None
    snrs_db: tuple[float | None, ...] = ()
    seed: int = 0
    channels: tuple[str, ...] = DEFAULT_CHANNELS
    rooms_path: str | None = None
    speech_free: tuple[SpeechFree, ...] = ()

    def describe(self) -> str:
        """Returns the data in one sentence."""
        channels = "" if self.channels == DEFAULT_CHANNELS else f", channels {','.join(self.channels)}"
        rooms = "" if self.rooms_path is None else f", rooms {self.rooms_path}"
        if self.noise_path is None:
            return f"Measured on {self.manifest_path}, no noise added{channels}{rooms}."
        snrs = ",".join(condition_name(snr).removesuffix(" dB") for snr in self.snrs_db)
        noise = f"noise {self.noise_path}, SNRs {snrs}"
        return f"Measured on {self.manifest_path}, {noise}{channels}{rooms}, seed {self.seed}."


def load_calibration_data(
    path: str | Path,
    progress: Progress,
    *,
    noise: str | Path | None,
    snrs_db: Sequence[float | None],
    seed: int,
    channels: Sequence[str],
    rooms: str | Path | None,
    noise_only: int,
    noise_only_dbfs: Sequence[float],
    limit: int | None,
) -> CalibrationData:
    """Returns what to recognise, and reports what cannot be used; see `calibrate` for the arguments.

    Raises:
        ConfigError: an argument is wrong, or the manifest is unusable.
    """
    if noise is None and snrs_db:
        raise ConfigError("snrs_db: expected a folder of noise with it, got none")
    channels = checked_channels(channels)
    if (ROOM in channels) != (rooms is not None):
        raise ConfigError(f"expected the channel {ROOM!r} and a folder of impulse responses with it, got one of them")
    levels = checked_levels(noise_only_dbfs)
    manifest = load_manifest(path)
    for problem in manifest.problems:
        progress.message(f"left out: {problem}")
    if limit is not None:
        manifest = dataclasses.replace(manifest, utterances=manifest.utterances[:limit])
        noise_only = min(noise_only, limit)
    if empty := sum(not utterance.text for utterance in manifest.utterances):
        progress.message(f"{empty} recordings have an empty transcript: words recognised in them are insertions")
    ratios = checked_snrs(snrs_db or DEFAULT_SNRS_DB) if noise is not None else ()
    recordings = find_noise(noise) if noise is not None else []
    responses = find_noise(rooms, "impulse responses") if rooms is not None else []
    items = plan_items(manifest.utterances, recordings, ratios, seed, channels, responses)
    # Calls that are all from telephones have noise from telephones, too.
    channel = TELEPHONE if channels == (TELEPHONE,) else MICROPHONE
    silent = plan_speech_free(recordings, noise_only, levels, seed, channel)
    return CalibrationData(
        str(path),
        manifest,
        tuple(items),
        None if noise is None else str(noise),
        ratios,
        seed,
        channels,
        None if rooms is None else str(rooms),
        tuple(silent),
    )
