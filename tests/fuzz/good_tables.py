"""Ten good tables and more, and how the package reads each of them."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sfqa.challenge.phases import read_phase
from sfqa.cli import _score_tables
from sfqa.features.importing import import_table
from sfqa.generation.importing import list_videos
from sfqa.ratings.importing import import_scores
from sfqa.ratings.rater_report import read_answers
from sfqa.sheets import IMAGE_CHOICES, IMAGE_COLUMNS, read_sheet

Rows = list[list[str]]
#: What a reader makes of a table: its values by name, and its notes.
Reading = tuple[dict[Any, Any], list[str]]


@dataclass(frozen=True)
class GoodTable:
    """A table without a fault: its rows, with the header, its columns of numbers, and its reader."""

    rows: Rows
    numbers: tuple[int, ...]
    read: Callable[[Path], Reading]


def _read_features(path: Path) -> Reading:
    imported = import_table({"table": str(path), "id": "video", "mos": {"quality": "mos"}}, 1)
    table = imported.features.to_pydict()
    values = {
        (name, sample): value
        for name in imported.features.column_names[5:]
        for sample, value in zip(table["sample_id"], table[name], strict=True)
    }
    values |= {("mos", row["sample_id"]): row["mos"] for row in imported.mos}
    details = [*table["detail"], *(row["detail"] for row in imported.mos)]
    notes = [f"{row['column']}: {row['detail']}" for row in imported.columns if row["detail"]]
    return values, imported.row_notes + notes + [detail for detail in details if detail]


def _read_scores(path: Path) -> Reading:
    arguments = {"mos": None, "id": None, "mos_id": None, "score": [], "lower": [],
                 "mos_column": None, "dimension": None, "method": None, "group": []}  # fmt: skip
    tables = _score_tables.read_tables(Namespace(tables=[path], **arguments))
    rows = tables.predictions.to_dict("records")
    values = {(row["metric"], row["sample_id"]): row["prediction"] for row in rows}
    values |= {("mos", r["sample_id"]): r["mos"] for r in tables.mos.to_dict("records")}
    missing = [
        f"{row['metric']}: {row['sample_id']}: {row['detail']}" for row in rows if row["detail"]
    ]
    missing += [
        f"mos: {r['sample_id']}: {r['detail']}"
        for r in tables.mos.to_dict("records")
        if r["detail"]
    ]
    return values, tables.notes + missing


def _read_ratings(**source: Any) -> Callable[[Path], Reading]:
    def read(path: Path) -> Reading:
        described = dict(source)
        described[described.pop("format")] = str(path)
        notes: list[str] = []
        rows = import_scores({**described, "ends": [1, 5]}, notes)
        return {(r["rater"], r["sample_id"], r["dimension"]): r["score"] for r in rows}, notes

    return read


def _read_images(path: Path) -> Reading:
    rows = read_sheet(path, IMAGE_COLUMNS, IMAGE_CHOICES)
    return {(row["image_id"], name): row[name] for row in rows for name in row}, []


def _read_videos(path: Path) -> Reading:
    rows = list_videos({"sheet": str(path)}, 1)
    return {(row["sample_id"], name): row[name] for row in rows for name in row}, []


def _read_answers(path: Path) -> Reading:
    rows = read_answers(path).to_dict("records")
    names = ("expected", "tolerance")
    return {(r["sample_id"], r["dimension"], name): r[name] for r in rows for name in names}, []


def _read_phase(path: Path) -> Reading:
    return dict(read_phase(path).mos), []


def _split(text: str) -> Rows:
    return [line.split(",") for line in text.split()]


_FORM = "who,v1_sync,v1_look,v2_sync,v2_look a,5,4,2,1 b,4,4,1,2 c,3,5,2,3 d,4,3,3,1"
TABLES = {
    "features": GoodTable(
        _split("video,sharp,noise,mos v1,55.775,-36.84,51.2 v2,9.5,-38.1,48.6 v3,52.68,-5.5,56.4"),
        (1, 2, 3), _read_features,
    ),
    "few features": GoodTable(
        _split("video,mos,niqe v1,3,1250.5 v2,4,12034 v3,2.5,980 v4,1,3300.25"), (1, 2), _read_features
    ),
    "scores": GoodTable(
        _split("id,mos,ours,theirs a,51.26,0.1,-3 b,48.68,0.25,-1.5 c,56.4,0.8,-7 d,50.5,0.3,-2"),
        (1, 2, 3), _read_scores,
    ),
    "long ratings": GoodTable(
        _split("who,video,what,mark a,v1,sync,5 a,v2,sync,3.5 b,v1,sync,4 b,v2,sync,1.25"),
        (3,), _read_ratings(format="table", rater="who", sample_id="video", score="mark", dimension="what"),
    ),
    "a column per dimension": GoodTable(
        _split("who,video,vq,sync a,v1,5,3.5 a,v2,3,1.5 b,v1,4,4.5 b,v2,1,2.5"),
        (2, 3), _read_ratings(format="table", rater="who", sample_id="video", score={"q": "vq", "s": "sync"}),
    ),
    "wide ratings": GoodTable(
        _split("video,anna,ben,cem v1,5,4,4.5 v2,3,2.5,1 v3,1,2,2 v4,4,5,3.5"),
        (1, 2, 3), _read_ratings(format="wide", sample_id="video", dimension_name="q"),
    ),
    "a row per rater": GoodTable(
        _split(_FORM), (1, 2, 3, 4),
        _read_ratings(format="wide", rater="who", columns_are="{sample}_{dimension}"),
    ),
    "images": GoodTable(
        _split("image_id,path,source,category,licence a,a.png,ai,elf,CC0 b,b.png,real,man,CC0"),
        (), _read_images,
    ),
    "videos": GoodTable(
        _split("video,method,image,clip a.mp4,m1,i1,c1 b.mp4,m1,i2,c1 c.mp4,m2,i1,c2"),
        (), _read_videos,
    ),
    "phase": GoodTable(_split("name,mos a,67.125 b,36.2 c,-36.3 d,59.4"), (1,), _read_phase),
    "answers": GoodTable(
        _split("sample_id,dimension,expected,tolerance g1,sync,4.5,0.5 g2,sync,1.25,1"),
        (2, 3), _read_answers,
    ),
}  # fmt: skip
