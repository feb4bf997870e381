import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gtcrn_frontend.audio.transmission import reverberant, telephone
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.channels import WITHOUT_NOISE, parse_channels
from gtcrn_frontend.evaluation.manifest import Utterance
from gtcrn_frontend.evaluation.noisy_set import Item, Recording, find_noise, plan_items, read_mixture

RATE = 16000
ALL = ("microphone", "telephone", "room")


@pytest.fixture
def utterances(tmp_path: Path) -> list[Utterance]:
    rng = np.random.default_rng(0)
    made = []
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.wav", rng.normal(0, 0.05, RATE).astype(np.float32), RATE, subtype="FLOAT")
        made.append(Utterance(name, tmp_path / f"{name}.wav", "one", duration_s=1.0))
    return made


@pytest.fixture
def noise(tmp_path: Path) -> list[Recording]:
    (tmp_path / "noise").mkdir()
    soundfile.write(tmp_path / "noise" / "hum.wav", np.random.default_rng(1).normal(0, 0.1, 3 * RATE), RATE)
    return find_noise(tmp_path / "noise")


@pytest.fixture
def rooms(tmp_path: Path) -> list[Recording]:
    (tmp_path / "rooms").mkdir()
    response = np.random.default_rng(2).normal(0, 0.1, 8000) * np.exp(-np.arange(8000) / 1500)
    response[50] = 1
    soundfile.write(tmp_path / "rooms" / "hall.wav", response, RATE, subtype="FLOAT")
    return find_noise(tmp_path / "rooms")


def behind(channel: str, items: list[Item]) -> list[Item]:
    return [item for item in items if item.channel == channel]


def test_every_condition_is_behind_every_channel(utterances, noise, rooms) -> None:
    items = plan_items(utterances, noise, (None, 5.0), channels=ALL, rooms=rooms)
    names = list(dict.fromkeys(item.condition for item in items))
    assert names == ["clean", "5 dB", "telephone clean", "telephone 5 dB", "room clean", "room 5 dB"]
    assert len({item.key for item in items}) == len(items)
    assert behind("microphone", items) == plan_items(utterances, noise, (None, 5.0))
    assert {name for name in names if name in WITHOUT_NOISE} == {"clean", "telephone clean", "room clean"}


def test_a_telephone_carries_the_same_mixture(utterances, noise) -> None:
    items = plan_items(utterances, noise, (5.0,), channels=ALL[:2])
    for near, far in zip(behind("microphone", items), behind("telephone", items), strict=True):
        speech, mixture, rate = read_mixture(near)
        heard = read_mixture(far)
        assert heard[2] == 8000
        np.testing.assert_array_equal(heard[0], telephone(speech, rate))
        np.testing.assert_array_equal(heard[1], telephone(mixture, rate))


def test_a_room_is_for_the_speech_and_noise_is_added_at_its_ratio(utterances, noise, rooms) -> None:
    response = soundfile.read(rooms[0].path, dtype="float32")[0]
    for item in plan_items(utterances, noise, (None, 5.0), channels=("room",), rooms=rooms):
        dry = soundfile.read(item.utterance.path, dtype="float32")[0]
        speech, mixture, rate = read_mixture(item)
        scale = float(np.abs(speech).max() / np.abs(reverberant(dry, response, rate)).max())
        np.testing.assert_allclose(speech, scale * reverberant(dry, response, rate), atol=1e-6)
        assert (item.snr_db is None) == np.array_equal(speech, mixture)


def test_recordings_as_they_are_may_be_behind_a_channel(utterances) -> None:
    named = [dataclasses.replace(utterance, condition="car") for utterance in utterances]
    assert {item.condition for item in plan_items(named, channels=("telephone",))} == {"telephone car"}


def test_channels_are_read() -> None:
    assert parse_channels("telephone, microphone,telephone") == ("telephone", "microphone")
    for wrong in ("", "radio"):
        with pytest.raises(ConfigError, match="expected channels out of microphone, telephone, room"):
            parse_channels(wrong)
