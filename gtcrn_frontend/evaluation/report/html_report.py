"""The report of a calibration: one HTML file, to read, look at and listen to, without a network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from gtcrn_frontend.atomic_write import write_text
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.asr import verdict_text
from gtcrn_frontend.evaluation.asr.calibrate import Calibration, Counting
from gtcrn_frontend.evaluation.asr.scores import Scores, add_up
from gtcrn_frontend.evaluation.asr.sweep import Sweep
from gtcrn_frontend.evaluation.asr.wer import Rate, error_rate, rate_difference
from gtcrn_frontend.evaluation.environment import environment
from gtcrn_frontend.evaluation.manifest import Manifest
from gtcrn_frontend.evaluation.report.charts import COLOURS, LARGE, SMALL, Line, strength_chart
from gtcrn_frontend.evaluation.report.report_examples import best_and_worst
from gtcrn_frontend.evaluation.systems import RAW, by_strength, name_of_model, name_of_setting

MOST_FAILURES_SHOWN = 20


@dataclass(frozen=True)
class Setup:
    """What the report says of how it was measured."""

    recognizer: str
    recognizer_settings: tuple[tuple[str, str], ...]
    manifest_path: str
    noise_path: str | None
    manifest: Manifest
    counting: Counting


def write_report(path: Path, found: Calibration, sweep: Sweep, setup: Setup, took_s: float) -> None:
    """Writes the report; a file of that name is replaced.

    Raises:
        ConfigError: the file cannot be written.
    """
    page = render(found, sweep, setup, took_s)
    try:
        write_text(path, page)
    except OSError as error:
        raise ConfigError(f"cannot write the report {path}: {error.strerror}") from error


def render(found: Calibration, sweep: Sweep, setup: Setup, took_s: float) -> str:
    """Returns the report as one HTML page that needs nothing else."""
    folder = files("gtcrn_frontend.evaluation.report") / "templates"
    template = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    scores, decision = found.scores, found.decision
    shown = decision.candidate or _fewest_errors(scores)
    better, worse = best_and_worst(scores, sweep, shown, setup.counting) if shown else ([], [])
    return template.from_string((folder / "report.html").read_text(encoding="utf-8")).render(
        style=(folder / "report.css").read_text(encoding="utf-8"),
        verdict=decision.verdict.name.lower().replace("_", "-"),
        headline=verdict_text.headline(decision),
        sentences=[_with_minus(sentence) for sentence in verdict_text.all_sentences(found, setup.counting.unit)],
        figures=_figures(found, setup),
        yaml=verdict_text.setting_yaml(decision.setting),
        rate_name=verdict_text.RATE_NAMES[setup.counting.unit],
        charts=_charts(found, setup.counting.unit),
        legend=[{"name": name, "colour": f"line-{i % COLOURS}"} for i, name in enumerate(_models(scores))],
        columns=list(verdict_text.columns(scores, setup.counting.unit)),
        rows=_rows(found, setup.counting.unit),
        shown=name_of_setting(shown) if shown else "",
        better=better,
        worse=worse,
        costs=_costs(sweep, found, took_s),
        facts=_facts(setup, sweep, found),
        steps=setup.counting.normalisation.describe(),
        problems=setup.manifest.problems,
        failures=[str(left) for left in sweep.left[:MOST_FAILURES_SHOWN]],
        more_failures=max(len(sweep.left) - MOST_FAILURES_SHOWN, 0),
        environment=environment(),
    )


def _figures(found: Calibration, setup: Setup) -> list[dict[str, str]]:
    """The few numbers on top."""
    decision, rate = found.decision, verdict_text.RATE_NAMES[setup.counting.unit]
    figures = [
        {"name": f"{rate} without front-end", "value": _percent(decision.raw.value), "note": _range(decision.raw)}
    ]
    if decision.candidate is not None:
        relative = decision.change.value / decision.raw.value if decision.raw.value else 0.0
        name = name_of_setting(decision.candidate)
        figures += [
            {"name": f"{rate} with {name}", "value": _percent(decision.rate.value), "note": _range(decision.rate)},
            {
                "name": "relative change",
                "value": _with_minus(f"{100 * relative:+.0f} %"),
                "note": _points(decision.change.value),
            },
        ]
    if decision.clean_change is not None:
        change = decision.clean_change
        note = _with_minus(f"{100 * change.low:+.1f} to {100 * change.high:+.1f}")
        figures.append({"name": "on clean speech", "value": _points(change.value), "note": note})
    return figures


def _charts(found: Calibration, unit: str) -> list[dict[str, Any]]:
    scores, rate_name = found.scores, verdict_text.RATE_NAMES[unit]
    conditions: list[str | None] = [None, *scores.conditions] if len(scores.conditions) > 1 else [None]
    charts = []
    for condition in conditions:
        title = condition or ("All conditions" if len(scores.conditions) > 1 else scores.conditions[0])
        raw = error_rate(scores.of(RAW, condition))
        lines = [
            Line(
                name,
                [(by_strength(s), error_rate(scores.of(s, condition))) for s in settings if by_strength(s) <= 1],
                next((by_strength(s) for s in settings if s == found.decision.setting), None),
            )
            for name, settings in _models(scores).items()
        ]
        sizes = (LARGE, SMALL) if condition is None else (SMALL,)  # of two, the page shows the one that fits
        svgs = [strength_chart(raw, lines, rate_name, f"{rate_name} by strength, {title}", size) for size in sizes]
        charts.append({"title": title, "svgs": svgs})
    return charts


def _models(scores: Scores) -> dict[str, list[EnhancerConfig]]:
    """Settings of each model by strength, under the model's name."""
    models: dict[str, list[EnhancerConfig]] = {}
    for setting in verdict_text.in_order(scores):
        if not setting.bypass:
            models.setdefault(name_of_model(setting), []).append(setting)
    return models


