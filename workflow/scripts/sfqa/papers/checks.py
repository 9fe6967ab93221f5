"""Whether published tables agree with themselves: means, main scores, ranks, repeats, marks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from sfqa.correlation.grid import BEST, SECOND
from sfqa.papers.published import FOLDER, Published, columns_of, index, load, marks, scopes
from sfqa.store import to_records

VERSION = 1

_Figures = dict[tuple[str, str, str, str], str]

#: How many generators a dataset has: the points behind a correlation of model means.
_GENERATORS = {"LGVQ": 6, "FETV": 4}
#: Runs whose mean a table reports (LGVQ, sections 4 and 6.1.1).
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
    """One thing that a reader of a table must know: which check found it, and a sentence."""

    table: str
    check: str
    sentence: str


def check(table: Published) -> list[Finding]:
    """Return what does not fit together inside one table, in the order of :data:`CHECKS`."""
    return [
        Finding(table.name, name, sentence)
        for name, find in CHECKS.items()
        for sentence in find(table)
    ]


def check_all(folder: Path = FOLDER) -> list[Finding]:
    """Return the findings of all tables, with those between the tables of one paper last."""
    loaded = {row["table"]: load(row["table"], folder) for row in index(folder)}
    found = [finding for table in loaded.values() for finding in check(table)]
    return found + [Finding(name, "shared_row", text) for name, text in between(loaded)]


def _figures(table: Published) -> _Figures:
    names = ["group", "row", "column", "statistic"]
    keys = table.figures[names].itertuples(index=False, name=None)
    pairs = zip(keys, table.figures["value"], strict=True)
    return {key: value for key, value in pairs if value}


def step(*values: str) -> float:
    """Return the worth of one in the last digit printed, of the coarsest of the values.

    >>> step("0.8241", "0.814")
    0.001
    """
    return max(10.0 ** -len(value.partition(".")[2]) for value in values)


def fits(printed: str, parts: list[str]) -> bool:
    """Return whether a printed mean can be that of printed parts, each rounded or cut.

    The parts may be off by half a step each, the mean by a whole one where digits were cut off.

    >>> fits("0.8296", ["0.8241", "0.8352"]), fits("0.7400", ["0.7322", "0.7488"])
    (True, False)
    """
    exact = float(np.mean([float(part) for part in parts]))
    low, high = exact - step(*parts) / 2, exact + step(*parts) / 2
    whole, tiny = step(printed), 1e-9
    return low - whole - tiny <= float(printed) <= high + whole / 2 + tiny


def _told(row: str, what: str, printed: str, parts: list[str]) -> str:
    exact = np.mean([float(part) for part in parts])
    told = f"{row}: {what} is {printed}, the mean of {' and '.join(parts)} is {exact:.5f}"
    for place, part in enumerate(parts):
        for swapped in _swaps(part):
            if fits(printed, [*parts[:place], swapped, *parts[place + 1 :]]):
                return f"{told}; with {swapped} for {part} (two digits swapped) it would fit"
    return told


def _swaps(text: str) -> list[str]:
    """Return a figure with each two neighbouring, different digits after the point swapped."""
    first = text.find(".") + 1
    return [
        text[:n] + text[n + 1] + text[n] + text[n + 2 :]
        for n in range(first, len(text) - 1)
        if text[n] != text[n + 1]
    ]


def overall(table: Published) -> Iterator[str]:
    """Find an overall figure that is not the mean over the dimensions."""
    figures = table.figures
    if "overall" not in set(figures["dimension"]) or len(set(figures["dimension"])) < 3:
        return
    for (row, statistic), own in figures.groupby(["row", "statistic"], sort=False):
        if statistic not in ("SRCC", "PLCC", "KRCC"):
            continue
        mean = own.loc[own["dimension"] == "overall", "value"].iloc[0]
        parts = list(own.loc[own["dimension"] != "overall", "value"])
        if not fits(mean, parts):
            yield _told(str(row), f"overall {statistic}", mean, parts)


def main_score(table: Published) -> Iterator[str]:
    """Find a main score that is not the mean of |SRCC| and |PLCC|, or not that of its aspects."""
    for (_, row), own in table.figures.groupby(["group", "row"], sort=False):
        found = dict(zip(own["statistic"], own["value"], strict=True))
        printed = found.get("Main Score")
        if printed is None:
            continue
        if "SRCC" in found and not fits(printed, [found["SRCC"], found["PLCC"]]):
            parts = [found["SRCC"], found["PLCC"]]
            yield _told(str(row), "main score", printed, parts)
        aspects = list(own.loc[own["column"] == "Main score of", "value"])
        if aspects and not fits(printed, aspects):
            yield _told(str(row), "main score", printed, aspects)


def rank(table: Published) -> Iterator[str]:
    """Find ranks that are not those of the main scores."""
    figures = table.figures
    ranks = figures[(figures["statistic"] == "Rank") & (figures["value"] != "")]
    scores = figures[figures["statistic"] == "Main Score"].set_index("row")["value"].astype(float)
    if ranks.empty:
        return
    own = scores.loc[list(ranks["row"])]
    true = own.rank(method="min", ascending=False).astype(int)
    for row, printed in zip(ranks["row"], ranks["value"], strict=True):
        if int(printed) != true[row]:
            yield f"{row}: rank {printed}, but the main score {own[row]} stands at {true[row]}"


def bounds(table: Published) -> Iterator[str]:
    """Find correlations outside -1..1 and errors below 0."""
    for (_, row, column, statistic), value in _figures(table).items():
        number = float(value) if statistic in ("SRCC", "PLCC", "KRCC", "RMSE") else 0.0
        if (statistic == "RMSE" and number < 0) or (statistic != "RMSE" and abs(number) > 1):
            yield f"{row}, {column} {statistic}: {value} cannot be"


def repeated_row(table: Published) -> Iterator[str]:
    """Find two rows with (nearly) the same figures: four or more, 80 % of those that both have."""
    figures = _figures(table)
    wanted = columns_of(table)
    rows = list(dict.fromkeys((group, row) for group, row, _, _ in figures))
    for first, second in combinations(rows, 2):
        pairs = [
            (name, figures[(*first, *name)], figures[(*second, *name)])
            for name in wanted
            if (*first, *name) in figures and (*second, *name) in figures
        ]
        apart = [(name, a, b) for name, a, b in pairs if a != b]
        same = len(pairs) - len(apart)
        if same >= 4 and same >= 0.8 * len(pairs):
            rest = "; ".join(f"{c} {s}: {a} and {b}".strip() for (c, s), a, b in apart)
            yield (
                f"{first[1]} and {second[1]} have {same} of {len(pairs)} figures in common"
                + (f" (the rest: {rest})" if rest else "")
            )


def repeated_column(table: Published) -> Iterator[str]:
    """Find two columns that agree in six rows or more and half of those that both have."""
    figures = _figures(table)
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


def one_fit(table: Published) -> Iterator[str]:
    """Find RMSE that cannot belong to the PLCC beside it.

    After a least-squares fit to the same points RMSE is SD(MOS) sqrt(1 - PLCC^2), so that every
    row tells the same SD; a factor of 1.1 between two of them is more than a fit explains.
    """
    spread = {}
    for (_, row), own in table.figures.groupby(["group", "row"], sort=False):
        found = dict(zip(own["statistic"], own["value"], strict=True))
        if found.get("RMSE") and found.get("PLCC"):
            rest = np.sqrt(1 - float(found["PLCC"]) ** 2)
            spread[f"{row}"] = float(found["RMSE"]) / rest
    if spread and max(spread.values()) > 1.1 * min(spread.values()):
        least, most = min(spread, key=spread.__getitem__), max(spread, key=spread.__getitem__)
        yield (
            "RMSE and PLCC are not of one fit to the same points: RMSE / sqrt(1 - PLCC^2) would be "
            f"the SD of the MOS in every row, and runs from {spread[least]:.2f} ({least}) to "
            f"{spread[most]:.2f} ({most}); compare RMSE across rows with care"
        )


def granular(table: Published) -> Iterator[str]:
    """Find model-level rank correlations that so few generators cannot give.

    Untied, SRCC of n means moves in steps of 12 / (n^3 - n), KRCC in steps of 4 / (n^2 - n); the
    mean of R runs in an R-th of that.
    """
    runs = _RUNS.get(table.name)
    figures = table.figures
    if runs is None:
        return
    for dataset, n in _GENERATORS.items():
        for statistic, single in (("SRCC", 12 / (n**3 - n)), ("KRCC", 4 / (n**2 - n))):
            own = figures[
                (figures["dataset"] == dataset)
                & (figures["level"] == "model")
                & (figures["statistic"] == statistic)
                & (figures["value"] != "")
            ]
            if own.empty:
                continue
            value = 1 - own["value"].astype(float).to_numpy()
            off = np.abs(value / (single / runs) - np.round(value / (single / runs)))
            bad = int(np.count_nonzero(off * single / runs > 0.0005 + 1e-9))
            if bad > len(own) // 2:
                mean = f", nor the mean of {runs} of them," if runs > 1 else ""
                yield (
                    f"{bad} of {len(own)} model-level {statistic} on {dataset} cannot be that of "
                    f"{n} means without ties{mean} since these move in steps of "
                    f"{single / runs:.4f}; the paper does not say what was correlated"
                )


def marked(table: Published) -> Iterator[str]:
    """Find figures where our bold or underline is not the paper's, as far as that could be read."""
    if not table.marks or not table.seen:
        return
    words = {BEST: "bold", SECOND: "underline", "": "none"}
    ours = marks(table)
    for own in scopes(table):
        for row in to_records(own):
            key = (row["group"], row["row"], row["column"], row["statistic"])
            due = words[ours.get(key, "")]
            due = due if due in table.marks else "none"
            if row["mark"] != due:
                place = {"bold": "the best", "underline": "the second", "none": "neither"}[due]
                where = " ".join(filter(None, key[2:]))
                shown = {"bold": "bold", "underline": "underlined"}.get(row["mark"], "plain")
                yield f"{row['row']}, {where} {row['value']} is {place} and printed {shown}"


