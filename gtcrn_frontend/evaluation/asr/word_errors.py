"""Word error rates of systems: what recognisers make of their outputs, for `evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.evaluation.asr.normalise import Normalisation
from gtcrn_frontend.evaluation.asr.recognizer_source import RecognizerSource
from gtcrn_frontend.evaluation.asr.scores import MOST_FAILURES, Scores, score
from gtcrn_frontend.evaluation.asr.sweep import MissingResult, Sweep
from gtcrn_frontend.evaluation.asr.verdict_text import columns, marked
from gtcrn_frontend.evaluation.asr.wer import Rate, error_rate, rate_difference
from gtcrn_frontend.evaluation.noisy_set import Item
from gtcrn_frontend.evaluation.quality.aggregate import ALL
from gtcrn_frontend.evaluation.report.tables import Value, markdown_table
from gtcrn_frontend.evaluation.result_cache import Cache, Recognition
from gtcrn_frontend.evaluation.systems import RAW

Row = dict[str, Value]

MEASURE = "WER %"


def recognise_all(
    items: Sequence[Item],
    systems: Sequence[EnhancerConfig],
    source: RecognizerSource,
    cache: Cache[Recognition],
    normalisation: Normalisation,
    *,
    jobs: int = 1,
    timeout_s: float | None = None,
    progress: Callable[[int], object] = lambda count: None,
    report: Callable[[MissingResult], None] = lambda left: None,
) -> Scores:
    """Returns the word errors of a recogniser behind each system, on the items that all of them have a result for.

    Args:
        items: what is recognised, with transcripts.
        systems: settings of the enhancer; the input as it is, `RAW`, is among them or is added.
        source: the recogniser.
        cache: where transcripts are looked for and kept.
        normalisation: of both texts.
        jobs: processes that recognise, >= 1.
        timeout_s: see `Sweep`.
        progress: called with the number of results that have just come.
        report: called with each failure.

    Raises:
        ImportError: the package jiwer is not installed.
        ModelError: a model or the recogniser cannot be loaded, or the recogniser fails too often without front-end.
        ConfigError: the cache cannot be written to.
    """
    settings = list(dict.fromkeys([RAW, *systems]))
    with Sweep(items, source, cache, jobs=jobs, timeout_s=timeout_s, report=report) as sweep:
        sweep.hear(settings, progress)
        scores = score(items, sweep.heard, normalisation)
        if RAW not in scores.counts or not scores.items:
            reason = sweep.left[0] if sweep.left else "no item has a result behind every system"
            raise ModelError(
                f"{source.name} failed on more than {MOST_FAILURES:.0%} of the items without front-end: {reason}"
            )
        return scores


def wer_table(scores: Scores, systems: Mapping[str, EnhancerConfig]) -> str:
    """Returns the rates in percent by condition, with half of their 95 % intervals, and the kinds of errors.

    `-` marks a rate significantly below that of the unprocessed input, `!` one above (paired bootstrap, 95 %).
    """
    rows: list[Row] = []
    for name, setting in systems.items():
        if setting not in scores.counts:
            continue
        row: Row = {"system": name}
        for title, condition in columns(scores, "word").items():
            rate, change = _rates(scores, setting, condition)
            row[title] = f"{100 * rate.value:.1f} ±{50 * (rate.high - rate.low):.1f} {marked(change)}"
        counts = scores.counts[setting]
        row |= {
            "sub": sum(count.substitutions for count in counts),
            "del": sum(count.deletions for count in counts),
            "ins": sum(count.insertions for count in counts),
        }
        rows.append(row)
    return markdown_table(rows, {})


def wer_rows(material: str, recognizer: str, scores: Scores, systems: Mapping[str, EnhancerConfig]) -> list[Row]:
    """Returns all rates, and differences from the unprocessed input, in percent, as rows of `quality_tables`."""
    raw = next((name for name, setting in systems.items() if setting == RAW), "")
    rows: list[Row] = []
    for name, setting in systems.items():
        if setting not in scores.counts:
            continue
        for condition in (None, *scores.conditions):
            rate, change = _rates(scores, setting, condition)
            for found, against in ((rate, None), (change, raw)) if setting != RAW else ((rate, None),):
                rows.append(
                    {
                        "material": material,
                        "snr_db": (condition or ALL).removesuffix(" dB"),
                        "system": name,
                        "measure": f"{MEASURE} {recognizer}",
                        "signals": sum(condition in (None, item.condition) for item in scores.items),
                        "mean": 100 * found.value,
                        "low": 100 * found.low,
                        "high": 100 * found.high,
                        "against": against,
                        "published": None,
                    }
                )
    return rows


def _rates(scores: Scores, setting: EnhancerConfig, condition: str | None) -> tuple[Rate, Rate]:
    """The rate of a setting, and its change from the unprocessed input."""
    counts = scores.of(setting, condition)
    return error_rate(counts), rate_difference(scores.of(RAW, condition), counts)
