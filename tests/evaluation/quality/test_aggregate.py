import csv
import math
from pathlib import Path

import numpy as np
import pytest

from gtcrn_frontend.evaluation.quality.aggregate import bands, mean
from gtcrn_frontend.evaluation.quality.metric_registry import LOG_MEL, PESQ_WB
from gtcrn_frontend.evaluation.quality.quality_tables import (
    COLUMNS,
    band_table,
    difference_table,
    mean_table,
    published_rows,
    published_table,
    rows_of,
    undefined_lines,
)
from gtcrn_frontend.evaluation.quality.score_signals import SignalScores
from gtcrn_frontend.evaluation.report.tables import write_csv

MEASURES = [PESQ_WB, LOG_MEL]


def scored(
    values: dict[str, list[tuple[float, float]]], snrs_db: list[float], groups: str | None = None
) -> list[SignalScores]:
    return [
        SignalScores(
            f"s{i}",
            groups[i] if groups else f"s{i}",
            1.0,
            snr,
            {name: {PESQ_WB.title: v[i][0], LOG_MEL.title: v[i][1]} for name, v in values.items()},
        )
        for i, snr in enumerate(snrs_db)
    ]


@pytest.fixture
def signals() -> list[SignalScores]:
    """Ten signals at 2 dB and ten at 20 dB; b is better than a by 0.1 to 0.2, c has as good a PESQ on average."""
    rng = np.random.default_rng(0)
    a = [(v, 2 * v) for v in rng.uniform(1, 3, 20)]
    b = [(p + d, m - d) for (p, m), d in zip(a, rng.uniform(0.1, 0.2, 20), strict=True)]
    c = [(p + d, m + 0.5) for (p, m), d in zip(a, [-0.3, 0.3] * 10, strict=True)]
    return scored({"noisy": a, "a": a, "b": b, "c": c}, [2.0] * 10 + [20.0] * 10)


def test_paired_differences_are_narrower_than_the_means(signals: list[SignalScores]) -> None:
    plain, difference = mean(signals, "b", PESQ_WB), mean(signals, "b", PESQ_WB, "a")
    assert plain.low < plain.value < plain.high
    assert 0.1 < difference.low < difference.value < difference.high < 0.2
    assert difference.half_width < plain.half_width / 5
    assert difference.value == pytest.approx(plain.value - mean(signals, "a", PESQ_WB).value)


def test_what_is_not_defined_is_left_out_and_counted() -> None:
    found = scored({"x": [(1, math.nan), (3, math.inf), (math.nan, math.nan)]}, [0, 0, 0])
    assert mean(found, "x", PESQ_WB).value == 2
    assert mean(found, "x", PESQ_WB).signals == 2
    nothing = mean(found, "x", LOG_MEL)
    assert math.isnan(nothing.value)
    assert nothing.signals == 0
    assert undefined_lines(found, MEASURES) == [
        "PESQ-WB: not defined for 1 of x; left out of the means",
        "log-mel distance: not defined for 3 of x; left out of the means",
    ]


def test_a_single_group_has_no_interval() -> None:
    alone = mean(scored({"x": [(1, 1), (2, 2)]}, [0, 5], "gg"), "x", PESQ_WB)
    assert alone.value == 1.5
    assert math.isnan(alone.low)


def test_signals_of_one_group_are_not_independent() -> None:
    values = {"x": [(float(i % 4), 0.0) for i in range(40)]}
    wide = mean(scored(values, [0] * 40, "abcd" * 10), "x", PESQ_WB)
    narrow = mean(scored(values, [0] * 40), "x", PESQ_WB)
    assert wide.value == narrow.value
    assert wide.half_width > 2 * narrow.half_width


def test_bands_hold_their_lower_edge() -> None:
    snrs = [-3.0, -1e-4, 4.9, 4.9999, 9.95001, 14.9, 15.0, math.inf, -math.inf, math.nan]
    found = bands(scored({"x": [(1, 1)] * 10}, snrs))
    assert {name: [one.snr_db for one in part] for name, part in found.items()} == {
        "below 0": [-3.0, -math.inf],
        "0 to 4.9": [-1e-4, 4.9],
        "5 to 9.9": [4.9999],
        "10 to 14.9": [9.95001, 14.9],
        "15 and more": [15.0, math.inf],
    }


def test_tables_show_means_intervals_and_published_figures(signals: list[SignalScores]) -> None:
    lines = mean_table(signals, MEASURES).splitlines()
    assert [cell.strip() for cell in lines[0].strip("|").split("|")] == ["mean ±95 %", "noisy", "a", "b", "c"]
    assert "±" in lines[2]
    published = published_table(MEASURES)
    assert published is not None
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in published.splitlines()]
    assert cells[0] == ["published", "noisy", "GTCRN", "Lite-RTSE", "test set"]
    assert cells[2:] == [["PESQ-WB", "1.97", "2.87", "2.67", "VoiceBank-DEMAND"]]
    assert published_table([LOG_MEL]) is None


def test_differences_are_marked_where_they_are_no_chance(signals: list[SignalScores]) -> None:
    table = difference_table(signals, MEASURES, "a")
    assert table is not None
    parts = [part.splitlines() for part in table.split("\n\n")]
    assert max(len(line) for part in parts for line in part) <= 100
    split = [[[cell.strip() for cell in line.strip("|").split("|")] for line in part] for part in parts]
    cells = [first + [cell for line in others for cell in line[1:]] for first, *others in zip(*split, strict=True)]
    assert cells[0] == ["minus a", "noisy", "b", "c"]
    assert cells[2][1] == "+0.00 (+0.00 to +0.00)"
    assert cells[2][2].endswith(") +")
    assert cells[2][3].endswith(")")
    assert cells[3][2].startswith("-0.1")
    assert cells[3][2].endswith(") +"), "less distance is better"
    assert cells[3][3] == "+0.500 (+0.500 to +0.500) !"
    few = difference_table(signals[:9], MEASURES, "a")
    assert few is not None
    assert ") +" not in few, "so few signals prove nothing"


def test_one_system_alone_has_no_differences_and_one_band_no_table(signals: list[SignalScores]) -> None:
    assert difference_table(scored({"a": [(1, 1)]}, [0]), MEASURES, "a") is None
    assert band_table(signals[:10], MEASURES) is None
    table = band_table(signals, MEASURES)
    assert table is not None
    headings, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert headings == ["by input SNR in dB", "0 to 4.9", "15 and more"]
    assert rows[0] == ["signals", "10", "10"]
    assert [row[0] for row in rows[1:]] == [f"{m.title}, {s}" for m in MEASURES for s in ("noisy", "a", "b", "c")]
    assert rows[1][1] == f"{mean(signals[:10], 'noisy', PESQ_WB).value:.2f}"


def test_rows_have_all_columns_and_read_back(signals: list[SignalScores], tmp_path: Path) -> None:
    rows = [*rows_of("these", signals, MEASURES, "a"), *published_rows()]
    write_csv(tmp_path / "scores.csv", COLUMNS, rows)
    with (tmp_path / "scores.csv").open(newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert len(read) == 3 * len(MEASURES) * 7 + 17
    assert tuple(read[0]) == COLUMNS
    (found,) = [
        row
        for row in read
        if (row["snr_db"], row["system"], row["measure"], row["against"]) == ("all", "b", "PESQ-WB", "a")
    ]
    expected = mean(signals, "b", PESQ_WB, "a")
    assert [float(found[name]) for name in ("mean", "low", "high")] == [expected.value, expected.low, expected.high]
    assert [row["material"] for row in read if row["published"]].count("DNS3 blind") == 8
