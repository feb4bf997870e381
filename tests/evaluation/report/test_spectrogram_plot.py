import os
import sys

import numpy as np
import pytest
import soundfile

from gtcrn_frontend import ConfigError
from gtcrn_frontend.cli.main import main
from gtcrn_frontend.evaluation.report.spectrogram_plot import check_plot, draw_comparison, outline

RATE = 16000


def sine(seconds, rate=RATE, hz=1000, amplitude=1.0):
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


@pytest.mark.parametrize("seconds", [1, 10, 40])
@pytest.mark.parametrize("subtype", ["FLOAT", "PCM_16"])
def test_a_sine_of_full_scale_has_0_db_at_its_frequency(tmp_path, seconds, subtype):
    soundfile.write(tmp_path / "a.wav", sine(seconds), RATE, subtype=subtype)
    drawn = outline(tmp_path / "a.wav")
    bin_hz = RATE / 2 / (len(drawn.levels_db) - 1)
    inner = drawn.levels_db[:, :-8]  # the last columns look beyond the end
    assert (inner.argmax(axis=0) * bin_hz == 1000).all()
    np.testing.assert_allclose(inner.max(axis=0), 0, atol=0.1)
    assert drawn.duration_s == pytest.approx(seconds, rel=0.02)
    np.testing.assert_allclose([drawn.lowest.min(), drawn.highest.max()], [-1, 1], atol=1e-3)


def test_columns_follow_time_across_blocks(tmp_path):
    samples = np.zeros(RATE * 9, np.float32)
    samples[RATE * 6 :] = sine(3, amplitude=0.5)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    drawn = outline(tmp_path / "a.wav")
    begins_s = np.flatnonzero(drawn.highest > 0.4)[0] / len(drawn.highest) * drawn.duration_s
    assert begins_s == pytest.approx(6, abs=0.02)
    assert drawn.highest.max() == pytest.approx(0.5, abs=0.01)


def test_all_channels_are_seen(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.stack([sine(1, amplitude=0), sine(1)], axis=1), RATE, subtype="FLOAT")
    drawn = outline(tmp_path / "a.wav")
    assert drawn.highest.max() == pytest.approx(1, abs=1e-3)
    assert drawn.levels_db.max() == pytest.approx(-3, abs=0.1)


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(1), np.zeros(5000)], ids=len)
def test_silence_and_shortness_can_be_drawn(tmp_path, samples):
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    drawn = outline(tmp_path / "a.wav")
    assert drawn.levels_db.max() == pytest.approx(-120)
    draw_comparison(drawn, drawn, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000


def image(path):
    from matplotlib.image import imread

    return imread(path)


def test_the_command_draws_both_on_the_same_scale(tmp_path, audio_folder):
    noisy, out = audio_folder / "speech_a.flac", tmp_path / "out.wav"
    plots = [tmp_path / "same.png", tmp_path / "lower.png"]
    for plot, strength in zip(plots, ("0", "1"), strict=True):
        arguments = ["enhance", str(noisy), "-o", str(out), "--force", "--strength", strength, "--plot", str(plot)]
        assert main(arguments) == 0
    same, lower = map(image, plots)
    assert same.shape == lower.shape
    left, right = same[40:, 100:690], same[40:, 730:1320]
    for pixels in (left, right):
        assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 50  # not an empty frame
    assert not np.array_equal(same, lower)


def test_an_image_that_exists_needs_force(tmp_path, audio_folder, capsys):
    plot = tmp_path / "a.png"
    plot.write_text("mine")
    assert main(["enhance", str(audio_folder / "speech_a.flac"), str(tmp_path / "out.wav"), "--plot", str(plot)]) == 1
    assert "a.png exists: give --force" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_the_input_is_drawn_as_it_was_also_when_replaced(tmp_path, audio_folder):
    noisy, plots = soundfile.read(audio_folder / "speech_a.flac"), [tmp_path / "1.png", tmp_path / "2.png"]
    for name in ("in.wav", "copy.wav"):
        soundfile.write(tmp_path / name, *noisy)
    (tmp_path / "out").mkdir()
    assert main(["enhance", f"{tmp_path}/in.wav", f"{tmp_path}/out/", "--plot", str(plots[0])]) == 0
    assert main(["enhance", f"{tmp_path}/in.wav", "-o", f"{tmp_path}/in.wav", "--force", "--plot", str(plots[1])]) == 0
    np.testing.assert_array_equal(*map(image, plots))


def test_an_unknown_image_format_is_found_before_the_work(tmp_path, audio_folder, capsys):
    arguments = ["enhance", str(audio_folder / "speech_a.flac"), str(tmp_path / "out.wav")]
    assert main([*arguments, "--plot", str(tmp_path / "a.xyz")]) == 1
    assert "png" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(ConfigError, match=r"[^']+\[plot\]"):
        check_plot(tmp_path / "a.png")


@pytest.mark.parametrize("name", [b"caf\xe9", b"a$b^c_$"])
def test_any_name_of_a_file_can_be_drawn(tmp_path, audio_folder, name):
    source = tmp_path / os.fsdecode(name + b".flac")
    source.write_bytes((audio_folder / "speech_a.flac").read_bytes())
    image = tmp_path / os.fsdecode(name + b".png")
    output = tmp_path / os.fsdecode(b"out " + name + b".wav")
    assert main(["enhance", str(source), "-o", str(output), "--plot", str(image)]) == 0
    assert image.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("arguments", [["in/", "out"], ["a.wav", "b.wav", "-o", "out"]])
def test_many_files_are_not_drawn(arguments):
    with pytest.raises(SystemExit, match="2"):
        main(["enhance", *arguments, "--plot", "a.png"])
