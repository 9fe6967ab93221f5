"""Check published tables for internal contradictions: means, main scores, ranks, repeats, marks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from sfqa.correlation.grid import BEST, SECOND
from sfqa.papers.published import (
    FOLDER,
    Published,
    columns_of,
    group_compared,
    load_published,
    rank_figures,
    read_index,
)
from sfqa.statistics.registry import STATISTICS
from sfqa.store import to_records

VERSION = 1

_STATISTICS = {statistic.label: statistic for statistic in STATISTICS}
_Figures = dict[tuple[str, str, str, str], str]

#: Number of generators of a dataset, i.e. of points in a model-level correlation.
_GENERATORS = {"LGVQ": 6, "FETV": 4}
#: Number of runs whose mean a table reports (LGVQ, sections 4 and 6.1.1).
_RUNS = {"lgvq_table2": 1, "lgvq_table3": 10, "lgvq_table4": 10}

#: Rows that two tables of one paper share: (table, row), (table, row).
_SHARED = (
    (("aigc_vqa_table1", "AIGC-VQA"), ("aigc_vqa_table2", "technical + aesthetic + alignment")),
    (("aigc_vqa_table2", "technical + aesthetic + alignment"),
     ("aigc_vqa_table6", "stage 1 + stage 2 + stage 3")),
    (("aigc_vqa_table2", "technical + aesthetic"), ("aigc_vqa_table6", "stage 1")),
    (("aigc_vqa_table2", "alignment"), ("aigc_vqa_table6", "stage 2")),
    (("aigc_vqa_table4", "70%"), ("aigc_vqa_table6", "stage 2")),
    (("aigc_vqa_table5", "ST-Adapter"), ("aigc_vqa_table6", "stage 2")),
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """A finding about a table: the name of the check and a sentence."""

    table: str
    check: str
    sentence: str


def check_table(table: Published) -> list[Finding]:
    """Return the findings within one table, in the order of :data:`CHECKS`."""
    return [
        Finding(table.name, name, sentence)
        for name, find in CHECKS.items()
        for sentence in find(table)
    ]


def check_tables(folder: Path = FOLDER) -> list[Finding]:
    """Return the findings of all tables; those between tables of one paper come last."""
    loaded = {row["table"]: load_published(row["table"], folder) for row in read_index(folder)}
    findings = [finding for table in loaded.values() for finding in check_table(table)]
    return findings + [Finding(name, "shared_row", text) for name, text in compare_tables(loaded)]


def _index_figures(table: Published) -> _Figures:
    names = ["group", "row", "column", "statistic"]
    keys = table.figures[names].itertuples(index=False, name=None)
    pairs = zip(keys, table.figures["value"], strict=True)
    return {key: value for key, value in pairs if value}


def digit_step(*values: str) -> float:
    """Return the value of one unit in the last printed digit, for the coarsest of the values.

    >>> digit_step("0.8241", "0.814")
    0.001
    """
    return max(10.0 ** -len(value.partition(".")[2]) for value in values)


def is_rounded_mean(printed: str, parts: list[str]) -> bool:
    """Return whether a printed mean is consistent with the printed parts.

    Each part may be off by half a digit step from rounding; the mean by a full step, because it may
    have been truncated.

    >>> is_rounded_mean("0.8296", ["0.8241", "0.8352"])
    True
    >>> is_rounded_mean("0.7400", ["0.7322", "0.7488"])
    False
    """
    exact = float(np.mean([float(part) for part in parts]))
    low, high = exact - digit_step(*parts) / 2, exact + digit_step(*parts) / 2
    mean_step, tolerance = digit_step(printed), 1e-9
    return low - mean_step - tolerance <= float(printed) <= high + mean_step / 2 + tolerance


def _describe_wrong_mean(row: str, what: str, printed: str, parts: list[str]) -> str:
    exact = np.mean([float(part) for part in parts])
    sentence = f"{row}: {what} is {printed}, the mean of {' and '.join(parts)} is {exact:.5f}"
    for index, part in enumerate(parts):
        for swapped in _swap_digits(part):
            if is_rounded_mean(printed, [*parts[:index], swapped, *parts[index + 1 :]]):
                return f"{sentence}; with {swapped} for {part} (two digits swapped) it would fit"
    return sentence


def _swap_digits(text: str) -> list[str]:
    """Return the variants of a number with two different adjacent decimals swapped."""
    first = text.find(".") + 1
    return [
        text[:n] + text[n + 1] + text[n] + text[n + 2 :]
        for n in range(first, len(text) - 1)
        if text[n] != text[n + 1]
    ]


def find_wrong_overall(table: Published) -> Iterator[str]:
    """Find overall values that are not the mean over the dimensions."""
    figures = table.figures
    if "overall" not in set(figures["dimension"]) or len(set(figures["dimension"])) < 3:
        return
    for (row, statistic), rows in figures.groupby(["row", "statistic"], sort=False):
        if statistic not in _STATISTICS or not _STATISTICS[statistic].is_correlation:
            continue
        mean = rows.loc[rows["dimension"] == "overall", "value"].iloc[0]
        parts = list(rows.loc[rows["dimension"] != "overall", "value"])
        if not is_rounded_mean(mean, parts):
            yield _describe_wrong_mean(str(row), f"overall {statistic}", mean, parts)


def find_wrong_main_score(table: Published) -> Iterator[str]:
    """Find main scores that are not the mean of |SRCC| and |PLCC|, or of their aspects."""
    for (_, row), rows in table.figures.groupby(["group", "row"], sort=False):
        values = dict(zip(rows["statistic"], rows["value"], strict=True))
        printed = values.get("Main Score")
        if printed is None:
            continue
        if "SRCC" in values and not is_rounded_mean(printed, [values["SRCC"], values["PLCC"]]):
            parts = [values["SRCC"], values["PLCC"]]
            yield _describe_wrong_mean(str(row), "main score", printed, parts)
        aspects = list(rows.loc[rows["column"] == "Main score of", "value"])
        if aspects and not is_rounded_mean(printed, aspects):
            yield _describe_wrong_mean(str(row), "main score", printed, aspects)


def find_wrong_rank(table: Published) -> Iterator[str]:
    """Find ranks that contradict the main scores."""
    figures = table.figures
    ranks = figures[(figures["statistic"] == "Rank") & (figures["value"] != "")]
    scores = figures[figures["statistic"] == "Main Score"].set_index("row")["value"].astype(float)
    if ranks.empty:
        return
    scores_by_row = scores.loc[list(ranks["row"])]
    true_ranks = scores_by_row.rank(method="min", ascending=False).astype(int)
    for row, printed in zip(ranks["row"], ranks["value"], strict=True):
        if int(printed) != true_ranks[row]:
            yield (
                f"{row}: rank {printed}, but the main score {scores_by_row[row]} stands at "
                f"{true_ranks[row]}"
            )


def find_impossible_values(table: Published) -> Iterator[str]:
    """Find correlations outside [-1, 1] and negative errors."""
    for (_, row, column, statistic), value in _index_figures(table).items():
        if statistic in _STATISTICS and not _STATISTICS[statistic].is_possible(float(value)):
            yield f"{row}, {column} {statistic}: {value} cannot be"


def find_repeated_rows(table: Published) -> Iterator[str]:
    """Find pairs of rows with (nearly) equal values: at least four, and 80 % of the common ones."""
    figures = _index_figures(table)
    columns = columns_of(table)
    rows = list(dict.fromkeys((group, row) for group, row, _, _ in figures))
    for first, second in combinations(rows, 2):
        pairs = [
            (name, figures[(*first, *name)], figures[(*second, *name)])
            for name in columns
            if (*first, *name) in figures and (*second, *name) in figures
        ]
        different = [(name, a, b) for name, a, b in pairs if a != b]
        same = len(pairs) - len(different)
        if same >= 4 and same >= 0.8 * len(pairs):
            differences = "; ".join(f"{c} {s}: {a} and {b}".strip() for (c, s), a, b in different)
            yield (
                f"{first[1]} and {second[1]} have {same} of {len(pairs)} figures in common"
                + (f" (the rest: {differences})" if differences else "")
            )


def find_repeated_columns(table: Published) -> Iterator[str]:
    """Find pairs of columns that agree in at least six rows and half of the common ones."""
    figures = _index_figures(table)
    rows = list(dict.fromkeys((group, row) for group, row, _, _ in figures))
    for first, second in combinations(columns_of(table), 2):
        pairs = [
            (figures[(*row, *first)], figures[(*row, *second)])
            for row in rows
            if (*row, *first) in figures and (*row, *second) in figures
        ]
        same = sum(a == b for a, b in pairs)
        if same >= 6 and same >= 0.5 * len(pairs):
            names = [" ".join(filter(None, name)) for name in (first, second)]
            yield f"'{names[0]}' and '{names[1]}' agree to the last digit in {same} of {len(pairs)}"


def find_inconsistent_rmse(table: Published) -> Iterator[str]:
    """Find RMSE values that contradict the PLCC of the same row.

    After a least-squares fit to the same points, RMSE = SD(MOS) sqrt(1 - PLCC^2), so every row
    implies the same SD; a factor of 1.1 between two rows is more than a fit explains.
    """
    sd_by_row = {}
    for (_, row), rows in table.figures.groupby(["group", "row"], sort=False):
        values = dict(zip(rows["statistic"], rows["value"], strict=True))
        if values.get("RMSE") and values.get("PLCC"):
            rest = np.sqrt(1 - float(values["PLCC"]) ** 2)
            sd_by_row[f"{row}"] = float(values["RMSE"]) / rest
    if sd_by_row and max(sd_by_row.values()) > 1.1 * min(sd_by_row.values()):
        least, most = (
            min(sd_by_row, key=sd_by_row.__getitem__),
            max(sd_by_row, key=sd_by_row.__getitem__),
        )
        yield (
            "RMSE and PLCC are not of one fit to the same points: RMSE / sqrt(1 - PLCC^2) would be "
            f"the SD of the MOS in every row, and runs from {sd_by_row[least]:.2f} ({least}) to "
            f"{sd_by_row[most]:.2f} ({most}); compare RMSE across rows with care"
        )


def find_impossible_steps(table: Published) -> Iterator[str]:
    """Find model-level rank correlations that are impossible with so few generators.

    Without ties, the SRCC of n means is a multiple of 12 / (n^3 - n) and KRCC a multiple of
    4 / (n^2 - n); the mean of R runs is a multiple of an R-th of that.
    """
    runs = _RUNS.get(table.name)
    figures = table.figures
    if runs is None:
        return
    for dataset, n in _GENERATORS.items():
        for statistic, step_size in (("SRCC", 12 / (n**3 - n)), ("KRCC", 4 / (n**2 - n))):
            selected = figures[
                (figures["dataset"] == dataset)
                & (figures["level"] == "model")
                & (figures["statistic"] == statistic)
                & (figures["value"] != "")
            ]
            if selected.empty:
                continue
            value = 1 - selected["value"].astype(float).to_numpy()
            distances = np.abs(value / (step_size / runs) - np.round(value / (step_size / runs)))
            violations = int(np.count_nonzero(distances * step_size / runs > 0.0005 + 1e-9))
            if violations > len(selected) // 2:
                mean = f", nor the mean of {runs} of them," if runs > 1 else ""
                yield (
                    f"{violations} of {len(selected)} model-level {statistic} on {dataset} "
                    f"cannot be that of {n} means without ties{mean} since these move in steps of "
                    f"{step_size / runs:.4f}; the paper does not say what was correlated"
                )


def find_wrong_marks(table: Published) -> Iterator[str]:
    """Find values whose printed bold or underline differs from the computed one."""
    if not table.marks or not table.seen:
        return
    words = {BEST: "bold", SECOND: "underline", "": "none"}
    our_marks = rank_figures(table)
    for compared in group_compared(table):
        for row in to_records(compared):
            key = (row["group"], row["row"], row["column"], row["statistic"])
            expected = words[our_marks.get(key, "")]
            expected = expected if expected in table.marks else "none"
            if row["mark"] != expected:
                position = {"bold": "the best", "underline": "the second", "none": "neither"}[
                    expected
                ]
                where = " ".join(filter(None, key[2:]))
                printed = {"bold": "bold", "underline": "underlined"}.get(row["mark"], "plain")
                yield f"{row['row']}, {where} {row['value']} is {position} and printed {printed}"


def report_lost_marks(table: Published) -> Iterator[str]:
    """Report that the paper's own marks are lost, so the computed ones could not be compared."""
    if table.marks and not table.seen:
        yield (
            "the source of the figures lost the paper's bold and underline: ours are computed and "
            "could not be compared"
        )


