"""Miniature copies of public data sets, in the layouts that their archives unpack to."""

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from gtcrn_frontend.cli.data import DATA_SETS
from gtcrn_frontend.cli.main import main
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.manifest import load_manifest
from gtcrn_frontend.training.config import CorpusConfig, HeldOutConfig
from gtcrn_frontend.training.config_file import load_config
from gtcrn_frontend.training.data.corpus import list_recordings
from gtcrn_frontend.training.data.dataset import load_data
from gtcrn_frontend.training.data.layouts import LAYOUTS
from gtcrn_frontend.training.data.prepare import prepare_data
from gtcrn_frontend.training.data.split import load_or_draw_split

RATE = 16000


def write(path, seconds=0.5):
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(path.as_posix().encode())
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(int(seconds * RATE)), RATE)


def librispeech(root):
    for subset, speakers in (("train-clean-5", ("19", "26", "32")), ("dev-clean-2", ("84",))):
        for speaker in speakers:
            chapter = root / "LibriSpeech" / subset / speaker / "198"
            names = [f"{speaker}-198-000{number}" for number in range(2)]
            for name in names:
                write(chapter / f"{name}.flac")
            lines = "".join(f"{name} NORTHANGER ABBEY {number}\n" for number, name in enumerate(names))
            (chapter / f"{speaker}-198.trans.txt").write_text(lines)


def voicebank_demand(root):
    for speaker in ("p226", "p287"):
        for number in range(1, 4):
            for side in ("clean", "noisy"):
                write(root / f"{side}_trainset_28spk_wav" / f"{speaker}_00{number}.wav")
            text = root / "trainset_28spk_txt" / f"{speaker}_00{number}.txt"
            text.parent.mkdir(exist_ok=True)
            text.write_text("Please call Stella.\n")
    write(root / "clean_testset_wav" / "p232_001.wav")
    write(root / "noisy_testset_wav" / "p232_001.wav")


def dns_noise(root):
    for name in ("--0BIyqJj9ZU", "door_Freesound_validated_394389_0", "door_Freesound_validated_394389_1"):
        write(root / "datasets_fullband" / "noise_fullband" / f"{name}.wav")


def musan(root):
    for path in ("noise/free-sound/noise-free-sound-0000", "music/jamendo/music-jamendo-0000",
                 "speech/librivox/speech-librivox-0000", "speech/librivox/speech-librivox-0001"):  # fmt: skip
        write(root / "musan" / f"{path}.wav")


def esc50(root):
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for clip, take in (("100032", "A"), ("110389", "A"), ("110389", "B")):
        write(root / "ESC-50-master" / "audio" / f"1-{clip}-{take}-0.wav")
        rows.append(f"1-{clip}-{take}-0.wav,1,0,dog,True,{clip},{take}")
    meta = root / "ESC-50-master" / "meta" / "esc50.csv"
    meta.parent.mkdir()
    meta.write_text("\n".join(rows) + "\n")


def rirs_noises(root):
    root = root / "RIRS_NOISES"
    for room in ("Room001", "Room002"):
        for number in range(2):
            write(root / "simulated_rirs" / "smallroom" / room / f"{room}-0000{number}.wav", 0.1)
    real = root / "real_rirs_isotropic_noises"
    names = [*(f"RVB2014_type1_rir_smallroom1_{place}_angla" for place in ("far", "near")), "air_type1_air_lecture_0"]
    lines = [
        f"--rir-id {i} --room-id {room} RIRS_NOISES/real_rirs_isotropic_noises/{name}.wav\n"
        for i, (name, room) in enumerate(zip(names, ("smallroom1", "smallroom1", "lecture"), strict=True))
    ]
    for name in [*names, "RVB2014_type1_noise_smallroom1_1"]:
        write(real / f"{name}.wav", 0.1)
    (real / "rir_list").write_text("".join(lines))
    write(root / "pointsource_noises" / "noise-free-sound-0000.wav")


MAKERS = {
    "librispeech": librispeech,
    "voicebank-demand": voicebank_demand,
    "dns-noise": dns_noise,
    "musan": musan,
    "esc50": esc50,
    "rirs-noises": rirs_noises,
}


@pytest.fixture
def downloads(tmp_path):
    """A folder with a miniature of each data set."""
    for name, make in MAKERS.items():
        (tmp_path / "downloads" / name).mkdir(parents=True)
        make(tmp_path / "downloads" / name)
    return tmp_path / "downloads"


def entries(manifest):
    return [json.loads(line) for line in Path(manifest).read_text(encoding="utf-8").splitlines()]


def groups(listed, source):
    return sorted({item.group for item in listed if item.source == source})


