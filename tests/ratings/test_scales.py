"""A score off the scale is never averaged: refused by its cell, missing by its code, or noted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sfqa.errors import UserError
from sfqa.ratings.importing import import_scores
from sfqa.ratings.scales import describe_odd_scales

TABLES = {
    "table": "who,video,mark\na,v1,5\na,v2,{}\nb,v1,4\nb,v2,2\n",
    "wide": "video,a,b\nv1,5,4\nv2,{},2\n",
    "matrix": "5,4\n{},2\n",
}
KEYS: dict[str, dict[str, str]] = {
    "table": {"rater": "who", "sample_id": "video", "score": "mark"},
    "wide": {"sample_id": "video"},
    "matrix": {},
}
CELLS = {"table": "row 3, column mark", "wide": "row 3, column a", "matrix": "row 2, column 1"}


def read(folder: Path, kind: str, cell: str, **source: Any) -> list[dict[str, Any]]:
    path = folder / "s.csv"
    path.write_text(TABLES[kind].format(cell))
    return import_scores({kind: str(path), "dimension_name": "q", **KEYS[kind], **source})


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("cell", ["55", "-1", "0", "5.5"])
def test_a_score_outside_the_ends_is_refused_by_its_cell(
    tmp_path: Path, kind: str, cell: str
) -> None:
    sentence = f"{CELLS[kind]}: {cell} is outside the scale of 1 to 5"
    with pytest.raises(UserError, match=sentence):
        read(tmp_path, kind, cell, ends=[1, 5])
    with pytest.raises(UserError, match=sentence):
        read(tmp_path, kind, cell, scale=[1, 5], to=[1, 5])
    assert len(read(tmp_path, kind, cell, ends=[-1, 100])) == 4


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("cell", ["-1", "99", "-1.0", "no", "NA", "N/A"])
def test_a_code_is_a_missing_rating(tmp_path: Path, kind: str, cell: str) -> None:
    rows = read(tmp_path, kind, cell, ends=[1, 5], missing_codes=[-1, "99", "no"])
    assert [row["score"] for row in rows if row["rater"] in ("a", "r001")] == [5]
    assert len(rows) == 3


def list_rows(**scores: list[float]) -> list[dict[str, Any]]:
    return [{"rater": r, "dimension": "q", "score": s} for r, ss in scores.items() for s in ss]


@pytest.mark.parametrize(
    ("scores", "names"),
    [
        ({"a": [1, 5], "b": [2, 3], "c": [10, 90]}, "rater 'c' are 10 to 90, those of all others 1"),
        ({"a": [1, 5], "b": [2, 3], "c": [0, 4]}, "rater 'c' are 0 to 4"),
        ({"a": [10, 90], "b": [20, 80], "c": [1, 5]}, "rater 'c' are 1 to 5"),
        ({"a": [0, 50], "b": [0, 40], "c": [0, 100]}, "rater 'c' are 0 to 100"),
        ({"a": [1, 5, 3, 4, 2], "b": [2, -1, 3, 4, 5], "c": [-1, 2, 3, 4, 5]}, "2 scores are -1, away"),
        ({"a": [1, 5, 3, 4, 2], "b": [2, 99, 3, 4, 5], "c": [2, 2, 3, 4, 99]}, "2 scores are 99, away"),
        ({"a": [1, 5], "b": [2, 3], "c": [1, 4]}, ""),
        ({"a": [12, 71.5], "b": [20, 80], "c": [15, 95]}, ""),
        ({"a": [1, 5]}, ""),
    ],
)  # fmt: skip
def test_raters_on_another_scale_and_codes_are_noted(
    scores: dict[str, list[float]], names: str
) -> None:
    notes = describe_odd_scales(list_rows(**scores))
    assert len(notes) == bool(names)
    assert names in "".join(notes)