def find_better_than_ours(table: Published) -> Iterator[str]:
    """Find columns in which the paper's own method ('Ours') is not the best of its block."""
    for compared in group_compared(table):
        values = {row["row"]: float(row["value"]) for row in to_records(compared)}
        if "Ours" not in values:
            continue
        first = to_records(compared)[0]
        best = (min if first["better"] == "lower" else max)(values, key=values.__getitem__)
        if values[best] != values["Ours"]:
            yield (
                f"{first['group']}, {first['column']} {first['statistic']}: {best} "
                f"({values[best]}) is ahead of Ours ({values['Ours']})"
            )


def compare_tables(tables: dict[str, Published]) -> Iterator[tuple[str, str]]:
    """Yield (table, sentence) for rows that two tables share with different values."""
    for (name, row), (other_name, other_row) in _SHARED:
        if not {name, other_name} <= set(tables):
            continue
        first, second = (
            _index_by_statistic(tables[name], row),
            _index_by_statistic(tables[other_name], other_row),
        )
        for statistic in [name for name in first if name in second]:
            a, b = first[statistic], second[statistic]
            if float(a) != float(b):
                yield (
                    name,
                    f"{row}: {statistic} {a}, where {tables[other_name].label} has {b} "
                    f"({other_row})",
                )
    if {"lgvq_table3", "lgvq_table5"} <= set(tables):
        yield from _compare_ablation(tables["lgvq_table3"], tables["lgvq_table5"])


