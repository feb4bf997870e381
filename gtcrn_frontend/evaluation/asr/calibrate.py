"""`calibrate`: sweeps front-ends and strengths over a recogniser, and decides."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from gtcrn_frontend.config import EnhancerConfig, Strength
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.evaluation.asr.asr_sanity import ADVICE, why_implausible
from gtcrn_frontend.evaluation.asr.decision import Decision, decide
from gtcrn_frontend.evaluation.asr.normalise import Normalisation
from gtcrn_frontend.evaluation.asr.scores import MOST_FAILURES, Scores, score
from gtcrn_frontend.evaluation.asr.strength_search import FINER_STEPS, first_round, next_round, settings_at_most
from gtcrn_frontend.evaluation.asr.sweep import Sweep
from gtcrn_frontend.evaluation.systems import RAW

if TYPE_CHECKING:
    from gtcrn_frontend.evaluation.asr.auto_strength_fit import AutoStrengthFit

_log = logging.getLogger(__name__)


class Progress(Protocol):
    """Where progress is shown."""

    def begin(self, name: str, count: int, later: int) -> None:
        """Takes notice of a round: results to come in it, and after it, at most."""
        ...

    def update(self, count: int) -> None:
        """Takes notice of so many results more."""
        ...


@dataclass(frozen=True)
class Calibration:
    """The outcome: errors by setting, what to do, and the guard if it was fitted."""

    scores: Scores
    decision: Decision
    fit: AutoStrengthFit | None = None


@dataclass(frozen=True)
class Counting:
    """How errors are counted: what is made equal before, and in which unit, `word` or `character`."""

    normalisation: Normalisation = field(default_factory=Normalisation)
    unit: str = "word"


def calibrate(
    sweep: Sweep,
    fronts: Sequence[EnhancerConfig],
    strengths: Sequence[Strength],
    counting: Counting,
    progress: Progress,
    fit: AutoStrengthFit | None = None,
) -> Calibration:
    """Returns how the recogniser does behind each setting tried, and the decision.

    Args:
        sweep: what to recognise, and by whom.
        fronts: front-ends to try, at full strength.
        strengths: to try with each of them; none searches from coarse to fine.
        counting: how errors are counted.
        progress: where it is shown.
        fit: a guard that was fitted on other utterances, to be tried too.

    Raises:
        ImportError: the package jiwer is not installed.
        ModelError: a model or the recogniser cannot be loaded, the recogniser fails too often without front-end, or
            it hears nothing, or always the same, whatever is said.
        ConfigError: the cache cannot be written to.
    """
    tried: list[EnhancerConfig] = []
    fitted = [fit.default, fit.setting] if fit else []
    at_most = 1 + (len(strengths) * len(fronts) if strengths else settings_at_most(fronts)) + len(fitted)

    def go(name: str, settings: Sequence[EnhancerConfig]) -> Scores:
        tried.extend(settings)
        progress.begin(name, sweep.missing(settings), len(sweep.items) * (at_most - len(tried)))
        sweep.hear(settings, progress.update)
        scores = score(sweep.items, {s: sweep.heard[s] for s in tried}, counting.normalisation, counting.unit)
        if RAW not in scores.counts or not scores.items:
            reason = sweep.left[0] if sweep.left else "no item has a result behind every setting"
            raise ModelError(
                f"the recogniser failed on more than {MOST_FAILURES:.0%} of the items without front-end: {reason}"
            )
        if deaf := why_implausible((sweep.heard[setting] for setting in tried), counting.normalisation):
            if tried != [RAW]:
                raise ModelError(f"{deaf}, with and without front-end: {ADVICE}")
            _log.warning("%s, without front-end: if that surprises you, %s", deaf, ADVICE)
        return scores

    scores = go("no front-end", [RAW])
    if strengths:
        listed = [dataclasses.replace(front, strength=strength) for strength in strengths for front in fronts]
        scores = go("strengths", _each_once([*listed, *fitted]))
    else:
        scores = go("coarse", _each_once([*first_round(fronts), *fitted]))
        for step in FINER_STEPS:
            if settings := next_round(fronts, step, scores):
                scores = go(f"steps of {step:g}", settings)
    return Calibration(scores, decide(scores), fit)


def _each_once(settings: Sequence[EnhancerConfig]) -> list[EnhancerConfig]:
    return list(dict.fromkeys(settings))
