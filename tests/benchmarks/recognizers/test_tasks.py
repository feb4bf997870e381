"""What recognisers learn from and what they are judged on are different speakers, clips and noises."""

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="module")
def audio(shared: Path) -> Path:
    return shared / "audio"


def test_digits_of_held_out_speakers_are_not_learned_from(audio: Path) -> None:
    import corpora

    learned, judged = (corpora.digits(audio, held_out=held_out) for held_out in (False, True))
    assert {clip.speaker for clip in judged} == set(corpora.DIGIT_SPEAKERS_HELD_OUT)
    assert not {clip.speaker for clip in learned} & set(corpora.DIGIT_SPEAKERS_HELD_OUT)
    assert len(learned) == 2000
    assert len(judged) == 1000


def test_commands_and_sentences_follow_the_split_of_the_enhancer(audio: Path) -> None:
    import corpora

    for source in (corpora.wake_words, corpora.other_speech):
        learned, judged = ({clip.name for clip in source(audio, held_out=held_out)} for held_out in (False, True))
        assert judged
        assert not learned & judged
        assert {name.rsplit(".", 1)[0] for name in judged} <= corpora.split().held_out["speech"]
    speakers = {clip.speaker for clip in corpora.read_sentences(audio, (), held_out=True)}
    assert speakers
    assert speakers <= corpora.split().held_out["speech"]


@pytest.mark.parametrize(("name", "lengths"), [("digits", {3, 4, 5, 6, 7}), ("commands", {0, 1})])
def test_utterances_are_spelt_in_the_symbols_of_their_task(audio: Path, name: str, lengths: set[int]) -> None:
    from tasks import load_task

    task = load_task(name, audio)
    utterances = task.held_out(60)
    assert {len(item.symbols) for item in utterances} == lengths
    assert all(0 < symbol < len(task.symbols) for item in utterances for symbol in item.symbols)
    assert all(np.abs(item.samples).max() <= 1 for item in utterances)
    again = load_task(name, audio).held_out(60)
    assert all(np.array_equal(a.samples, b.samples) for a, b in zip(utterances, again, strict=True))


def test_text_of_symbols_has_single_spaces(audio: Path) -> None:
    from tasks import COMMANDS, DIGITS, load_task

    assert load_task("digits", audio).text((1, 8)) == f"{DIGITS[0]} {DIGITS[7]}"
    assert load_task("commands", audio).text((4,)) == COMMANDS[3] == "smart-mirror"
    characters = load_task("characters", audio)
    letters = [characters.symbols.index(letter) for letter in "▁it's▁on"]
    assert characters.text(tuple(letters)) == "it's on"


def test_conditions_are_what_they_say_and_always_the_same(audio: Path) -> None:
    from noisy_set import CLEAN, CONDITIONS, Condition, clean, mixtures

    from gtcrn_frontend.audio.levels import active_power

    assert len(set(CONDITIONS)) == len(CONDITIONS) == 25
    quiet = clean("digits", audio)[:5]
    assert mixtures("digits", audio, CLEAN) == clean("digits", audio)
    for kind in ("ambience", "events", "babble", "synthetic"):
        condition = Condition(kind, 5)
        noisy = mixtures("digits", audio, condition)
        assert [item.text for item in noisy] == [item.text for item in clean("digits", audio)]
        for before, after in zip(quiet, noisy, strict=False):
            # The mixture may have been lowered so that it does not clip: find by how much.
            gain = float(before.samples @ after.samples) / float(before.samples @ before.samples)
            noise = after.samples - np.float32(gain) * before.samples
            snr_db = 10 * np.log10(active_power(np.float32(gain) * before.samples) / np.square(noise).mean())
            assert snr_db == pytest.approx(5, abs=0.5)
        again = mixtures("digits", audio, condition)
        assert all(np.array_equal(a.samples, b.samples) for a, b in zip(noisy, again, strict=True))


@pytest.mark.parametrize("name", ["digits", "commands"])
def test_what_parameters_are_fitted_on_is_not_what_they_are_judged_on(audio: Path, name: str) -> None:
    import corpora
    from noisy_set import UTTERANCES, Condition, clean, mixtures, mixtures_to_fit, others

    judged = {item.samples.tobytes() for item in clean(name, audio)}
    to_fit = others(name, audio)
    assert len(to_fit) >= UTTERANCES[name]
    assert not judged & {item.samples.tobytes() for item in to_fit}
    condition = Condition("events", 0)
    one, other = mixtures_to_fit(name, audio, condition), mixtures(name, audio, condition)
    assert [item.text for item in one] == [item.text for item in to_fit]
    np.testing.assert_array_equal(one[0].samples, mixtures_to_fit(name, audio, condition)[0].samples)
    assert not {item.samples.tobytes() for item in one} & {item.samples.tobytes() for item in other}
    held_out, learned = (
        {item.tobytes() for item in corpora.noises(audio, held_out=each).events} for each in (True, False)
    )
    assert not held_out & learned
