import io
import os
import struct
import subprocess
import sys
import threading

import numpy as np
import pytest
import soundfile

from gtcrn_frontend import AudioFormatError
from gtcrn_frontend.audio import output_format
from gtcrn_frontend.audio.io import audio_writer, container_of, open_audio, read_blocks

RATE = 16000


@pytest.fixture(scope="module")
def speech(audio_folder):
    return soundfile.read(audio_folder / "speech_a.flac", dtype="float32")[0][: 2 * RATE]


def encoded(samples, container, subtype=None):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format=container, subtype=subtype)
    return buffer.getvalue()


def read(source):
    with open_audio(source) as audio:
        return np.concatenate(list(read_blocks(audio)))


CUTTABLE = [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "PCM_U8"), ("WAV", "ALAW"), ("AIFF", "PCM_16")]
CUTTABLE += [("AU", "PCM_16"), ("FLAC", "PCM_16"), ("MP3", "MPEG_LAYER_III"), ("RF64", "PCM_16"), ("W64", "FLOAT")]
CUTTABLE += [("AVR", "PCM_16"), ("AVR", "PCM_S8"), ("MAT4", "PCM_16"), ("MAT4", "DOUBLE"), ("MAT5", "PCM_U8")]
CUTTABLE += [("MAT5", "FLOAT"), ("MPC2K", "PCM_16")]
CUTTABLE += [("NIST", "PCM_16"), ("VOC", "PCM_16"), ("SVX", "PCM_16"), ("CAF", "PCM_16"), ("WAVEX", "PCM_24")]