def unseen(table: Published) -> Iterator[str]:
    """Say where the paper's marks could not be read, so that nobody takes ours for them."""
    if table.marks and not table.seen:
        yield (
            "the source of the figures lost the paper's bold and underline: ours are computed and "
            "could not be compared"
        )


def ahead(table: Published) -> Iterator[str]:
    """Find columns where the paper's own method ('Ours') is not the best of its block."""
    for own in scopes(table):
        values = {row["row"]: float(row["value"]) for row in to_records(own)}
        if "Ours" not in values:
            continue
        first = to_records(own)[0]
        best = (min if first["better"] == "lower" else max)(values, key=values.__getitem__)
        if values[best] != values["Ours"]:
            yield (
                f"{first['group']}, {first['column']} {first['statistic']}: {best} "
                f"({values[best]}) is ahead of Ours ({values['Ours']})"
            )


def between(tables: dict[str, Published]) -> Iterator[tuple[str, str]]:
    """Yield (table, sentence) for a row that two tables share with different figures."""
    for (one, row), (two, other) in _SHARED:
        if not {one, two} <= set(tables):
            continue
        first, second = _by_statistic(tables[one], row), _by_statistic(tables[two], other)
        for statistic in [name for name in first if name in second]:
            a, b = first[statistic], second[statistic]
            if float(a) != float(b):
                yield one, (f"{row}: {statistic} {a}, where {tables[two].label} has {b} ({other})")
    if {"lgvq_table3", "lgvq_table5"} <= set(tables):
        yield from _ablation(tables["lgvq_table3"], tables["lgvq_table5"])


