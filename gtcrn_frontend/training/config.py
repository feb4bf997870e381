"""The settings of a training run: frozen dataclasses."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NewType

from gtcrn_frontend.deprecation import renamed_fields
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.weights.networks import NETWORKS

Range = tuple[float, float]
ModelSource = NewType("ModelSource", str)
"""A registered name or a path."""

SYNTHETIC_KINDS = ("coloured", "modulated", "hum", "clicks", "tones", "wind", "music", "chirps", "engines", "impacts")
DEGRADATIONS = ("noise", "compression")

POSITIVE = {
    "segment_s",
    "steps",
    "batch_size",
    "clip_norm",
    "norm_batches",
    "threads",
    "every_steps",
    "mixtures",
    "seconds",
}


@dataclass(frozen=True)
class CorpusConfig:
    """One source of recordings: exactly one of a manifest, a folder, or a pair of folders.

    Attributes:
        manifest: JSON list of entries with `path`, `set` (speech, noise or rir; others are left out), `source`,
            and optionally `speaker` and `text`.
        speech, noise, rooms: a folder of recordings (searched deeply) of that kind.
        clean, noisy: two folders with files of the same names; mixtures as they are (as VoiceBank-DEMAND).
        group: a regular expression on the path (below the folder, or as in the manifest) whose first group names
            the speaker or the original recording; whatever shares a name is held out together. Where it does not
            match, the path itself is the name. A speaker named in a manifest goes first.
        weights: how often a source of this corpus is drawn, relative to its duration; 0 leaves it out. The key `"*"`
            stands for all sources not named. A folder is one source, its name.
    """

    manifest: Path | None = None
    speech: Path | None = None
    noise: Path | None = None
    rooms: Path | None = None
    clean: Path | None = None
    noisy: Path | None = None
    group: str | None = None
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = [name for name in ("manifest", "speech", "noise", "rooms", "clean") if getattr(self, name) is not None]
        if len(given) != 1 or (self.clean is None) != (self.noisy is None):
            raise ConfigError(
                f"a corpus is one of manifest, speech, noise, rooms, or clean and noisy together; got {given}: "
                "split it into several list entries"
            )
        try:
            re.compile(self.group or "()")
        except re.error as error:
            raise ConfigError(f"group {self.group!r} is not a regular expression: {error}") from error
        if self.group is not None and not re.compile(self.group).groups:
            raise ConfigError(f"group {self.group!r} has no (...) that names the speaker or recording")
        for source, weight in self.weights.items():
            if not 0 <= weight < math.inf:
                raise ConfigError(f"weights: {source}: expected 0 or more, got {weight}")


@dataclass(frozen=True)
class HeldOutConfig:
    """Shares of the groups (speakers, noise recordings, rooms) kept for validation, of each source.

    Attributes:
        file: where the split is written; if it exists it is obeyed, so that other work can share it.
        speech: share of the speakers without transcripts, and of clips whose speaker is not known.
        transcribed: share of the speakers with transcripts (later used to judge recognisers).
        noise, rooms: share of the noise recordings and of the rooms.
        pairs: number of clean/noisy pairs.
    """

    file: Path = Path("split.json")
    speech: float = 0.1
    transcribed: float = 0.2
    noise: float = 0.1
    rooms: float = 0.1
    pairs: int = 1572

    def __post_init__(self) -> None:
        _check(self)


@renamed_fields(
    piece_s="segment_s",
    clean_share="clean_prob",
    noise_only_share="noise_only_prob",
    synthetic_share="synthetic_prob",
    second_noise_share="second_noise_prob",
    reverb_share="reverb_prob",
    synthetic_room_share="synthetic_room_prob",
    shoebox_share="shoebox_prob",
    equalise_share="equalise_prob",
    speed_share="speed_prob",
    band_limit_share="band_limit_prob",
    clip_share="clip_prob",
)
@dataclass(frozen=True)
class MixingConfig:
    """What a training example is made of. `..._prob` are probabilities; ranges are drawn from uniformly.

    Attributes:
        segment_s: length of an example in seconds.
        snr_db: active speech level over noise level.
        level_db: mean, standard deviation, lowest, highest level of the active speech, dB full scale.
        clean_prob, noise_only_prob: examples without noise, without speech.
        synthetic_prob: noise that is generated instead of recorded (a sixth of it is babble).
        synthetic_kinds: what is generated besides, see `families.FAMILIES`; where music shall stay, leave it out.
        second_noise_prob: a second recording on top of the first.
        reverb_prob: examples in a room; synthetic_room_prob of the rooms are generated, shoebox_prob of these by the
            image source method, the others as decaying noise.
        equalise_prob, speed_prob, band_limit_prob: spectral colouring of speech and noise, other speeds (and so
            other pitches), telephone-like band.
        clip_prob: mixtures of an overdriven microphone; the target is not clipped.
        telephone_prob: examples that came over a telephone line, see `telephone.telephone`.
        min_speech_snr_db: speech recordings with less distance between their loud and quiet frames are left out,
            since their background would be taught as speech.
        degradation: what is to be undone: `noise` (and reverberation), or `compression`: speech that is clipped or has
            few bits, without noise (`degradation.damage`); level, colour and speed vary as before.
    """

    segment_s: float = 3.0
    snr_db: Range = (-5.0, 25.0)
    level_db: tuple[float, float, float, float] = (-26.0, 7.0, -45.0, -3.0)
    clean_prob: float = 0.03
    noise_only_prob: float = 0.03
    synthetic_prob: float = 0.25
    synthetic_kinds: tuple[str, ...] = SYNTHETIC_KINDS
    second_noise_prob: float = 0.25
    reverb_prob: float = 0.3
    synthetic_room_prob: float = 0.5
    shoebox_prob: float = 0.5
    equalise_prob: float = 0.5
    speed_prob: float = 0.3
    band_limit_prob: float = 0.08
    clip_prob: float = 0.03
    telephone_prob: float = 0.0
    min_speech_snr_db: float = 0.0
    degradation: str = "noise"

    def __post_init__(self) -> None:
        _check(self)
        if not self.synthetic_kinds or set(self.synthetic_kinds) - set(SYNTHETIC_KINDS):
            raise ConfigError(
                f"synthetic_kinds: expected some of {', '.join(SYNTHETIC_KINDS)}, got {list(self.synthetic_kinds)}"
            )
        if self.degradation not in DEGRADATIONS:
            raise ConfigError(f"degradation: expected one of {', '.join(DEGRADATIONS)}, got {self.degradation!r}")


@renamed_fields(
    peak_rate="peak_lr",
    final_rate="final_lr",
    average_decay="ema_decay",
    freeze_norm_share="freeze_norm_fraction",
)
@dataclass(frozen=True)
class OptimConfig:
    """How the weights are found.

    Attributes:
        steps: length of the schedule.
        batch_size: examples per step.
        peak_lr: learning rate after the warm-up; falls to `final_lr` along a cosine.
        warmup_steps: linear rise at the start.
        weight_decay: of AdamW.
        clip_norm: gradients are scaled down to this norm.
        ema_decay: of the moving average of weights.
        freeze_norm_fraction: last share of the steps in which batch norm uses fixed statistics, those that the
            network will use after training.
        norm_batches: batches from which batch-norm statistics are computed.
        seed: of everything random.
        threads: of torch.
        device: where torch computes, e.g. cpu or cuda.
        fused: where there are such, take the optimizer in one operation, and on the CPU compiled loops (numba) for
            recurrences and depthwise convolutions.
    """

    steps: int = 20000
    batch_size: int = 16
    peak_lr: float = 2.5e-3
    final_lr: float = 1e-5
    warmup_steps: int = 500
    weight_decay: float = 0.0
    clip_norm: float = 5.0
    ema_decay: float = 0.999
    freeze_norm_fraction: float = 0.2
    norm_batches: int = 40
    seed: int = 1
    threads: int = 1
    device: str = "cpu"
    fused: bool = True

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class RecognizerConfig:
    """A recogniser whose features are compared: exactly one of a Whisper model and a factory.

    Attributes:
        whisper: folder of a Whisper model in CTranslate2's format, as faster-whisper uses it.
        factory: `package.module:function` or `file.py:function`; called with the sample rate in Hz, it returns a torch
            module that turns samples `(B, n)` into a sequence of features `(B, T, channels)`, the last layer last.
        weight: of its distance, see `recognizer_distance.RecognizerDistance`.
        layers: `all`, or `last` alone.
    """

    whisper: Path | None = None
    factory: ModelSource | None = None
    weight: float = 1.0
    layers: str = "all"

    def __post_init__(self) -> None:
        if (self.whisper is None) == (self.factory is None):
            raise ConfigError("recognizers: expected either whisper or factory in each entry")
        if not 0 < self.weight < math.inf:
            raise ConfigError(f"recognizers: weight: expected more than 0, got {self.weight}")
        if self.layers not in ("all", "last"):
            raise ConfigError(f"recognizers: layers: expected all or last, got {self.layers!r}")


@renamed_fields(disturbance="pesq_like", opinion="dnsmos_ovrl", dnsmos="dnsmos_folder")
@dataclass(frozen=True)
class LossConfig:
    """The terms of the loss; each weight may be 0, which leaves the term out.

    Attributes:
        hybrid: weight of the authors' hybrid loss (`hybrid.hybrid_loss`).
        recognizers: whose features of the estimate are to be those of clean speech.
        si_snr: weight of the negative signal-to-noise ratio in bel (`hybrid.si_snr`), beyond the 1 that the hybrid loss
            gives it.
        log_mel: weight of the mean absolute difference of natural-log mel energies while someone speaks
            (`log_mel.LogMelDistance`); what recognisers compute from the signal.
        over_suppression: weight of the error where the estimate is below the target (`hybrid.over_suppression`);
            what was removed cannot be recognised.
        pesq_like: weight of what a listener is disturbed by, the model of PESQ (`pesq_like.PesqLikeLoss`).
        dnsmos_ovrl: weight of what is missing from the best score of DNSMOS P.835 (`dnsmos.DnsmosLoss`), on a quarter
            of the examples, at least one of each process.
        dnsmos_folder: folder with its network, `sig_bak_ovr.onnx`.
        distillation: weight of the spectral error against the teachers' output, where that is closer to the target
            than the input is (`combined.teacher_trust`).
        teachers: models to learn from, their outputs averaged; names or paths. Their weights are not copied.
    """

    hybrid: float = 1.0
    recognizers: tuple[RecognizerConfig, ...] = ()
    si_snr: float = 0.0
    log_mel: float = 0.0
    over_suppression: float = 0.0
    pesq_like: float = 0.0
    dnsmos_ovrl: float = 0.0
    dnsmos_folder: Path | None = None
    distillation: float = 0.0
    teachers: tuple[ModelSource, ...] = ()

    def __post_init__(self) -> None:
        _check(self)
        if self.distillation and not self.teachers:
            raise ConfigError("loss: distillation needs models to learn from: name them in teachers")
        if self.dnsmos_ovrl and self.dnsmos_folder is None:
            raise ConfigError("loss: dnsmos_ovrl needs the network of DNSMOS P.835: name its folder in dnsmos_folder")


@dataclass(frozen=True)
class ValidationConfig:
    """When and on how much the network is judged, on held-out speakers, noises and rooms.

    Attributes:
        every_steps: steps between validations; there is one more at the end.
        mixtures: number of fixed mixtures.
        seconds: length of each.
        snr_db: drawn evenly from this range.
    """

    every_steps: int = 1000
    mixtures: int = 32
    seconds: float = 5.0
    snr_db: Range = (-5.0, 20.0)

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class TrainConfig:
    """All settings of one training run; see the parts.

    Attributes:
        output: folder for checkpoint, log and weights.
        network: which one is trained, its `ModelSpec.name`.
        start: a model of that network to begin from, name or path, to adapt it to other data; None is random weights.
        cache: folder for decoded audio, so that a restart begins at once. Other recordings leave another file there;
            all may be deleted between runs.
        checkpoint_every_s: seconds between checkpoints.
    """

    output: Path
    corpora: tuple[CorpusConfig, ...]
    network: str = "gtcrn"
    start: ModelSource | None = None
    cache: Path = Path("cache")
    held_out: HeldOutConfig = field(default_factory=HeldOutConfig)
    mixing: MixingConfig = field(default_factory=MixingConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    checkpoint_every_s: float = 120.0

    def __post_init__(self) -> None:
        trainable = [name for name, network in NETWORKS.items() if network.module]
        if self.network not in trainable:
            raise ConfigError(f"network: expected one of {', '.join(trainable)}, got {self.network!r}")


def _check(settings: MixingConfig | OptimConfig | LossConfig | ValidationConfig | HeldOutConfig) -> None:
    """Refuses shares outside [0, 1], counts and durations that are not positive, weights below 0, falling ranges."""
    for item in dataclasses.fields(settings):
        name, value = item.name, getattr(settings, item.name)
        if name.endswith(("_prob", "_fraction")) or (isinstance(settings, HeldOutConfig) and isinstance(value, float)):
            valid, expected = 0 <= value <= 1, "a number from 0 to 1"
        elif isinstance(settings, LossConfig) and isinstance(value, float):
            valid, expected = value >= 0, "0 or more"
        elif name in POSITIVE:
            valid, expected = value > 0, "more than 0"
        elif item.type == "Range":
            valid, expected = value[0] <= value[1], "[lowest, highest]"
        else:
            continue
        if not valid:
            raise ConfigError(f"{name}: expected {expected}, got {value}")