def _rows(found: Calibration, unit: str) -> list[dict[str, Any]]:
    scores = found.scores
    rows = []
    for setting in verdict_text.in_order(scores):
        cells = []
        for condition in verdict_text.columns(scores, unit).values():
            rate = error_rate(scores.of(setting, condition))
            change = rate_difference(scores.of(RAW, condition), scores.of(setting, condition))
            mark = {"-": "down", "!": "up", " ": ""}[verdict_text.marked(change)]
            half = f"{50 * (rate.high - rate.low):.1f}"
            hint = (
                ""
                if setting.bypass
                else f"{_points(change.value)} ({100 * change.low:+.1f} to {100 * change.high:+.1f})"
            )
            cells.append({"value": f"{100 * rate.value:.1f}", "half": half, "mark": mark, "hint": hint})
        total = add_up(scores.counts[setting])
        rows.append(
            {
                "name": name_of_setting(setting),
                "is_chosen": setting == found.decision.setting,
                "cells": cells,
                "errors": (total.substitutions, total.deletions, total.insertions),
            }
        )
    return rows


def _fewest_errors(scores: Scores) -> EnhancerConfig | None:
    tried = [setting for setting in scores.settings if not setting.bypass]
    return min(tried, key=lambda s: add_up(scores.counts[s]).errors, default=None)


def _costs(sweep: Sweep, found: Calibration, took_s: float) -> list[dict[str, str]]:
    """What time the front-end, the recogniser and the sweep took; of many utterances, the median."""
    items = found.scores.items
    costs = []
    for name, settings in _models(found.scores).items():
        rtf = np.median(
            [sweep.heard[s][item].enhancing_s / item.utterance.duration_s for s in settings for item in items]
        )
        costs.append({"name": f"{name}, per second of audio", "value": f"{1000 * rtf:.1f} ms"})
    rtf = np.median([sweep.heard[RAW][item].recognising_s / item.utterance.duration_s for item in items])
    costs.append({"name": "the recogniser, per second of audio", "value": f"{1000 * rtf:.0f} ms"})
    costs.append({"name": "this calibration", "value": _duration(took_s)})
    return costs


def _facts(setup: Setup, sweep: Sweep, found: Calibration) -> list[tuple[str, str]]:
    utterances = setup.manifest.utterances
    minutes = sum(utterance.duration_s for utterance in utterances) / 60
    judged = f"{len(found.scores.items)} of {len(sweep.items)}, {found.decision.utterances} utterances"
    settings = verdict_text.settings_line(setup.recognizer_settings)
    return [
        ("recogniser", setup.recognizer),
        *([("its settings", settings)] if settings else []),
        ("recordings", f"{setup.manifest_path}: {len(utterances)} utterances, {minutes:.1f} minutes"),
        ("noise", setup.noise_path or "none mixed in: recordings as they are"),
        ("conditions", ", ".join(found.scores.conditions)),
        ("items judged", judged),
        (
            "recognised",
            f"{sweep.recognised} times; {sweep.from_cache} results from the cache; {len(sweep.left)} failures",
        ),
    ]


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _points(change: float) -> str:
    return _with_minus(f"{100 * change:+.1f} points")


def _with_minus(text: str) -> str:
    """The text with the sign that is as wide as a plus, where a hyphen stands before a number."""
    return re.sub(r"(?<!\w)-(?=\d)", "−", text)


def _range(rate: Rate) -> str:
    return f"{100 * rate.low:.1f} to {100 * rate.high:.1f}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
