"""The figures of one row of a paper's table, by name, so that no configuration repeats them."""

from __future__ import annotations

import csv
from functools import cache
from typing import Any

from sfqa.errors import UserError, hint
from sfqa.project_files import PROJECT
from sfqa.sample_fields import MEAN_DIMENSION

#: Folder of the tables; :mod:`sfqa.papers.published` reads and prints whole ones.
FOLDER = PROJECT / "resources" / "published"

_STATISTICS = ("SRCC", "PLCC", "KRCC", "RMSE")


def read_figures(
    table: str, row: str, dataset: str = "", group: str = "", has_overall: bool = False
) -> list[dict[str, Any]]:
    """Return a record for each dimension of a row: source, dimension, srcc, plcc, krcc, rmse.

    Only figures of single videos count. Rows are found by the letters and digits of their label.
    ``dataset`` and ``group`` select among several datasets or blocks of the table. With
    ``has_overall`` the paper's mean over the dimensions is the dimension ``overall``. Raises
    :class:`UserError` for an unknown table or row, and if datasets are not told apart.

    >>> read_figures("sfqa_table2", "dover")[0]["srcc"]
    0.7258
    """
    index = {entry["table"]: entry for entry in _read_rows("index")}
    if table not in index:
        raise UserError(f"published: there is no table {table!r}; {hint(table, index)}")
    figures = [
        figure
        for figure in _read_rows(table)
        if figure["statistic"] in _STATISTICS and figure["level"] == "video" and figure["value"]
    ]
    labels = {figure["row"] for figure in figures}
    figures = [
        figure
        for figure in figures
        if simplify_label(figure["row"]) == simplify_label(row)
        and dataset in ("", figure["dataset"])
        and group in ("", figure["group"])
    ]
    if not figures:
        raise UserError(f"published: {table} has no row {row!r}; {hint(row, sorted(labels))}")
    datasets = sorted({figure["dataset"] for figure in figures})
    if len(datasets) > 1:
        raise UserError(
            f"published: {table} has {row!r} for the datasets {', '.join(datasets)}; add dataset"
        )
    records: dict[str, dict[str, Any]] = {}
    source = f"{index[table]['paper']}, Table {index[table]['number']}"
    for figure in figures:
        if figure["dimension"] == MEAN_DIMENSION and not has_overall:
            continue
        start = {"source": source, "dimension": figure["dimension"]}
        record = records.setdefault(figure["dimension"], start)
        record[figure["statistic"].lower()] = float(figure["value"])
    return list(records.values())


def expand_record(record: dict[str, Any], row: str) -> list[dict[str, Any]]:
    """Return the records that a record with the key ``table`` stands for; another one as it is.

    ``row`` is the label of the row unless the record names another. Its other keys, such as
    ``protocol``, are kept.

    >>> expand_record({"table": "ntire2025_table3"}, "FocusQ")[0]["srcc"]
    0.7708
    """
    if "table" not in record:
        return [record]
    selection = ("table", "row", "dataset", "group")
    others = {key: value for key, value in record.items() if key not in selection}
    figures = read_figures(
        str(record["table"]), str(record.get("row", row)), str(record.get("dataset", "")),
        str(record.get("group", "")), has_overall=True,
    )  # fmt: skip
    return [{**figure, **others} for figure in figures]


def simplify_label(label: str) -> str:
    """Return the letters and digits of a label in lower case.

    >>> simplify_label("QA Team") == simplify_label("QA-Team")
    True
    """
    return "".join(sign for sign in label.casefold() if sign.isalnum())


@cache
def _read_rows(name: str) -> list[dict[str, str]]:
    with open(FOLDER / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
