import io
import os

import numpy as np
import pytest
import soundfile

from gtcrn_frontend import AudioFormatError, ConfigError, Enhancer, EnhancerConfig
from gtcrn_frontend.audio.io import open_audio
from gtcrn_frontend.file_enhancement import enhance_file, enhancer_for, write_enhanced

RATE = 16000


@pytest.fixture(scope="module")
def speech(audio_folder):
    return soundfile.read(audio_folder / "speech_a.flac", dtype="float32")[0][:RATE]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write(path, source, config=None):
    with open_audio(source) as audio:
        enhancer = enhancer_for(audio, config or EnhancerConfig())
    return write_enhanced(source, path, enhancer, lambda frames: None)


FORMATS = [
    ("wav", "PCM_16"),
    ("wav", "PCM_24"),
    ("wav", "PCM_32"),
    ("wav", "FLOAT"),
    ("wav", "DOUBLE"),
    ("wav", "PCM_U8"),
    ("wav", "ALAW"),
    ("wav", "ULAW"),
    ("flac", "PCM_16"),
    ("flac", "PCM_24"),
    ("ogg", "VORBIS"),
    ("ogg", "OPUS"),
    ("mp3", "MPEG_LAYER_III"),
    ("aiff", "PCM_16"),
]


@pytest.mark.parametrize(("suffix", "subtype"), FORMATS)
@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (48000, 2), (8000, 1)])
def test_every_format_keeps_rate_channels_length_and_subtype(tmp_path, speech, suffix, subtype, rate, channels):
    source, target = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    samples = speech if channels == 1 else np.stack([speech, 0.5 * speech], axis=1)
    soundfile.write(source, samples, rate, subtype=subtype)
    write(target, source)
    before, after = soundfile.info(source), soundfile.info(target)
    assert (after.samplerate, after.channels, after.subtype) == (before.samplerate, before.channels, subtype)
    assert after.frames == before.frames


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_strength_0_copies_exactly(tmp_path, speech, subtype):
    soundfile.write(tmp_path / "in.wav", speech, RATE, subtype=subtype)
    write(tmp_path / "out.wav", tmp_path / "in.wav", EnhancerConfig(strength=0))
    dtype = "int16" if subtype == "PCM_16" else "float32"
    np.testing.assert_array_equal(*(soundfile.read(tmp_path / name, dtype=dtype)[0] for name in ("in.wav", "out.wav")))


def test_a_long_file_is_read_in_blocks_with_the_same_result(tmp_path, speech):
    long = np.tile(speech, 11)
    soundfile.write(tmp_path / "in.wav", long, RATE, subtype="FLOAT")
    counted = []
    write_enhanced(tmp_path / "in.wav", tmp_path / "out.wav", Enhancer(), counted.append)
    assert len(counted) > 1
    assert sum(counted) == len(long)
    out = soundfile.read(tmp_path / "out.wav", dtype="float32")[0]
    np.testing.assert_allclose(out, Enhancer().enhance(long), atol=1e-6)


def test_another_container_gets_the_nearest_subtype(tmp_path, speech):
    soundfile.write(tmp_path / "in.wav", speech, RATE, subtype="DOUBLE")
    write(tmp_path / "out.flac", tmp_path / "in.wav")
    assert soundfile.info(tmp_path / "out.flac").subtype == "PCM_24"


def test_lossy_input_becomes_pcm_16(tmp_path, speech):
    soundfile.write(tmp_path / "in.mp3", speech, RATE)
    samples = enhance_file(tmp_path / "in.mp3", tmp_path / "out.wav")
    info = soundfile.info(tmp_path / "out.wav")
    assert (info.subtype, info.frames) == ("PCM_16", len(samples))


def test_what_the_output_cannot_hold_is_said_before_computing(tmp_path, speech, monkeypatch):
    soundfile.write(tmp_path / "in.wav", speech, RATE)
    monkeypatch.setattr(Enhancer, "process_chunk", lambda *_: pytest.fail("computed"))
    for name, reason in (("a.opus", "44100 Hz"), ("a.xyz", "suffix"), ("nowhere/a.wav", "nowhere")):
        with pytest.raises(AudioFormatError, match=reason):
            enhance_file(tmp_path / "in.wav", tmp_path / name, EnhancerConfig(output_sample_rate=44100))
    assert names(tmp_path) == ["in.wav"]


def test_the_input_is_not_overwritten_unasked(tmp_path, speech):
    path = tmp_path / "in.wav"
    soundfile.write(path, speech, RATE)
    (tmp_path / "link.wav").symlink_to(path)
    before = path.read_bytes()
    for target in (path, tmp_path / "link.wav"):
        with pytest.raises(ConfigError, match="overwrite"):
            enhance_file(path, target)
        with pytest.raises(ConfigError, match="overwrite"):
            write(target, path)
    assert path.read_bytes() == before
    enhanced = enhance_file(path, path, overwrite=True)
    np.testing.assert_array_equal(soundfile.read(path, dtype="int16")[0], enhanced)


def test_file_names_need_not_be_utf_8(tmp_path, speech):
    name = os.fsdecode(b"caf\xe9.wav")
    soundfile.write(tmp_path / "in.wav", speech, RATE)
    (tmp_path / "in.wav").rename(tmp_path / name)
    target = tmp_path / f"out-{name}"
    assert write(target, tmp_path / name) == len(speech)
    assert names(tmp_path) == sorted([name, f"out-{name}"])
    (tmp_path / name).write_bytes(b"no audio")
    with pytest.raises(AudioFormatError) as caught:
        write(target, tmp_path / name)
    assert name in str(caught.value)


