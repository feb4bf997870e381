import json
from pathlib import Path

import pytest

from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.training.config import CorpusConfig, HeldOutConfig
from gtcrn_frontend.training.config_file import load_config
from gtcrn_frontend.training.data.corpus import list_recordings, recording_name
from gtcrn_frontend.training.data.dataset import load_data
from gtcrn_frontend.training.data.split import draw_split, load_or_draw_split


@pytest.fixture
def recordings(corpus):
    return list_recordings([CorpusConfig(manifest=corpus / "manifest.json")])


def test_only_speech_noise_and_rooms_are_listed(recordings):
    assert {item.kind for item in recordings} == {"speech", "noise", "room"}
    assert len(recordings) == 8 + 3 + 6 + 2


@pytest.mark.parametrize(("named", "warned"), [("anechoic", True), ("*", False), (None, False)])
def test_a_weight_that_has_no_effect_is_said(corpus, recordings, caplog, named, warned):
    weights = {named or recordings[0].source: 2.0}
    assert len(list_recordings([CorpusConfig(manifest=corpus / "manifest.json", weights=weights)])) == len(recordings)
    assert ("anechoic" in caplog.text and recordings[0].source in caplog.text) == warned


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("dog_bark_1_100032_a.ogg", "dog_bark_1_100032"),
        ("animals/dog-barking.mp3", "animals_dog_barking"),
        ("nature_wind_8b6de1.ogg", "nature_wind"),
        ("Cafe.wav", "cafe"),
    ],
)
def test_copies_and_takes_share_a_name(path, name):
    assert recording_name(Path(path)) == name


@pytest.mark.parametrize("seed", range(5))
def test_speakers_noises_and_rooms_are_on_one_side_only(recordings, seed):
    split = draw_split(recordings, HeldOutConfig(speech=0.3, transcribed=0.5, noise=0.3, rooms=0.5), seed)
    for kind in ("speech", "noise", "room"):
        sides = [
            {item.group for item in recordings if item.kind == kind and split.is_held_out(item) == held_out}
            for held_out in (False, True)
        ]
        assert sides[0] and sides[1]
        assert not sides[0] & sides[1]
    # one of the two speakers with transcripts
    assert len({item.group for item in recordings if item.transcribed and split.is_held_out(item)}) == 1


def test_the_split_depends_on_the_seed_and_not_on_the_order(recordings):
    config = HeldOutConfig(speech=0.5, transcribed=0.5, noise=0.5)
    assert draw_split(recordings, config, 1) == draw_split(recordings[::-1], config, 1)
    assert len({str(sorted(draw_split(recordings, config, seed).held_out["speech"])) for seed in range(8)}) > 1


def test_the_same_speaker_in_another_corpus_is_held_out_too(corpus, recordings, tmp_path):
    split = draw_split(recordings, HeldOutConfig(transcribed=0.5), 1)
    speaker = next(item.group for item in recordings if item.transcribed and split.is_held_out(item))
    for name in ("0", "1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "more.wav").write_bytes((corpus / "speech/word_0.wav").read_bytes())
    more = list_recordings([CorpusConfig(speech=tmp_path, group="^([0-9]+)/")])
    assert [item.group for item in more if split.is_held_out(item)] == [speaker]
    both = draw_split([*recordings, *more], HeldOutConfig(transcribed=0.5), 1)
    assert [both.is_held_out(item) for item in more] == [split.is_held_out(item) for item in more]


def test_a_written_split_is_obeyed(recordings, tmp_path):
    config = HeldOutConfig(file=tmp_path / "split.json")
    drawn = load_or_draw_split(recordings, config, 1)
    assert load_or_draw_split(recordings, config, 2) == drawn
    content = json.loads(config.file.read_text())
    content["held_out"]["speech"] = ["3"]
    config.file.write_text(json.dumps(content))
    assert load_or_draw_split(recordings, config, 1).held_out["speech"] == {"3"}
    config.file.write_text("{}")
    with pytest.raises(ConfigError, match="not a split file"):
        load_or_draw_split(recordings, config, 1)


def test_pools_are_disjoint(settings, write_config):
    data = load_data(load_config(write_config(settings)), 16000)
    for kind in ("speech", "noise"):
        train, held_out = (set(getattr(part, kind).numbers.tolist()) for part in (data.train, data.held_out))
        assert train and held_out and not train & held_out
    assert not set(data.train.rooms) & set(data.held_out.rooms)


def test_paired_folders_hold_out_the_asked_number(corpus, tmp_path):
    for side in ("clean", "noisy"):
        (tmp_path / side).mkdir()
        for number in range(5):
            (tmp_path / side / f"{number}.wav").write_bytes((corpus / "speech/word_0.wav").read_bytes())
    pairs = list_recordings([CorpusConfig(clean=tmp_path / "clean", noisy=tmp_path / "noisy")])
    split = draw_split(pairs, HeldOutConfig(pairs=2), 1)
    assert sum(split.is_held_out(item) for item in pairs) == 2
    assert all(item.noisy == tmp_path / "noisy" / item.path.name for item in pairs)
    (tmp_path / "noisy" / "3.wav").unlink()
    with pytest.raises(ConfigError, match="no partner"):
        list_recordings([CorpusConfig(clean=tmp_path / "clean", noisy=tmp_path / "noisy")])


def test_bad_corpora_are_named(tmp_path):
    with pytest.raises(ConfigError, match="no folder"):
        list_recordings([CorpusConfig(noise=tmp_path / "absent")])
    with pytest.raises(ConfigError, match="no audio"):
        list_recordings([CorpusConfig(noise=tmp_path)])
    with pytest.raises(ConfigError, match=r"absent\.json: expected a manifest"):
        list_recordings([CorpusConfig(manifest=tmp_path / "absent.json")])
    manifest = tmp_path / "manifest.json"
    for content, message in (
        ('[{"path": "a.wav", "set": "noise"}]', "entry 1: expected path, set, source; source is missing"),
        ('[{"path": "a.wav", "set": "noise", "source": "x"}, 3]', "entry 2: expected a JSON object"),
        ("[", "expected a list of JSON objects"),
    ):
        manifest.write_text(content)
        with pytest.raises(ConfigError, match=message):
            list_recordings([CorpusConfig(manifest=manifest)])


def test_a_manifest_may_name_pairs_and_groups_as_json_lines(corpus, tmp_path):
    lines = [
        {"path": "a.wav", "set": "pair", "source": "vbd", "noisy": "b.wav"},
        {"path": "c.wav", "set": "pair", "source": "dns"},  # without a noisy file there is nothing to learn from it
        {"path": "d.wav", "set": "noise", "source": "esc50", "group": "1-17", "speaker": "nobody"},
        {"path": "e.wav", "set": "noise", "source": "esc50"},
    ]
    for name in "abcde":
        (tmp_path / f"{name}.wav").write_bytes((corpus / "speech/word_0.wav").read_bytes())
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = list_recordings([CorpusConfig(manifest=manifest)])
    assert [(item.kind, item.group) for item in found] == [("pair", "a"), ("noise", "1-17"), ("noise", "e")]
    assert (found[0].path, found[0].noisy) == (tmp_path / "a.wav", tmp_path / "b.wav")
