"""The sample format of outputs: whatever is promised can be written, and read again."""

import numpy as np
import pytest
import soundfile

from gtcrn_frontend import AudioFormatError
from gtcrn_frontend.audio.io import audio_writer
from gtcrn_frontend.audio.output_format import container_of, output_format

SUBTYPES = list(soundfile.available_subtypes())
NEAREST = [
    ("a.wav", 1, 16000, "MPEG_LAYER_III", "PCM_16"),
    ("a.wav", 1, 16000, "VORBIS", "PCM_16"),
    ("a.wav", 1, 8000, "GSM610", "GSM610"),
    ("a.wav", 2, 8000, "GSM610", "PCM_16"),
    ("a.wav", 2, 8000, "G721_32", "PCM_16"),
    ("a.wav", 2, 8000, "NMS_ADPCM_16", "PCM_16"),
    ("a.ogg", 1, 22050, "OPUS", "VORBIS"),
    ("a.ogg", 1, 16000, "OPUS", "OPUS"),
    ("a.flac", 2, 16000, "FLOAT", "PCM_24"),
    ("a.flac", 1, 16000, "PCM_U8", "PCM_S8"),
    ("a.wav", 1, 16000, "PCM_S8", "PCM_U8"),
    ("a.mp3", 1, 16000, "PCM_16", "MPEG_LAYER_III"),
]


@pytest.mark.parametrize(("name", "channels", "rate", "subtype", "expected"), NEAREST)
def test_the_nearest_format(tmp_path, name, channels, rate, subtype, expected):
    assert output_format(tmp_path / name, rate, channels, subtype)[1] == expected


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "opus", "mp3", "aiff", "au", "caf", "w64", "rf64"])
@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (22050, 1), (44100, 2), (48000, 2)])
def test_each_input_format_has_an_output_format_that_can_be_written(tmp_path, suffix, rate, channels):
    path = tmp_path / f"a.{suffix}"
    samples = np.zeros((rate // 10, channels), np.float32)
    if suffix == "opus" and rate in (22050, 44100):
        with pytest.raises(AudioFormatError, match=r"a\.opus .*48000 Hz: choose one with output_sample_rate"):
            output_format(path, rate, channels, "PCM_16")
        return
    for subtype in sorted({output_format(path, rate, channels, subtype)[1] for subtype in SUBTYPES}):
        with audio_writer(path, rate, channels, subtype) as write:
            write(samples)
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (rate, channels, subtype)


def test_too_many_channels_are_refused_by_name(tmp_path):
    with pytest.raises(AudioFormatError, match=r"a\.mp3 \(MP3, MPEG_LAYER_III\): .*3 channels"):
        output_format(tmp_path / "a.mp3", 16000, 3, "PCM_16")
    assert container_of(tmp_path / "a.MP3") == "MP3"
