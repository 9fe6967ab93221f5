"""Wide tables of ratings: either orientation, dimensions in the header, and no summary as a rater."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pandas as pd
import pytest

from sfqa import store, tables
from sfqa.errors import UserError
from sfqa.ratings.importing import build_notes, import_scores
from sfqa.report.rejects import collect_rejects

RATERS = {"anna": [5, 4, 2, 3], "ben": [4, 4, 1, 3], "cem": [5, 3, 2, 2]}
VIDEOS = ["v1", "v2", "v3", "v4"]
ALL = sorted((r, v, s) for r, scores in RATERS.items() for v, s in zip(VIDEOS, scores, strict=True))


def wide(columns: dict[str, list[Any]]) -> str:
    """Return a table with these columns after the videos."""
    lines = [",".join(["video", *columns])]
    lines += [",".join(map(str, row)) for row in zip(VIDEOS, *columns.values(), strict=True)]
    return "\n".join(lines) + "\n"


def read(
    folder: Path, text: str, notes: list[str] | None = None, **source: Any
) -> list[tuple[str, str, float]]:
    path = folder / "w.csv"
    path.write_text(text)
    described = {"wide": str(path), "dimension_name": "q", **source}
    if "rater" not in source:
        described.setdefault("sample_id", "video")
    if "columns_are" in source:
        del described["dimension_name"]
    rows = import_scores(described, notes)
    if "columns_are" in source:
        return sorted((r["rater"], r["sample_id"], r["dimension"], r["score"]) for r in rows)
    return sorted((r["rater"], r["sample_id"], r["score"]) for r in rows)


def list_cells(statistic: Any, digits: int = 2) -> list[float]:
    return [round(statistic(cells), digits) for cells in zip(*RATERS.values(), strict=True)]


@pytest.mark.parametrize(
    ("name", "cells", "reason"),
    [
        ("mean", list_cells(mean), "the mean of"),
        ("Average score", list_cells(mean, 4), "the mean of"),
        ("MOS", list_cells(mean), "the mean of"),
        ("std", list_cells(stdev), "the standard deviation of"),
        ("Mittelwert", list_cells(mean), "the mean of"),
        ("promedio", list_cells(mean, 3), "the mean of"),
        ("n", [3, 3, 3, 3], "the number of"),
        ("count", [3, 3, 3, 3], "the number of"),
        ("median", list_cells(lambda cells: sorted(cells)[1]), "the median of"),
        ("variance", list_cells(lambda cells: stdev(cells) ** 2, 3), "the variance of"),
        ("max", list_cells(max), "the maximum of"),
        ("ci95", list_cells(lambda c: 4.303 * stdev(c) / 3**0.5), "the half 95 % interval of"),
        ("Summe", list_cells(sum), "the sum of"),
        ("gesamt", list_cells(mean), "the mean of"),
        ("varianz", list_cells(lambda cells: stdev(cells) ** 2), "the variance of"),
        ("Zentralwert", list_cells(lambda cells: sorted(cells)[1]), "the median of"),
        ("KI", list_cells(lambda c: 4.303 * stdev(c) / 3**0.5), "the half 95 % interval of"),
        ("ratings", [3, 3, 3, 3], "the number of"),
        ("Écart-type", list_cells(stdev), "the standard deviation of"),
        ("No.", [1, 2, 3, 4], "it counts the rows"),
        ("N°", [1, 2, 3, 4], "it counts the rows"),
        ("Zeile", [0, 1, 2, 3], "it counts the rows"),
        ("rownames", [7, 0, 3, 2], "it counts the rows"),
        ("Unnamed: 0", [3, 0, 1, 2], "the row numbers of"),
        ("index", [7, 0, 3, 2], "it counts the rows"),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_summaries_and_row_numbers_are_no_raters(
    tmp_path: Path, name: str, cells: list[float], reason: str, is_first: bool
) -> None:
    columns = {name: cells, **RATERS} if is_first else {**RATERS, name: cells}
    notes: list[str] = []
    assert read(tmp_path, wide(columns), notes) == ALL
    assert f"the column {name!r} is left out: it" in notes[0]
    assert reason in notes[0]
    # The same in the rows of the table with a row for each rater.
    if "row numbers" not in reason and "counts the rows" not in reason:
        rows = "\n".join(",".join(map(str, [key, *column])) for key, column in columns.items())
        notes = []
        assert read(tmp_path, f"who,{','.join(VIDEOS)}\n{rows}\n", notes, rater="who") == ALL
        assert f"{name!r} is left out: it holds {reason}" in notes[0]


@pytest.mark.parametrize("name", ["X", "...1", "Pos.", "Column1", "video_nr"])
def test_a_first_column_that_counts_the_rows_is_no_rater(tmp_path: Path, name: str) -> None:
    lines = wide(RATERS).splitlines()
    text = "\n".join(f"{n},{line}" for n, line in zip([name, 1, 2, 3, 4], lines, strict=True))
    notes: list[str] = []
    assert read(tmp_path, text, notes) == ALL
    assert f"the column {name!r} is left out: it counts the rows" in notes[0]
    means = ",".join(str(mean(scores)) for scores in RATERS.values())
    assert read(tmp_path, f"{text}\n,Mean,{means}\n") == ALL


def test_several_summaries_at_once_reach_the_report(tmp_path: Path) -> None:
    summaries = {"Mittelwert": list_cells(mean), "Streuung": list_cells(stdev), "n": [3, 3, 3, 3]}
    notes: list[str] = []
    assert read(tmp_path, wide({**RATERS, **summaries}), notes) == ALL
    assert len(notes) == 3
    others = {
        "n": [3] * 4,
        "Summe": list_cells(sum),
        "min": list_cells(min),
        "max": list_cells(max),
    }
    for columns in ({**RATERS, **others, **summaries}, {**others, **summaries, **RATERS}):
        assert read(tmp_path, wide(columns)) == ALL
    rows = build_notes(tmp_path / "w.csv", notes)
    assert store.to_arrow(tables.RATING_NOTES, rows).num_rows == 3
    rejects = collect_rejects({"rating_notes": pd.DataFrame(rows)})
    assert "the column 'Mittelwert' is left out: it holds the mean of" in rejects[0]["detail"]


@pytest.mark.parametrize(
    "name", ["mean", "std_dev", "MOS", "95% CI", "meanScore", "Summe", "varianz", "ratings", "25%"]
)
def test_a_summary_by_its_name_alone_is_a_question(tmp_path: Path, name: str) -> None:
    columns = {**RATERS, name: [4, 1, 3, 2]}
    with pytest.raises(UserError, match=r"is the column '.*' a summary .* list it in 'ignore'"):
        read(tmp_path, wide(columns))
    assert read(tmp_path, wide(columns), ignore=[name]) == ALL


@pytest.mark.parametrize("name", ["Max", "Min", "N", "dmitri", "mean"])
def test_a_rater_may_have_the_name_of_a_summary(tmp_path: Path, name: str) -> None:
    if name == "mean":  # most columns are called so
        columns = {f"mean_{k}": column for k, column in enumerate(RATERS.values())}
    else:
        columns = {**RATERS, name: [1, 5, 4, 5]}
    notes: list[str] = []
    assert {row[0] for row in read(tmp_path, wide(columns), notes)} == set(columns)
    assert ("is read as the others are" in "".join(notes)) == (name in ("Max", "Min", "N"))


def test_two_raters_with_more_summaries_than_raters(tmp_path: Path) -> None:
    raters = {name: RATERS[name] for name in ("anna", "ben")}
    pairs = list(zip(*raters.values(), strict=True))
    summaries = {
        "mean": [mean(p) for p in pairs],
        "sd": [stdev(p) for p in pairs],
        "sum": [sum(p) for p in pairs],
    }
    assert {row[0] for row in read(tmp_path, wide({**raters, **summaries}))} == {"anna", "ben"}


def test_a_row_of_sums_below_the_videos_is_no_video(tmp_path: Path) -> None:
    notes: list[str] = []
    sums = ",".join(str(sum(column)) for column in RATERS.values())
    assert read(tmp_path, wide({**RATERS}) + f"Summe,{sums}\n", notes) == ALL
    assert "row 6: 'Summe' is left out: it holds the sum of the other rows" in notes[0]


def test_text_in_a_column_is_a_question_that_names_the_option(tmp_path: Path) -> None:
    columns = {**RATERS, "when": ["monday"] * 4}
    with pytest.raises(UserError, match=r"row 2, column when: 'monday' .* list it in 'ignore'"):
        read(tmp_path, wide(columns))


@pytest.mark.parametrize(
    ("pattern", "header"),
    [
        ("{sample}_{dimension}", "v_1_quality,v_1_lip_sync,v_2_quality,v_2_lip_sync"),
        ("{dimension}:{sample}", "quality:v_1,lip_sync:v_1,quality:v_2,lip_sync:v_2"),
        ("{sample} [{dimension}]", "v_1 [quality],v_1 [lip_sync],v_2 [quality],v_2 [lip_sync]"),
        ("Rate {sample}: {dimension}?", "Rate v_1: quality?,Rate v_1: lip_sync?,Rate v_2: quality?,Rate v_2: lip_sync?"),
    ],
)  # fmt: skip
def test_forms_have_a_row_per_rater_and_the_dimension_in_the_header(
    tmp_path: Path, pattern: str, header: str
) -> None:
    text = f"when,who,{header}\nmonday,anna,5,4,3,\ntuesday,ben,1,2,3,4\n"
    assert read(tmp_path, text, rater="who", ignore=["when"], columns_are=pattern) == [
        ("anna", "v_1", "lip_sync", 4),
        ("anna", "v_1", "quality", 5),
        ("anna", "v_2", "quality", 3),
        ("ben", "v_1", "lip_sync", 2),
        ("ben", "v_1", "quality", 1),
        ("ben", "v_2", "lip_sync", 4),
        ("ben", "v_2", "quality", 3),
    ]


def test_names_that_can_be_read_in_two_ways_ask_for_the_dimensions(tmp_path: Path) -> None:
    text = "who,a_1_q,a_2_q,b_1_q,b_2_q\nanna,1,2,3,4\nben,2,3,4,5\n"
    with pytest.raises(UserError, match=r"may be '1_q' or 'q'; list the dimensions in"):
        read(tmp_path, text, rater="who", columns_are="{sample}_{dimension}")
    got = read(
        tmp_path, text, rater="who", columns_are="{sample}_{dimension}", dimensions=["1_q", "2_q"]
    )
    assert ("anna", "a", "2_q", 2) in got
    with pytest.raises(UserError, match="does not match .* with one of the dimensions 1_q"):
        read(tmp_path, text, rater="who", columns_are="{sample}_{dimension}", dimensions=["1_q"])


@pytest.mark.parametrize("keys", [{}, {"sample_id": "video", "rater": "video"}])
def test_an_unclear_orientation_names_both_options(tmp_path: Path, keys: dict[str, str]) -> None:
    path = tmp_path / "w.csv"
    path.write_text(wide(RATERS))
    with pytest.raises(UserError, match=r"either 'sample_id' .*--sample\) or 'rater' .*--rater\)"):
        import_scores({"wide": str(path), "dimension_name": "q", **keys})