def test_output_rate_and_downmix(tmp_path, speech):
    soundfile.write(tmp_path / "in.wav", np.stack([speech, speech], axis=1), 48000)
    write(tmp_path / "out.wav", tmp_path / "in.wav", EnhancerConfig(output_sample_rate=16000, downmix=True))
    info = soundfile.info(tmp_path / "out.wav")
    assert (info.samplerate, info.channels, info.frames) == (16000, 1, -(-len(speech) // 3))


def test_enhance_file_takes_path_bytes_and_file_object(tmp_path, speech):
    path = tmp_path / "in.wav"
    soundfile.write(path, speech, RATE)
    results = [enhance_file(path), enhance_file(str(path)), enhance_file(path.read_bytes())]
    results.append(enhance_file(io.BytesIO(path.read_bytes()), tmp_path / "out.wav"))
    for result in results:
        assert result.dtype == np.int16
        np.testing.assert_array_equal(result, results[0])
    np.testing.assert_array_equal(soundfile.read(tmp_path / "out.wav", dtype="int16")[0], results[0])


def broken_files(tmp_path, speech):
    good = tmp_path / "good.flac"
    soundfile.write(good, speech, RATE)
    data = good.read_bytes()
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("this is no audio")
    (tmp_path / "header.wav").write_bytes(b"RIFF\x24\x00\x00\x00WAVE")
    (tmp_path / "cut.flac").write_bytes(data[: len(data) // 2])
    names = ["empty.wav", "text.wav", "header.wav", "cut.flac", "missing.wav", "."]
    return [tmp_path / name for name in names]


def test_broken_files_are_named_and_leave_nothing_behind(tmp_path, speech):
    for path in broken_files(tmp_path, speech):
        before = names(tmp_path)
        with pytest.raises(AudioFormatError) as caught:
            write(tmp_path / "out.wav", path)
        assert str(path) in str(caught.value)
        assert names(tmp_path) == before


def test_a_file_without_samples_gives_a_file_without_samples(tmp_path):
    soundfile.write(tmp_path / "in.wav", np.empty(0, np.float32), RATE)
    assert write(tmp_path / "out.wav", tmp_path / "in.wav") == 0
    assert soundfile.info(tmp_path / "out.wav").frames == 0


def test_an_unknown_suffix_and_an_unwritable_place_are_named(tmp_path, speech):
    soundfile.write(tmp_path / "in.wav", speech, RATE)
    for target in (tmp_path / "out.xyz", tmp_path / "out", tmp_path / "nowhere" / "out.wav"):
        with pytest.raises(AudioFormatError, match="out"):
            write(target, tmp_path / "in.wav")
    assert names(tmp_path) == ["in.wav"]


def test_an_interrupted_run_keeps_the_old_file(tmp_path, speech):
    soundfile.write(tmp_path / "in.wav", speech, RATE)
    (tmp_path / "out.wav").write_bytes(b"old")

    def interrupt(frames):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_enhanced(tmp_path / "in.wav", tmp_path / "out.wav", Enhancer(), interrupt)
    assert (tmp_path / "out.wav").read_bytes() == b"old"
    assert names(tmp_path) == ["in.wav", "out.wav"]


def test_nan_in_a_float_file_is_reported_with_its_name(tmp_path):
    soundfile.write(tmp_path / "in.wav", np.array([0, np.nan], np.float32), RATE, subtype="FLOAT")
    with pytest.raises(AudioFormatError, match=r"in\.wav.*finite"):
        write(tmp_path / "out.wav", tmp_path / "in.wav")


def test_new_files_have_the_usual_permissions(tmp_path, speech):
    soundfile.write(tmp_path / "in.wav", speech, RATE)
    write(tmp_path / "out.wav", tmp_path / "in.wav")
    assert (tmp_path / "out.wav").stat().st_mode == (tmp_path / "in.wav").stat().st_mode


def test_what_is_no_source_output_or_config_is_refused(tmp_path, speech):
    path = tmp_path / "in.wav"
    soundfile.write(path, speech, RATE)
    closed = path.open("rb")
    closed.close()
    with path.open(encoding="latin1") as text:
        for source in (text, closed, speech, None):
            with pytest.raises(AudioFormatError, match="binary mode"):
                enhance_file(source)
    with pytest.raises(AudioFormatError, match="BytesIO"):
        enhance_file(path, io.BytesIO())
    with pytest.raises(ConfigError, match="from_dict"):
        enhance_file(path, config={"strength": 0.5})


def test_a_link_stays_one_and_a_pipe_is_refused(tmp_path, speech):
    soundfile.write(tmp_path / "in.wav", speech, RATE)
    (tmp_path / "link.wav").symlink_to(tmp_path / "real.wav")
    enhance_file(tmp_path / "in.wav", tmp_path / "link.wav")
    assert (tmp_path / "link.wav").is_symlink()
    assert soundfile.info(tmp_path / "real.wav").frames == len(speech)
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(AudioFormatError, match="pipe"):
        enhance_file(tmp_path / "in.wav", tmp_path / "pipe.wav")