def test_every_data_set_has_a_test_and_an_option():
    assert MAKERS.keys() == LAYOUTS.keys() == DATA_SETS.keys()


def test_all_sets_are_listed_with_what_is_known_of_them(downloads, tmp_path):
    data = prepare_data({name: [downloads / name] for name in MAKERS}, tmp_path / "data")
    assert not data.problems
    counts = {(total.source, total.set): (total.recordings, total.groups) for total in data.totals}
    assert counts == {
        ("librispeech-train-clean-5", "speech"): (6, 3),
        ("librispeech-dev-clean-2", "speech"): (2, 1),
        ("voicebank-demand", "pair"): (6, 2),
        ("dns-noise", "noise"): (3, 2),
        ("musan-noise", "noise"): (1, 1),
        ("musan-music", "noise"): (1, 1),
        ("musan-speech", "speech"): (2, 2),
        ("esc50", "noise"): (3, 2),
        ("rirs-simulated", "rir"): (4, 2),
        ("rirs-real", "rir"): (3, 2),
        ("rirs-isotropic", "noise"): (1, 1),
        ("rirs-pointsource", "noise"): (1, 1),
    }
    assert "| librispeech-train-clean-5 |" in str(data)
    recordings = list_recordings([CorpusConfig(manifest=data.manifest)])
    assert groups(recordings, "esc50") == ["freesound-100032", "freesound-110389"]
    assert groups(recordings, "dns-noise") == ["--0BIyqJj9ZU", "door_Freesound_validated_394389"]
    assert groups(recordings, "rirs-real") == ["real-lecture", "real-smallroom1"]
    assert groups(recordings, "rirs-simulated") == ["smallroom-Room001", "smallroom-Room002"]
    pair = next(item for item in recordings if item.kind == "pair")
    assert (pair.path.parent.name, pair.noisy.parent.name) == ("clean_trainset_28spk_wav", "noisy_trainset_28spk_wav")
    assert pair.path.name == pair.noisy.name
    first = entries(data.manifest)[0]
    assert first["text"] == "NORTHANGER ABBEY 0" and first["speaker"] in ("84", "19") and first["duration"] == 0.5


def test_the_manifest_is_one_for_evaluation_too(downloads, tmp_path):
    data = prepare_data({"librispeech": [downloads / "librispeech"], "esc50": [downloads / "esc50"]}, tmp_path / "data")
    manifest = load_manifest(data.manifest)
    assert len(manifest.utterances) == 8 and not manifest.problems
    assert {utterance.duration_s for utterance in manifest.utterances} == {0.5}


def test_speakers_recordings_and_rooms_are_held_out_as_a_whole(downloads, tmp_path):
    sets = ("librispeech", "voicebank-demand", "esc50", "rirs-noises")
    fractions = HeldOutConfig(transcribed=0.3, noise=0.5, rooms=0.5, pairs=2)
    data = prepare_data({name: [downloads / name] for name in sets}, tmp_path / "data", held_out=fractions)
    held_out = {total.source: total.held_out for total in data.totals}
    assert held_out["librispeech-train-clean-5"] == held_out["voicebank-demand"] == held_out["esc50"] == 1
    assert held_out["rirs-simulated"] == held_out["rirs-real"] == 1
    split = json.loads(data.split.read_text())["held_out"]
    assert set(split["pair"]) < {"p226", "p287"} and set(split["noise"]) < {"freesound-100032", "freesound-110389"}
    more = prepare_data({name: [downloads / name] for name in (*sets, "musan")}, tmp_path / "data", held_out=fractions)
    assert {total.source: total.held_out for total in more.totals}.items() >= held_out.items()
    obeyed = load_or_draw_split([], HeldOutConfig(file=more.split), seed=9)
    assert obeyed.held_out["room"] == frozenset(split["room"])


