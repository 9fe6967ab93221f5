"""The images and clips to pair, grouped by label, and the pairs that an earlier table fixes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pandas as pd

from sfqa.errors import UserError
from sfqa.tables import FAILED
from sfqa.user_tables import read_table

SIDES = ("train", "val")
LABEL_COLUMNS = {"image": ("source", "category"), "clip": ("style", "language")}
Label = tuple[str, str]


@dataclass(frozen=True)
class Unit:
    """A group of interchangeable images (or clips): same labels, and same side if it is fixed.

    An image or clip that an earlier table uses is a unit of its own, with its side.
    """

    label: Label
    names: tuple[str, ...]
    side: str | None = None


@dataclass(frozen=True)
class Material:
    """Units in a fixed order, and the kept pairs as (image, clip, side)."""

    images: tuple[Unit, ...]
    clips: tuple[Unit, ...]
    kept: tuple[tuple[str, str, str], ...] = ()

    def get_units(self, item_type: str) -> tuple[Unit, ...]:
        """Return the units of ``image`` or ``clip``."""
        return self.images if item_type == "image" else self.clips

    def count_items(self, item_type: str) -> int:
        """Return the number of images or clips."""
        return sum(len(unit.names) for unit in self.get_units(item_type))

    def count_by_label(self, item_type: str) -> dict[Label, int]:
        """Return the number of images or clips by label, labels sorted."""
        result: dict[Label, int] = {}
        for unit in self.get_units(item_type):
            result[unit.label] = result.get(unit.label, 0) + len(unit.names)
        return dict(sorted(result.items()))


def read_kept_pairs(path: Path | str) -> pd.DataFrame:
    """Return the pairs of ``pairs.keep``, an earlier table of pairs: image_id, clip_id, split.

    Raises :class:`UserError` for a missing column, an empty cell, and a split that is neither train
    nor val.
    """
    table = read_table(path, "pairs")
    names = ("image_id", "clip_id", "split")
    for name in names:
        for index, cell in enumerate(table.get_column(name, "pairs.keep")):
            where = table.describe_cell(name, index)
            if cell in (None, ""):
                raise UserError(f"{where}: empty; fill it or delete the row")
            if name == "split" and cell not in SIDES:
                raise UserError(f"{where}: {cell!r}; write train or val")
    return pd.DataFrame({name: [str(cell) for cell in table.columns[name]] for name in names})


def read_material(
    images: pd.DataFrame, clips: pd.DataFrame, keep: pd.DataFrame | None = None
) -> Material:
    """Group the usable images and clips of the sheets into units, sorted by label and name.

    ``keep`` has the columns image_id, clip_id and split of an earlier table of pairs: its images
    and clips keep their side; pairs whose image or clip no longer exists are dropped. Raises
    :class:`UserError` for repeated names, fewer than 2 usable images or clips, and a table that
    uses one image or clip on both sides.

    >>> images = pd.DataFrame({"image_id": ["b", "a"], "source": "ai", "category": "x",
    ...                        "status": "ok"})
    >>> clips = pd.DataFrame({"clip_id": ["m", "n"], "style": "pop", "language": ["en", "zh"],
    ...                       "status": "ok"})
    >>> read_material(images, clips).images
    (Unit(label=('ai', 'x'), names=('a', 'b'), side=None),)
    """
    labels = {"image": _read_labels(images, "image"), "clip": _read_labels(clips, "clip")}
    if min(len(labels_by_id) for labels_by_id in labels.values()) < 2:
        raise UserError(
            f"pairs: {len(labels['image'])} usable images and {len(labels['clip'])} usable clips; "
            "a split needs at least 2 of each, one per side: add some, or check why others failed"
        )
    rows: list[tuple[str, str, str]] = []
    if keep is not None:
        columns = (keep[name].astype(str) for name in ("image_id", "clip_id", "split"))
        rows = sorted(set(zip(*columns, strict=True)))
    sides = {
        item_type: _read_sides(rows, k, item_type) for k, item_type in enumerate(LABEL_COLUMNS)
    }
    kept_pairs = tuple(r for r in rows if r[0] in labels["image"] and r[1] in labels["clip"])
    units = {
        item_type: _group_units(labels[item_type], sides[item_type]) for item_type in LABEL_COLUMNS
    }
    return Material(units["image"], units["clip"], kept_pairs)


def _read_labels(frame: pd.DataFrame, item_type: str) -> dict[str, Label]:
    """Return the two labels of every usable image or clip, sorted by name."""
    used = frame[frame["status"] != FAILED]
    names = used[f"{item_type}_id"].astype(str)
    if names.duplicated().any():
        name = names[names.duplicated()].iloc[0]
        raise UserError(f"pairs: the {item_type} {name!r} occurs twice; keep one")
    first, second = LABEL_COLUMNS[item_type]
    values = zip(names, used[first].astype(str), used[second].astype(str), strict=True)
    return {name: (a, b) for name, a, b in sorted(values)}


def _read_sides(
    rows: Iterable[tuple[str, str, str]], column: int, item_type: str
) -> dict[str, str]:
    sides: dict[str, str] = {}
    for row in rows:
        if row[2] not in SIDES:
            raise UserError(
                f"pairs: the kept pair {row[0]}, {row[1]} has split {row[2]!r}; write train or val"
            )
        if sides.setdefault(row[column], row[2]) != row[2]:
            raise UserError(
                f"pairs: the kept pairs use {item_type} {row[column]!r} in train and in val; "
                "correct the table named in pairs: keep, or choose new pairs without it"
            )
    return sides


def _group_units(labels: dict[str, Label], sides: dict[str, str]) -> tuple[Unit, ...]:
    free = sorted((label, name) for name, label in labels.items() if name not in sides)
    units = [
        Unit(label, tuple(name for _, name in members))
        for label, members in groupby(free, key=lambda pair: pair[0])
    ]
    units += [Unit(labels[name], (name,), side) for name, side in sides.items() if name in labels]
    return tuple(sorted(units, key=lambda unit: (unit.label, unit.side or "", unit.names)))
