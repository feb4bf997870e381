"""`write_report`: a calibration as one self-contained HTML page with charts, tables and audio examples."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from gtcrn_frontend.atomic_write import write_text
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.errors import ConfigError
from gtcrn_frontend.evaluation.asr import measure_text, verdict_text
from gtcrn_frontend.evaluation.asr.calibration import Calibration
from gtcrn_frontend.evaluation.asr.scores import Scores
from gtcrn_frontend.evaluation.asr.wer import Rate, error_rate, rate_difference
from gtcrn_frontend.evaluation.environment import environment
from gtcrn_frontend.evaluation.report.charts import COLOURS, LARGE, SMALL, Line, strength_chart
from gtcrn_frontend.evaluation.report.report_examples import best_and_worst
from gtcrn_frontend.evaluation.systems import RAW, by_strength, name_of_model, name_of_setting

MAX_FAILURES_SHOWN = 20


def write_report(calibration: Calibration, path: str | Path) -> None:
    """Writes the report of a calibration; an existing file is replaced.

    Raises:
        ConfigError: the file cannot be written.
    """
    page = render(calibration)
    try:
        write_text(Path(path), page)
    except OSError as error:
        raise ConfigError(f"cannot write the report {path}: {error.strerror}") from error


def render(calibration: Calibration) -> str:
    """Returns the report as an HTML page without references to other files."""
    folder = files("gtcrn_frontend.evaluation.report") / "templates"
    template = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    scores, decision, rate_name = calibration.scores, calibration.decision, calibration.metric.name
    shown = decision.candidate or _fewest_errors(scores)
    better, worse = best_and_worst(calibration, shown) if shown else ([], [])
    failures = calibration.failures
    return template.from_string((folder / "report.html").read_text(encoding="utf-8")).render(
        style=(folder / "report.css").read_text(encoding="utf-8"),
        verdict=decision.verdict.name.lower().replace("_", "-"),
        headline=verdict_text.headline(decision),
        sentences=[_with_minus(sentence) for sentence in calibration.reasons],
        figures=_figures(calibration),
        yaml=verdict_text.setting_yaml(decision.setting),
        rate_name=rate_name,
        charts=_charts(calibration),
        legend=[{"name": name, "colour": f"line-{i % COLOURS}"} for i, name in enumerate(_models(scores))],
        columns=list(verdict_text.columns(scores, rate_name)),
        is_capped=measure_text.has_excess(scores),
        rows=_rows(calibration),
        measures=_measures(calibration),
        shown=name_of_setting(shown) if shown else "",
        better=better,
        worse=worse,
        costs=_costs(calibration),
        facts=_facts(calibration),
        steps=calibration.metric.normalisation.describe(),
        problems=calibration.data.manifest.problems,
        failures=[str(failure) for failure in failures[:MAX_FAILURES_SHOWN]],
        more_failures=max(len(failures) - MAX_FAILURES_SHOWN, 0),
        environment=environment(),
    )


def _figures(calibration: Calibration) -> list[dict[str, str]]:
    """The key figures at the top."""
    decision, rate = calibration.decision, calibration.metric.name
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
                "note": _with_minus(decision.change.points),
            },
        ]
    if decision.clean_change is not None:
        change = decision.clean_change
        note = _with_minus(change.points_interval)
        figures.append({"name": "on clean speech", "value": _with_minus(change.points), "note": note})
    rates = calibration.hallucinations
    if rates is not None:
        shown = decision.candidate or RAW
        name = f"{measure_text.HALLUCINATED} without speech, with {name_of_setting(shown)}"
        note = "" if shown == RAW else f"without front-end {measure_text.per_minute(rates.rate(RAW))}"
        figures.append({"name": name, "value": f"{rates.rate(shown).value:.1f}", "note": note})
    return figures


def _charts(calibration: Calibration) -> list[dict[str, Any]]:
    scores, rate_name = calibration.scores, calibration.metric.name
    conditions: list[str | None] = [None, *scores.conditions] if len(scores.conditions) > 1 else [None]
    charts = []
    for condition in conditions:
        title = condition or ("All conditions" if len(scores.conditions) > 1 else scores.conditions[0])
        raw = error_rate(scores.of(RAW, condition))
        lines = [
            Line(
                name,
                [(by_strength(s), error_rate(scores.of(s, condition))) for s in settings if by_strength(s) <= 1],
                next((by_strength(s) for s in settings if s == calibration.setting), None),
            )
            for name, settings in _models(scores).items()
        ]
        sizes = (LARGE, SMALL) if condition is None else (SMALL,)  # the page shows the one that fits
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


def _rows(calibration: Calibration) -> list[dict[str, Any]]:
    scores = calibration.scores
    rows = []
    for setting in verdict_text.in_order(scores):
        cells = []
        for condition in verdict_text.columns(scores, calibration.metric.name).values():
            rate = error_rate(scores.of(setting, condition))
            change = rate_difference(scores.of(RAW, condition), scores.of(setting, condition))
            cells.append(_cell(measure_text.cell(rate, change, setting, 100)))
        rows.append(_row(calibration, setting, cells))
    return rows


def _measures(calibration: Calibration) -> list[dict[str, Any]]:
    """The tables beside that of error rates."""
    return [
        {
            "title": table.title,
            "columns": table.columns,
            "rows": [_row(calibration, setting, [_cell(cell) for cell in cells]) for setting, cells in table.rows],
        }
        for table in calibration.measures
    ]


def _row(calibration: Calibration, setting: EnhancerConfig, cells: list[dict[str, str]]) -> dict[str, Any]:
    return {"name": name_of_setting(setting), "is_chosen": setting == calibration.setting, "cells": cells}


def _cell(cell: measure_text.Cell) -> dict[str, str]:
    mark = {"-": "down", "!": "up", " ": ""}[cell.mark]
    return {"value": cell.value, "half": cell.half, "mark": mark, "hint": _with_minus(cell.change)}


def _fewest_errors(scores: Scores) -> EnhancerConfig | None:
    tried = [setting for setting in scores.settings if not setting.bypass]
    return min(tried, key=lambda setting: scores.total(setting).errors, default=None)


def _costs(calibration: Calibration) -> list[dict[str, str]]:
    """Computing time of the front-end and the recogniser (medians over items), and of the calibration."""
    items, recognitions = calibration.scores.items, calibration.recognitions
    costs = []
    for name, settings in _models(calibration.scores).items():
        times = [recognitions[s][item.key].enhancing_s / item.utterance.duration_s for s in settings for item in items]
        costs.append({"name": f"{name}, per second of audio", "value": f"{1000 * np.median(times):.1f} ms"})
    times = [recognitions[RAW][item.key].recognising_s / item.utterance.duration_s for item in items]
    costs.append({"name": "recogniser, per second of audio", "value": f"{1000 * np.median(times):.0f} ms"})
    costs.append({"name": "this calibration", "value": _duration(calibration.took_s)})
    return costs


def _facts(calibration: Calibration) -> list[tuple[str, str]]:
    data, recognizer = calibration.data, calibration.recognizers[0]
    utterances = data.manifest.utterances
    minutes = sum(utterance.duration_s for utterance in utterances) / 60
    scored = f"{len(calibration.scores.items)} of {len(data.items)}, {calibration.decision.utterances} utterances"
    settings = verdict_text.settings_line(recognizer.settings)
    return [
        ("recogniser", recognizer.name),
        *([("its settings", settings)] if settings else []),
        ("recordings", f"{data.manifest_path}: {len(utterances)} utterances, {minutes:.1f} minutes"),
        ("noise", data.noise_path or "none mixed in: recordings as they are"),
        *([("rooms", data.rooms_path)] if data.rooms_path else []),
        ("conditions", ", ".join(calibration.scores.conditions)),
        *([("without speech", _without_speech(calibration))] if calibration.hallucinations else []),
        ("items scored", scored),
        (
            "results",
            f"{calibration.recognised} recognised, {calibration.from_cache} from the cache, "
            f"{len(calibration.failures)} failed",
        ),
    ]


def _without_speech(calibration: Calibration) -> str:
    rates = calibration.hallucinations
    return "" if rates is None else _with_minus(f"{rates.minutes:.1f} minutes: {', '.join(rates.conditions)}")


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _with_minus(text: str) -> str:
    """The text with a minus sign, which is as wide as a plus, for each hyphen before a number."""
    return re.sub(r"(?<!\w)-(?=\d)", "−", text)


def _range(rate: Rate) -> str:
    return f"{100 * rate.low:.1f} to {100 * rate.high:.1f}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