def _index_by_statistic(table: Published, row: str) -> dict[str, str]:
    rows = table.figures[table.figures["row"] == row]
    return dict(zip(rows["statistic"], rows["value"], strict=True))


def _compare_ablation(
    main_table: Published, ablation_table: Published
) -> Iterator[tuple[str, str]]:
    last = {
        (row["column"], row["statistic"]): row["value"]
        for row in to_records(ablation_table.figures)
        if row["row"] == "No. 8"
    }
    for row in to_records(main_table.figures):
        if row["row"] == "Ours" and row["dataset"] == "LGVQ":
            other = last[row["group"], row["statistic"]]
            if float(other) != float(row["value"]):
                description = f"{row['group']} {row['statistic']}"
                yield ablation_table.name, f"No. 8, {description} {other}, Table 3: {row['value']}"


CHECKS: dict[str, Callable[[Published], Iterator[str]]] = {
    "overall": find_wrong_overall,
    "main_score": find_wrong_main_score,
    "rank": find_wrong_rank,
    "bounds": find_impossible_values,
    "repeated_row": find_repeated_rows,
    "repeated_column": find_repeated_columns,
    "one_fit": find_inconsistent_rmse,
    "granular": find_impossible_steps,
    "ahead": find_better_than_ours,
    "marks": find_wrong_marks,
    "marks_lost": report_lost_marks,
}


def findings_frame(found: list[Finding]) -> pd.DataFrame:
    """Return findings as a data frame with columns table, check, sentence."""
    return pd.DataFrame([vars(f) for f in found], columns=["table", "check", "sentence"])
