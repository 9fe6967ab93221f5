"""What makers of small dataset folders share: the made videos, the registry, made-up prompts and scores."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Prompts with commas, quotes, two blanks in a row and letters outside of ASCII, as published ones have.
PROMPTS = ('A red, "old" bus', "Two  cats on a sofa", "Ein Boot bei Köln, abends")


@dataclass
class Made:
    """One made video: path below the folder, MOS by dimension, columns of its sample."""

    path: str
    mos: dict[str, float | None]
    columns: dict[str, str] = field(default_factory=dict)
    sd: dict[str, float] = field(default_factory=dict)
    n: int | None = None
    ratings: dict[tuple[str, str], float] = field(default_factory=dict)


Maker = Callable[[Path], list[Made]]
MAKERS: dict[str, Maker] = {}


def make_folder(name: str, folder: Path, video: bytes = b"no video") -> list[Made]:
    """Write a dataset's folder, each video with the bytes ``video``; return what is in it."""
    folder.mkdir(parents=True, exist_ok=True)
    made = MAKERS[name](folder)
    for one in made:
        path = folder / one.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(video)
    return made


def maker(function: Maker) -> Maker:
    """Register the maker of a dataset by its name."""
    MAKERS[function.__name__] = function
    return function


def make_score(number: int, low: float = 0, high: float = 100) -> float:
    return round(low + (high - low) * ((number * 37) % 101) / 101, 6)


def write_csv(path: Path, header: list[str], rows: list[list[Any]], line_end: str = "\n") -> None:
    """Write a table of comma-separated values."""
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator=line_end)
        writer.writerow(header)
        writer.writerows(rows)
