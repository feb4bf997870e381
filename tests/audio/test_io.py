import io
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from gtcrn_frontend import AudioFormatError
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
CUTTABLE += [("AU", "PCM_16"), ("FLAC", "PCM_16"), ("MP3", "MPEG_LAYER_III")]


@pytest.mark.parametrize(("container", "subtype"), CUTTABLE)
def test_a_file_that_is_cut_short_is_an_error(tmp_path, speech, container, subtype):
    data = encoded(speech, container, subtype)
    path = tmp_path / "some.audio"
    path.write_bytes(data)
    assert len(read(path)) == len(speech)
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(AudioFormatError, match=r"some\.audio: .*truncated"):
        read(path)


def test_an_ogg_without_end_is_read_with_a_warning(speech, caplog):
    data = encoded(speech, "OGG")
    assert len(read(data)) == len(speech)
    assert not caplog.records
    assert 0 < len(read(data[: len(data) * 2 // 3])) < len(speech)
    assert "truncated" in caplog.text


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
    assert done.stderr.strip().splitlines()[-1].startswith(f"gtcrn-frontend: cannot write {tmp_path / 'out.wav'} (WAV")
    assert [path.name for path in tmp_path.iterdir()] == ["in.wav"]
