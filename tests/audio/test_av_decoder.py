"""Files that libsndfile cannot decode, made and read with the real PyAV."""

import av
import numpy as np
import pytest
import soundfile

from gtcrn_frontend import AudioFormatError, enhance_file
from gtcrn_frontend.audio import io
from gtcrn_frontend.audio.io import open_audio, read_blocks
from gtcrn_frontend.cli.main import main
from gtcrn_frontend.install_hint import install_hint

RATE = 48_000
KINDS = {"m4a": ("ipod", "aac"), "aac": ("adts", "aac"), "webm": ("webm", "libopus"), "mp4": ("mp4", "aac")}


def tone(channels=1):
    time_s = np.arange(2 * RATE) / RATE
    return np.stack([0.3 * np.sin(2 * np.pi * 440 * (1 + number) * time_s) for number in range(channels)], 1)


def write(path, samples, kind):
    container_name, codec = KINDS[kind]
    channels = samples.shape[1]
    with av.open(str(path), "w", format=container_name) as container:
        stream = container.add_stream(codec, rate=RATE, layout="mono" if channels == 1 else "stereo")
        frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16).reshape(1, -1), "s16", stream.layout.name)
        frame.rate, frame.pts = RATE, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


def read(source):
    with open_audio(source) as audio:
        blocks = np.concatenate(list(read_blocks(audio)))
        assert (audio.samplerate, len(blocks)) == (RATE, audio.frames)
    return blocks


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_what_libsndfile_cannot_decode_is_decoded(tmp_path, kind, channels):
    samples = tone(channels)
    got = read(write(tmp_path / f"a.{kind}", samples, kind))
    assert got.dtype == np.int16
    assert abs(len(got) - len(samples)) <= 3072, "encoders pad to whole frames"
    middle = got.reshape(len(got), -1)[RATE // 2 : RATE] / 32768
    for number in range(channels):
        spectrum = np.abs(np.fft.rfft(middle[:, number] * np.hanning(len(middle))))
        assert np.argmax(spectrum) * 2 == 440 * (1 + number)
        assert np.sqrt(2 * np.mean(middle[:, number] ** 2)) == pytest.approx(0.3, abs=0.03)


def test_the_content_decides_and_not_the_name(tmp_path):
    path = write(tmp_path / "a.m4a", tone(), "m4a").rename(tmp_path / "a.wav")
    assert len(read(path)) > RATE
    assert len(read(path.read_bytes())) > RATE
    with path.open("rb") as file:
        assert len(read(file)) > RATE


def test_a_position_can_be_chosen(tmp_path):
    path = write(tmp_path / "a.m4a", tone(), "m4a")
    whole = read(path)
    with open_audio(path) as audio:
        audio.seek(12_345)
        np.testing.assert_array_equal(audio.read(100, dtype="int16"), whole[12_345:12_445])


@pytest.mark.parametrize(("kind", "kept"), [("m4a", 0.6), ("webm", 0.6), ("mp4", 0.3)])
def test_one_that_is_cut_is_an_error(tmp_path, kind, kept):
    path = write(tmp_path / f"a.{kind}", tone(), kind)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(AudioFormatError, match=rf"a\.{kind}: .*truncated"):
        read(path)


def test_a_playlist_is_not_followed(tmp_path):
    """FFmpeg would open what a playlist names, whatever the suffix of the list."""
    write(tmp_path / "secret.aac", tone(), "aac")
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{tmp_path / 'secret.aac'}\n#EXT-X-ENDLIST\n"
    for name in ("list.avi", "list.m4a"):
        (tmp_path / name).write_text(playlist)
        with pytest.raises(AudioFormatError, match=name):
            read(tmp_path / name)


def test_a_video_without_sound_says_so(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        for packet in [*stream.encode(av.VideoFrame(64, 64, "yuv420p")), *stream.encode(None)]:
            container.mux(packet)
    with pytest.raises(AudioFormatError, match=r"a\.mp4: expected a file with audio, found none"):
        read(path)


def test_files_and_folders_are_enhanced(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    path = write(folder / "a.m4a", tone(2), "m4a")
    samples = enhance_file(path, tmp_path / "a.wav")
    assert samples.shape == read(path).shape
    assert soundfile.info(tmp_path / "a.wav").subtype == "PCM_16"
    assert main(["enhance", str(folder), "-o", str(tmp_path / "out")]) == 0
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["a.wav"]


def test_without_it_the_message_names_both_ways(tmp_path, monkeypatch):
    monkeypatch.setattr(io, "is_av_installed", lambda: False)
    path = write(tmp_path / "a.m4a", tone(), "m4a")
    with pytest.raises(AudioFormatError, match=r"got MP4 \(m4a\): convert it, ffmpeg -i '.*', or") as error:
        read(path)
    assert str(error.value).endswith(install_hint("av"))