def _by_statistic(table: Published, row: str) -> dict[str, str]:
    own = table.figures[table.figures["row"] == row]
    return dict(zip(own["statistic"], own["value"], strict=True))


def _ablation(whole: Published, parts: Published) -> Iterator[tuple[str, str]]:
    last = {
        (row["column"], row["statistic"]): row["value"]
        for row in to_records(parts.figures)
        if row["row"] == "No. 8"
    }
    for row in to_records(whole.figures):
        if row["row"] == "Ours" and row["dataset"] == "LGVQ":
            other = last[row["group"], row["statistic"]]
            if float(other) != float(row["value"]):
                what = f"{row['group']} {row['statistic']}"
                yield parts.name, f"No. 8, {what} {other}, Table 3: {row['value']}"


CHECKS: dict[str, Callable[[Published], Iterator[str]]] = {
    "overall": overall,
    "main_score": main_score,
    "rank": rank,
    "bounds": bounds,
    "repeated_row": repeated_row,
    "repeated_column": repeated_column,
    "one_fit": one_fit,
    "granular": granular,
    "ahead": ahead,
    "marks": marked,
    "marks_lost": unseen,
}


def findings_frame(found: list[Finding]) -> pd.DataFrame:
    """Return findings as a table: table, check, sentence."""
    return pd.DataFrame([vars(f) for f in found], columns=["table", "check", "sentence"])
