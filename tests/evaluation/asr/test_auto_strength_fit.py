from collections.abc import Sequence
from pathlib import Path

import pytest

from gtcrn_frontend import AutoStrengthConfig, EnhancerConfig, ModelError
from gtcrn_frontend.evaluation.asr import auto_strength_fit
from gtcrn_frontend.evaluation.asr.auto_strength_fit import (
    CANDIDATES,
    FAILED,
    Cost,
    costs,
    fit_auto_strength,
    max_settings,
    search,
    split,
)
from gtcrn_frontend.evaluation.asr.recognizer import Recognition
from gtcrn_frontend.evaluation.asr.scores import Scores
from gtcrn_frontend.evaluation.asr.verdict_text import fit_summary
from gtcrn_frontend.evaluation.asr.wer import ErrorCounts, ErrorMetric
from gtcrn_frontend.evaluation.manifest import Utterance
from gtcrn_frontend.evaluation.noisy_set import Item
from gtcrn_frontend.evaluation.systems import RAW

WORDS = "one two three four five six seven eight nine ten"


def items(n: int, conditions: Sequence[str] = ("clean", "0 dB")) -> list[Item]:
    return [Item(Utterance(str(i), Path(str(i)), WORDS), name, f"{i} {name}") for name in conditions for i in range(n)]


class FakeSweep:
    """Recognises all but so many words as `errors` says for a setting and a condition."""

    def __init__(self, name: str, of: Sequence[Item], errors, progress=None) -> None:
        self.name, self.items, self._errors, self._progress = name, tuple(of), errors, progress
        self.recognitions: dict[EnhancerConfig, dict[str, Recognition]] = {}
        self.failures = []
        self.recognised = 0

    def missing(self, settings: Sequence[EnhancerConfig]) -> int:
        return sum(setting not in self.recognitions for setting in settings) * len(self.items)

    def run(self, settings: Sequence[EnhancerConfig]) -> None:
        for setting in settings:
            if setting in self.recognitions:
                continue
            self.recognitions[setting] = {
                item.key: Recognition(" ".join(WORDS.split()[self._errors(setting, item.condition) :]), 0.1, 0.1)
                for item in self.items
            }
            self.recognised += len(self.items)
            if self._progress:
                self._progress.update(len(self.items))


class Progress:
    def __init__(self) -> None:
        self.begun: list[tuple[int, int]] = []
        self.done = 0

    def begin(self, name: str, count: int, later: int) -> None:
        self.begun.append((count, later))

    def update(self, count: int) -> None:
        self.done += count

    def message(self, text: str) -> None:
        raise AssertionError(text)


def test_a_search_finds_the_best_of_each_parameter_and_tries_none_twice() -> None:
    target = {"noisy_snr_db": 10.0, "clean_snr_db": 40.0, "max_strength": 0.9, "min_strength": 0.6, "caution": 0.5}
    asked: list[AutoStrengthConfig] = []

    def distance(configs: Sequence[AutoStrengthConfig]) -> list[Cost]:
        asked.extend(configs)
        return [(sum(abs(getattr(config, name) - value) for name, value in target.items()),) for config in configs]

    best, scores = search(distance)
    assert {name: getattr(best, name) for name in target} == target
    assert len(set(asked)) == len(asked) == len(scores) <= max_settings()


def test_of_equals_the_default_parameters_stay() -> None:
    best, scores = search(lambda configs: [(0.0,)] * len(configs))
    assert best == AutoStrengthConfig()
    assert len(scores) <= max_settings(rounds=1)


def test_parameters_that_do_not_fit_together_are_not_tried() -> None:
    search(lambda configs: [(config.clean_snr_db + config.max_strength,) for config in configs])  # its class checks
    assert min(CANDIDATES["clean_snr_db"]) <= max(CANDIDATES["noisy_snr_db"])


def test_halves_share_no_utterance() -> None:
    to_fit, to_decide = split(items(21))
    names = [{item.utterance.name for item in half} for half in (to_fit, to_decide)]
    assert not names[0] & names[1]
    assert (len(names[0]), len(names[1])) == (11, 10)
    assert len(to_fit) + len(to_decide) == 42
    with pytest.raises(ModelError, match=r"at least 20 utterances.*got 19"):
        split(items(19))


def errors_by_strength(setting: EnhancerConfig, condition: str) -> int:
    """Less is better in noise, and the more the guard's maximum is lowered, the better on clean speech."""
    if setting.bypass:
        return 6 if condition != "clean" else 0
    config = setting.auto_strength_config
    if condition == "clean":
        return 0 if config.max_strength <= 0.9 else 3
    return 4 if config.max_strength == 0.9 else 2


def test_clean_speech_comes_before_errors() -> None:
    settings = [EnhancerConfig(strength="auto", auto_strength={"max_strength": value}) for value in (0.8, 0.9, 0.98)]
    sweep = FakeSweep("a", items(20), errors_by_strength)
    scores = costs([sweep], settings, ErrorMetric())
    assert scores[0] < scores[1] < scores[2]
    assert [score[0] for score in scores] == [0, 0, 1]


def test_a_recogniser_that_fails_is_no_reason_to_choose() -> None:
    sweep = FakeSweep("a", items(20), errors_by_strength)
    setting = EnhancerConfig(strength="auto")
    sweep.run([RAW, setting])
    sweep.recognitions[setting] = {}
    assert costs([sweep], [setting], ErrorMetric()) == [FAILED]


def test_the_guard_is_fitted_on_several_recognisers_in_the_best_front_end() -> None:
    def other(setting: EnhancerConfig, condition: str) -> int:
        return errors_by_strength(setting, condition) + (0 if setting.bypass or setting.model != "worse" else 1)

    progress = Progress()
    sweeps = [FakeSweep(name, items(20), other, progress) for name in "ab"]
    fronts = [EnhancerConfig("worse"), EnhancerConfig("better")]
    fit = fit_auto_strength(sweeps, fronts, ErrorMetric(), progress)
    assert (fit.setting.model, fit.setting.strength) == ("better", "auto")
    assert fit.setting.auto_strength_config == AutoStrengthConfig(max_strength=min(CANDIDATES["max_strength"]))
    assert (fit.utterances, fit.recognizers) == (20, ("a", "b"))
    assert progress.done == sum(count for count, _ in progress.begun) == sum(sweep.recognised for sweep in sweeps)
    laters = [later for _, later in progress.begun]
    assert laters == sorted(laters, reverse=True)
    assert laters[-1] >= 0


@pytest.mark.parametrize(
    ("after", "said"),
    [(1, "fitting helps"), (3, "fitting hurts"), (2, "no significant difference")],
)
def test_what_fitting_gave_is_said(after: int, said: str) -> None:
    setting = EnhancerConfig(strength="auto", auto_strength={"caution": 1})
    fit = auto_strength_fit.AutoStrengthFit(setting, 12, ("a", "b"))
    counts = {fit.default: 2, setting: after}
    of = {each: tuple(ErrorCounts(errors + i % 2, 0, 0, 10) for i in range(20)) for each, errors in counts.items()}
    sentence = fit_summary(fit, Scores(tuple(items(20, ["5 dB"])), tuple(of), of), "WER")
    assert said in sentence
    assert "on 12 other utterances of 2 recognisers: caution 1." in sentence


def test_that_nothing_better_was_found_is_said() -> None:
    fit = auto_strength_fit.AutoStrengthFit(EnhancerConfig(strength="auto"), 12, ("a",))
    sentence = fit_summary(fit, Scores((), (), {}), "WER")
    assert sentence == "Fitting strength auto on 12 other utterances found nothing better than its default parameters."