@pytest.mark.parametrize(("container", "subtype"), CUTTABLE)
def test_a_file_that_is_cut_short_is_an_error(tmp_path, speech, container, subtype):
    data = encoded(speech, container, subtype)
    path = tmp_path / "some.audio"
    path.write_bytes(data)
    assert len(read(path)) == len(speech)
    path.write_bytes(data[: len(data) * 2 // 3])
    reason = "malformed" if container == "CAF" else "truncated"
    with pytest.raises(AudioFormatError, match=rf"some\.audio: .*{reason}"):
        read(path)


@pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
@pytest.mark.parametrize("container", ["MAT4", "MAT5"])
@pytest.mark.parametrize("channels", [1, 2])
def test_matrices_of_either_byte_order_are_whole_or_not(speech, container, endian, channels):
    for frames in (len(speech), len(speech) - 1):
        samples = np.repeat(speech[:frames, np.newaxis], channels, axis=1)
        buffer = io.BytesIO()
        soundfile.write(buffer, samples, RATE, format=container, subtype="PCM_16", endian=endian)
        data = buffer.getvalue()
        assert len(read(data)) == frames
        with pytest.raises(AudioFormatError, match="truncated"):
            read(data[:-2])


@pytest.mark.parametrize(("container", "subtype"), [("IRCAM", "PCM_16"), ("PVF", "PCM_16"), ("PAF", "PCM_16")])
def test_a_format_without_a_length_in_its_header_ends_where_it_ends(speech, container, subtype):
    data = encoded(speech, container, subtype)
    assert len(read(data)) == len(speech)
    cut = read(data[:-2000])
    np.testing.assert_array_equal(cut, read(data)[:-1000])


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_without_end_is_read_with_a_warning(speech, caplog, subtype):
    data = encoded(speech, "OGG", subtype)
    assert len(read(data)) == len(speech)
    assert not caplog.records
    found = len(read(data[: len(data) * 2 // 3]))
    assert 0 < found < len(speech)
    assert f"as in a truncated file: reading the {found / RATE:.2f} s that are there" in caplog.text


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0x7FFFF000])
def test_a_wave_file_from_a_pipe_has_no_size_and_is_whole(speech, size):
    data = bytearray(encoded(speech, "WAV"))
    data[4:8] = min(size + 36, 0xFFFFFFFF).to_bytes(4, "little")
    data[40:44] = size.to_bytes(4, "little")
    assert len(read(bytes(data))) == len(speech)


def test_a_header_without_its_samples_is_an_error(speech):
    with pytest.raises(AudioFormatError, match="truncated"):
        read(encoded(speech, "WAV")[:44])


def test_containers_by_suffix(tmp_path):
    assert [
        container_of(tmp_path / name) for name in ("a.wav", "a.WAV", "a.b.opus", "a.sph", "wav", "a.txt", "a.m4a")
    ] == [
        *("WAV", "WAV", "OGG", "NIST"),
        *(None, None, None),
    ]


def test_opus_files_hold_opus(tmp_path, speech):
    with audio_writer(tmp_path / "a.opus", RATE, 1, "PCM_16") as write:
        write(speech)
    assert soundfile.info(tmp_path / "a.opus").subtype == "OPUS"


def test_what_a_container_cannot_hold_names_the_output(tmp_path, speech):
    with (
        pytest.raises(AudioFormatError, match=r"out\.opus \(OGG, OPUS\)"),
        audio_writer(tmp_path / "out.opus", 44100, 1, ""),
    ):
        pytest.fail("opened")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_blames_the_output(tmp_path, speech):
    pytest.importorskip("resource", reason="no limits for files on this platform")
    source = tmp_path / "in.wav"
    soundfile.write(source, np.tile(speech, 5), RATE)
    script = """
import resource, sys
from gtcrn_frontend.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))  # the write fails as on a full disk
sys.exit(main(["enhance", sys.argv[1], "-o", sys.argv[2]]))
"""
    command = [sys.executable, "-c", script, str(source), str(tmp_path / "out.wav")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"gtcrn-frontend: cannot write {tmp_path / 'out.wav'} (WAV")
    assert "File too large" in last
    assert [path.name for path in tmp_path.iterdir()] == ["in.wav"]


def of_killed_recorder(container, speech):
    """A file whose header was never completed: its sizes are 0."""
    data = bytearray(encoded(speech, container, "PCM_16"))
    zeroed = {
        "WAV": [(4, 4), (40, 4)],
        "RF64": [(20, 24)],
        "W64": [(16, 8), (96, 8)],
        "AIFF": [(4, 4), (22, 4), (42, 4)],
        "AU": [(8, 4)],
    }
    for start, count in zeroed[container]:
        data[start : start + count] = bytes(count)
    return bytes(data)


@pytest.mark.parametrize("container", ["WAV", "RF64", "W64", "AIFF", "AU"])
def test_what_a_killed_recorder_leaves_is_read_with_a_warning(tmp_path, speech, caplog, container):
    data = of_killed_recorder(container, speech)
    path = tmp_path / "killed"
    path.write_bytes(data)
    expected = read(encoded(speech, container, "PCM_16"))
    for source in (path, data):
        caplog.clear()
        np.testing.assert_array_equal(read(source), expected)
        assert "header announces no samples" in caplog.text
    assert path.read_bytes() == data


@pytest.mark.parametrize("container", ["WAV", "AIFF", "RF64", "W64"])
def test_a_file_that_is_really_empty_has_no_samples(caplog, container):
    with open_audio(encoded(np.empty(0, np.float32), container, "PCM_16")) as audio:
        assert audio.frames == 0
    assert not caplog.records


def test_a_wave_file_without_samples_may_have_other_chunks(caplog):
    data = bytearray(encoded(np.empty(0, np.float32), "WAV", "PCM_16"))
    data += b"LIST\x04\x00\x00\x00INFO"
    with open_audio(bytes(data)) as audio:
        assert audio.frames == 0
    assert not caplog.records


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_chained_ogg_is_refused_with_the_way_to_convert_it(tmp_path, speech, subtype):
    data = encoded(speech, "OGG", subtype)
    (tmp_path / "two.ogg").write_bytes(data + encoded(speech[:8000], "OGG", subtype))
    with pytest.raises(AudioFormatError, match=r"chained.*ffmpeg -i '.*two\.ogg'"):
        read(tmp_path / "two.ogg")


def test_joined_mp3_is_refused(speech):
    data = encoded(speech, "MP3")
    assert len(read(data)) == len(speech)
    with pytest.raises(AudioFormatError, match="several MP3 files"):
        read(data + encoded(speech, "MP3"))
    tag = b"TAG" + bytes(125)
    assert len(read(data + tag)) == len(speech)


def test_mp3_files_joined_behind_a_tag_are_refused(speech):
    """As `cat a.mp3 b.mp3` writes them, whose tags are at the end (ID3v1) or at the beginning (ID3v2)."""
    data = encoded(speech, "MP3")
    for tag in (b"TAG" + bytes(125), b"ID3\x03\x00\x00\x00\x00\x00\x14" + bytes(20)):
        with pytest.raises(AudioFormatError, match="several MP3 files"):
            read(data + tag + data)


ID3V2 = b"ID3\x03\x00\x00\x00\x00\x00\x14" + bytes(20)
LOUD, QUIET = np.random.default_rng(0).normal(0, 0.3, 4 * RATE).astype(np.float32), np.zeros(16 * RATE, np.float32)


def vbr(samples, kind="none"):
    """Returns an MP3 of variable bit rate: without index, or with one that does not tell its length."""
    buffer = io.BytesIO()
    settings = {"bitrate_mode": "VARIABLE", "compression_level": 0.3}
    soundfile.write(buffer, samples, RATE, format="MP3", subtype="MPEG_LAYER_III", **settings)
    data = bytearray(buffer.getvalue())
    second_frame = data.find(data[:2], 4)
    at = max(data.find(b"Xing", 0, second_frame), data.find(b"Info", 0, second_frame))
    assert at == 13, "side information of 9 bytes: MPEG 2, mono"
    if kind == "none":
        return bytes(data[second_frame:])
    if kind == "killed":  # the encoder writes the numbers at the end
        data[at + 8 : at + 16] = bytes(8)
    elif kind == "empty":
        data[at + 4 : at + 8] = bytes(4)
    elif kind == "VBRI":  # Fraunhofer's; libsndfile does not read it
        data[at : at + 60] = bytes(60)
        data[36:54] = b"VBRI" + struct.pack(">HHHII", 1, 0, 75, len(data), len(samples) // 576)
    return bytes(data)


@pytest.mark.parametrize("kind", ["none", "killed", "empty", "VBRI"])
@pytest.mark.parametrize("order", ["loud first", "quiet first"])
def test_an_mp3_that_does_not_tell_its_length_is_read_to_its_end(tmp_path, kind, order):
    """libsndfile estimates its length from the bit rate of the first frame; where that is too low, it stops there."""
    samples = np.concatenate([LOUD, QUIET, LOUD] if order == "loud first" else [QUIET, LOUD])
    data = vbr(samples, kind)
    (tmp_path / "a.mp3").write_bytes(data)
    estimate = soundfile.info(tmp_path / "a.mp3").frames
    assert not 0.6 < estimate / len(samples) < 1.5
    for source in (tmp_path / "a.mp3", data, ID3V2 + data, data + b"TAG" + bytes(125)):
        with open_audio(source) as audio:
            found = np.concatenate(list(read_blocks(audio)))
            assert len(found) == audio.frames
            audio.seek(len(found) - 10_000)
            np.testing.assert_allclose(audio.read(dtype="float32"), found[-10_000:], rtol=0, atol=1e-6)
        assert 0 <= len(found) - len(samples) < 5 * 576
        assert np.std(found[-RATE // 2 : -RATE // 4]) == pytest.approx(0.3, rel=0.1), "the end is there"


def test_an_mp3_in_a_wave_file_is_read_to_its_end():
    samples = np.concatenate([LOUD, QUIET, LOUD])
    data = vbr(samples)
    kind = struct.pack("<HHIIHHH", 0x55, 1, RATE, 4000, 1, 0, 12) + struct.pack("<HIHHH", 1, 2, 144, 1, 0)
    chunks = b"".join(
        name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
        for name, content in ((b"fmt ", kind), (b"fact", struct.pack("<I", len(samples))), (b"data", data))
    )
    wave = b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks
    assert soundfile.info(io.BytesIO(wave)).frames < len(samples) / 2
    np.testing.assert_array_equal(read(wave), read(data))


@pytest.mark.parametrize("junk", [bytes(3000), b"\xff" * 3000, b"cut"])
def test_junk_behind_an_mp3_costs_none_of_its_audio(tmp_path, caplog, junk):
    data = vbr(np.concatenate([LOUD, QUIET, LOUD]))
    whole = read(data)
    frame = data.rfind(data[:2])
    for odd, expected in ((data + junk, whole), (data[:-10], whole[:-576]), (data[:frame] + junk, whole[:-576])):
        caplog.clear()
        np.testing.assert_array_equal(read(odd), expected)
        assert len(junk) < 100 or "no whole MP3 frame" in caplog.text
    middle = len(data) // 2
    with pytest.raises(AudioFormatError, match="damaged or truncated"):
        read(data[:middle] + (junk * 10_000)[:30_000] + data[middle:])


def test_an_index_that_announces_too_little_is_refused(tmp_path):
    """Of frames alone, since the bytes would show it at once."""
    samples = np.concatenate([LOUD, QUIET, LOUD])
    data = bytearray(vbr(samples, "whole"))
    frames = int.from_bytes(data[21:25], "big")
    data[17:21], data[25:29] = (1).to_bytes(4, "big"), bytes(4)
    assert len(read(bytes(data))) >= len(samples)
    data[21:25] = (frames // 2).to_bytes(4, "big")
    (tmp_path / "a.mp3").write_bytes(data)
    with pytest.raises(AudioFormatError, match=r"a\.mp3: expected the number of frames .* ffmpeg -i"):
        read(tmp_path / "a.mp3")


def test_counting_ends_at_a_limit():
    for data in (vbr(np.concatenate([LOUD, QUIET, LOUD])), without_length(encoded(LOUD, "FLAC"))):
        with open_audio(data, most_frames=1000) as audio:
            assert 1000 < audio.frames < len(LOUD) * 6


def without_length(flac):
    """What ffmpeg writes to a pipe: a FLAC file whose header does not tell the number of samples."""
    data = bytearray(flac)
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    return bytes(data)


def test_a_flac_without_its_length_is_read_and_measured(tmp_path, speech):
    data = without_length(encoded(speech, "FLAC"))
    path = tmp_path / "a.flac"
    path.write_bytes(data)
    expected = read(encoded(speech, "FLAC"))
    for source in (data, path):
        np.testing.assert_array_equal(read(source), expected)
        with open_audio(source) as audio:
            assert audio.frames == len(speech)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(AudioFormatError, match=r"a\.flac: damaged or truncated"):
        read(path)


def test_a_pipe_is_a_file_like_any_other(tmp_path, speech):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for data in (encoded(speech, "WAV"), encoded(speech, "FLAC"), encoded(speech, "OGG")):
        writer = threading.Thread(target=pipe.write_bytes, args=[data])
        writer.start()
        samples = read(pipe)
        writer.join()
        assert len(samples) == len(speech)
    writer = threading.Thread(target=pipe.write_bytes, args=[b""])
    writer.start()
    with pytest.raises(AudioFormatError, match=r"pipe: .*empty"):
        read(pipe)
    writer.join()
    with pytest.raises(AudioFormatError, match="device"):
        read("/dev/null")


FOREIGN = {
    "a.m4a": b"\x00\x00\x00\x20ftypM4A \x00\x00\x00\x00" + bytes(100),
    "a.webm": b"\x1aE\xdf\xa3" + bytes(100),
    "a.amr": b"#!AMR\n" + bytes(100),
    "a.aac": (b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(9)) * 4,
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_libsndfile_cannot_decode_is_named_with_the_way_to_convert_it(tmp_path, name, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / name).write_bytes(FOREIGN[name])
    with pytest.raises(AudioFormatError, match=rf"ffmpeg -i '.*{name}' '.*a\.wav'"):
        read(tmp_path / name)


def written(path, samples, frames):
    with audio_writer(path, RATE, 1, "PCM_16", frames) as write:
        write(samples)
    return path.read_bytes()[:4]


def test_wave_files_that_may_exceed_4_gib_are_rf64(tmp_path, speech):
    path = tmp_path / "a.wav"
    assert written(path, speech, len(speech)) == b"RIFF"
    assert written(path, speech, 1 << 31) == b"RF64"
    expected = read(encoded(speech, "WAV"))
    np.testing.assert_array_equal(read(path), expected)
    assert written(path, speech, None) == b"RIFF"  # began as RF64 and stayed small
    np.testing.assert_array_equal(read(path), expected)


def test_other_containers_of_32_bits_refuse_more(tmp_path, speech, monkeypatch):
    with pytest.raises(AudioFormatError, match=r"a\.aiff .*at most .*\.w64"):
        written(tmp_path / "a.aiff", speech, 1 << 31)
    monkeypatch.setitem(output_format._MAX_BYTES, "AIFF", 80_000)
    with pytest.raises(AudioFormatError, match=r"a\.aiff .*at most"):
        written(tmp_path / "a.aiff", speech, None)
    assert not list(tmp_path.iterdir())
