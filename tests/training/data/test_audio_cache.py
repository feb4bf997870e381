from pathlib import Path

import numpy as np
import pytest
import soundfile

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.training.data import audio_cache
from gtcrn_frontend.training.data.audio_cache import open_audio_cache

RATE = 16000


def test_two_runs_may_fill_the_same_cache_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, RATE).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", noise, RATE, subtype="FLOAT")
    decode, others = audio_cache._decode, []

    def decode_while_another_run_does(path: Path, sample_rate: int) -> audio_cache.Samples:
        monkeypatch.setattr(audio_cache, "_decode", decode)
        others.append(open_audio_cache([path], tmp_path / "cache", sample_rate))
        return decode(path, sample_rate)

    monkeypatch.setattr(audio_cache, "_decode", decode_while_another_run_does)
    opened = open_audio_cache([tmp_path / "a.wav"], tmp_path / "cache", RATE)
    for one in (opened, *others):
        np.testing.assert_allclose(one.read(0, 0, RATE), noise, atol=1e-4)
    assert sorted(path.suffix for path in (tmp_path / "cache").iterdir()) == [".int16", ".json"]


def test_it_holds_what_the_files_hold(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (RATE, 2))
    names = {"a.wav": "PCM_16", "b.flac": "PCM_16", "c.wav": "FLOAT"}
    for name, subtype in names.items():
        soundfile.write(tmp_path / name, noise, RATE, subtype=subtype)
    opened = open_audio_cache([tmp_path / name for name in names], tmp_path / "cache", RATE)
    for number, name in enumerate(names):
        expected = soundfile.read(tmp_path / name, dtype="float32")[0][:, 0]
        np.testing.assert_allclose(opened.read(number), expected, atol=(0 if name != "c.wav" else 0.5) / 32768)


def test_files_that_lost_their_end_or_their_length(tmp_path: Path) -> None:
    """What a killed recorder leaves is read to its end; what was cut is refused."""
    soundfile.write(tmp_path / "a.wav", np.full(RATE, 0.25), RATE)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    (tmp_path / "cut.wav").write_bytes(data[: len(data) // 2])
    data[40:44] = bytes(4)
    (tmp_path / "killed.wav").write_bytes(data)
    opened = open_audio_cache([tmp_path / "killed.wav"], tmp_path / "cache", RATE)
    assert opened.length(0) == RATE
    with pytest.raises(ConfigError, match=r"cannot decode .*cut\.wav: truncated .*; remove it from the corpus"):
        open_audio_cache([tmp_path / "cut.wav"], tmp_path / "cache", RATE)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"\xff", b"null", 5000 * b"["),
        b'{"offsets": [0, 5], "snr_db": [1]}',
        b'{"offsets": "a", "snr_db": []}',
        b'{"offsets": [0, 1%s], "snr_db": [1]}' % (5000 * b"0"),
        b'{"offsets": [16000, 0], "snr_db": [1]}',
    ],
)
def test_a_damaged_index_is_made_again(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(RATE, 0.25), RATE)
    open_audio_cache([tmp_path / "a.wav"], tmp_path / "cache", RATE)
    (index,) = (tmp_path / "cache").glob("*.json")
    whole = index.read_bytes()
    index.write_bytes(content)
    assert open_audio_cache([tmp_path / "a.wav"], tmp_path / "cache", RATE).length(0) == RATE
    assert index.read_bytes() == whole
    assert "damaged, decoding again" in caplog.text


def test_data_that_were_cut_are_made_again(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(RATE, 0.25), RATE)
    open_audio_cache([tmp_path / "a.wav"], tmp_path / "cache", RATE)
    (data,) = (tmp_path / "cache").glob("*.int16")
    data.write_bytes(data.read_bytes()[:100])
    np.testing.assert_allclose(open_audio_cache([tmp_path / "a.wav"], tmp_path / "cache", RATE).read(0), 0.25)