def test_the_printed_lines_make_a_config_that_trains_on_it(downloads, tmp_path, capsys):
    options = [part for name in MAKERS for part in (f"--{name}", str(downloads / name))]
    assert main(["data", *options, "--output", str(tmp_path / "data")]) == 0
    printed = capsys.readouterr()
    assert "| esc50 " in printed.err
    settings = yaml.safe_load(printed.out) | {"output": "run", "cache": "cache", "mixing": {"segment_s": 0.25}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    data = load_data(load_config(tmp_path / "config.yaml"), RATE)
    assert len(data.train.pairs) == len(data.held_out.pairs) == 3
    assert len(data.train.rooms) == 4 and len(data.held_out.rooms) == 3


@pytest.mark.parametrize("format_", ["zip", "gztar", "bztar"])
def test_archives_are_unpacked_once(downloads, tmp_path, format_):
    archives = [
        shutil.make_archive(tmp_path / name, format_, downloads / "voicebank-demand", name)
        for name in ("clean_trainset_28spk_wav", "noisy_trainset_28spk_wav")
    ]
    data = prepare_data({"voicebank-demand": archives}, tmp_path / "data")
    assert len(entries(data.manifest)) == 6
    paths = [entry[key] for entry in entries(data.manifest) for key in ("path", "noisy")]
    assert all(path.startswith("voicebank-demand/") for path in paths)  # the folder can be moved
    unpacked = sorted((tmp_path / "data" / "voicebank-demand").iterdir())
    assert [path.name for path in unpacked] == ["clean_trainset_28spk_wav", "noisy_trainset_28spk_wav"]
    before = data.manifest.read_text()
    for archive in archives:
        Path(archive).write_bytes(b"changed")  # not read again
    assert prepare_data({"voicebank-demand": archives}, tmp_path / "data").manifest.read_text() == before


def test_a_broken_archive_leaves_nothing(downloads, tmp_path):
    archive = Path(shutil.make_archive(tmp_path / "ESC-50-master", "gztar", downloads / "esc50"))
    archive.write_bytes(archive.read_bytes()[:-2000])
    with pytest.raises(ConfigError, match="cannot be unpacked"):
        prepare_data({"esc50": [archive]}, tmp_path / "data")
    assert not list((tmp_path / "data").rglob("*.wav"))
    assert not (tmp_path / "data" / "manifest.jsonl").exists()


def test_an_archive_cannot_write_elsewhere(downloads, tmp_path):
    archive = tmp_path / "ESC-50-master.tar"
    with tarfile.open(archive, "w") as tarred:
        tarred.add(downloads / "esc50" / "ESC-50-master" / "meta" / "esc50.csv", "../../../escaped.csv")
    with pytest.raises(ConfigError, match="cannot be unpacked"):
        prepare_data({"esc50": [archive]}, tmp_path / "data")
    assert not list(tmp_path.rglob("escaped.csv"))


def test_what_is_missing_is_named(downloads, tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'librispeech'"):
        prepare_data({"librispech": [downloads]}, tmp_path / "data")
    with pytest.raises(ConfigError, match="absent: expected a folder or an archive, found nothing there"):
        prepare_data({"esc50": [tmp_path / "absent"]}, tmp_path / "data")
    with pytest.raises(ConfigError, match=r"esc50\.csv: expected a folder or an archive \(\.zip"):
        prepare_data({"esc50": [downloads / "esc50/ESC-50-master/meta/esc50.csv"]}, tmp_path / "data")
    with pytest.raises(ConfigError, match=r"expected at least one data set out of librispeech, "):
        prepare_data({}, tmp_path / "data")
    (tmp_path / "nothing").mkdir()
    for name in MAKERS:
        with pytest.raises(ConfigError, match=r"found none: download .* from https://"):
            prepare_data({name: [tmp_path / "nothing"]}, tmp_path / "data")
    assert not (tmp_path / "data" / "manifest.jsonl").exists()


@pytest.mark.parametrize(
    ("name", "removed"),
    [
        ("librispeech", "LibriSpeech/train-clean-5/19/198/19-198-0001.flac"),
        ("voicebank-demand", "noisy_trainset_28spk_wav/p226_002.wav"),
        ("esc50", "ESC-50-master/audio/1-110389-B-0.wav"),
    ],
)
def test_an_incomplete_set_is_refused(downloads, tmp_path, name, removed):
    (downloads / name / removed).unlink()
    with pytest.raises(ConfigError, match="the download or its archive is incomplete"):
        prepare_data({name: [downloads / name]}, tmp_path / "data")


def test_pairs_need_both_sides(downloads, tmp_path):
    shutil.rmtree(downloads / "voicebank-demand" / "noisy_trainset_28spk_wav")
    with pytest.raises(ConfigError, match="expected noisy_trainset_28spk_wav as well"):
        prepare_data({"voicebank-demand": [downloads / "voicebank-demand"]}, tmp_path / "data")


def test_unreadable_recordings_are_left_out_and_reported(downloads, tmp_path, capsys):
    noise = downloads / "dns-noise" / "datasets_fullband" / "noise_fullband"
    (noise / "broken.wav").write_bytes(b"no audio")
    write(noise / "empty.wav", 0)
    assert main(["data", "--dns-noise", str(noise), "--output", str(tmp_path / "data")]) == 0
    printed = capsys.readouterr().err
    assert "broken.wav: expected an audio file" in printed
    assert "empty.wav: expected audio, got a file without samples" in printed
    assert len(entries(tmp_path / "data" / "manifest.jsonl")) == 3
