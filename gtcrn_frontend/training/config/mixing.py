"""Settings of training examples: mixtures of speech, noise and rooms."""

from __future__ import annotations

from dataclasses import dataclass

from gtcrn_frontend.deprecation import renamed_fields
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.settings import check_settings, document_settings, setting
from gtcrn_frontend.training.config.types import Range

SYNTHETIC_KINDS = ("coloured", "modulated", "hum", "clicks", "tones", "wind", "music", "chirps", "engines", "impacts")
DEGRADATIONS = ("noise", "compression")


@document_settings
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
    """Composition of a training example. `..._prob` are probabilities; ranges are drawn from uniformly."""

    segment_s: float = setting(3.0, above=0, unit="s", help="length of an example")
    snr_db: Range = setting(
        (-5.0, 25.0), ascending=True, unit="dB", help="range of the active speech level over the noise level"
    )
    level_db: tuple[float, float, float, float] = setting(
        (-26.0, 7.0, -45.0, -3.0),
        unit="dB",
        help="mean, standard deviation, lowest and highest level of the active speech, relative to full scale",
    )
    clean_prob: float = setting(0.03, low=0, high=1, help="of examples without noise")
    noise_only_prob: float = setting(0.03, low=0, high=1, help="of examples without speech")
    synthetic_prob: float = setting(
        0.25, low=0, high=1, help="of synthetic instead of recorded noise; a sixth of it is babble"
    )
    synthetic_kinds: tuple[str, ...] = setting(
        SYNTHETIC_KINDS,
        choices=SYNTHETIC_KINDS,
        help="kinds of synthetic noise beside babble, each drawn as often as it is listed; leave music out if it is to "
        "be kept",
    )
    second_noise_prob: float = setting(0.25, low=0, high=1, help="of a second noise recording on top of the first")
    reverb_prob: float = setting(0.3, low=0, high=1, help="of reverberant examples")
    synthetic_room_prob: float = setting(
        0.5, low=0, high=1, help="of a simulated instead of a measured room in reverberant examples"
    )
    shoebox_prob: float = setting(
        0.5, low=0, high=1, help="of the image source method for simulated rooms; the others are decaying noise"
    )
    equalise_prob: float = setting(0.5, low=0, high=1, help="of random equalisation, for speech and noise each")
    speed_prob: float = setting(0.3, low=0, high=1, help="of another speed and so another pitch")
    band_limit_prob: float = setting(0.08, low=0, high=1, help="of a low-pass filter at 3.4 to 6 kHz")
    clip_prob: float = setting(
        0.03, low=0, high=1, help="of mixtures clipped as by an overdriven microphone; the target is not clipped"
    )
    telephone_prob: float = setting(
        0.0, low=0, high=1, help="of examples transmitted over a telephone line, see `augment.telephone`"
    )
    min_speech_snr_db: float = setting(
        0.0,
        unit="dB",
        help="speech recordings whose loud frames exceed their quiet ones by less are left out: the network would "
        "learn to keep their background",
    )
    degradation: str = setting(
        "noise",
        choices=DEGRADATIONS,
        help="task: noise, to remove noise and reverberation; compression, to restore speech that is clipped or "
        "coarsely quantised (`augment.degradation`), without noise, at varied level, colour and speed",
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.synthetic_kinds:
            raise ConfigError(f"synthetic_kinds: expected at least one of {', '.join(SYNTHETIC_KINDS)}, got none")
