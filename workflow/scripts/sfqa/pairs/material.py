"""The material of the pairs: images and clips by label, and what an older table fixes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

import pandas as pd

from sfqa.errors import UserError
from sfqa.tables import FAILED

SIDES = ("train", "val")
KINDS = {"image": ("source", "category"), "clip": ("style", "language")}
Label = tuple[str, str]


@dataclass(frozen=True)
class Unit:
    """Images (or clips) that nothing tells apart: same labels, and same side where it is fixed.

    An image or clip that an older table uses is a unit of its own, with its side.
    """

    label: Label
    names: tuple[str, ...]
    side: str | None = None


@dataclass(frozen=True)
class Material:
    """Units in a fixed order, and the kept pairs as (image, clip) with their side."""

    images: tuple[Unit, ...]
    clips: tuple[Unit, ...]
    kept: tuple[tuple[str, str, str], ...] = ()

    def units(self, kind: str) -> tuple[Unit, ...]:
        """The units of ``image`` or ``clip``."""
        return self.images if kind == "image" else self.clips

    def size(self, kind: str) -> int:
        """The number of images or clips."""
        return sum(len(unit.names) for unit in self.units(kind))

    def sizes(self, kind: str) -> dict[Label, int]:
        """The number of images or clips by label, labels sorted."""
        result: dict[Label, int] = {}
        for unit in self.units(kind):
            result[unit.label] = result.get(unit.label, 0) + len(unit.names)
        return dict(sorted(result.items()))


def read_material(
    images: pd.DataFrame, clips: pd.DataFrame, keep: pd.DataFrame | None = None
) -> Material:
    """Return the usable material of the sheets as units, labels sorted, names sorted.

    ``keep`` has the columns image_id, clip_id and split of an older table of pairs: what it uses
    keeps its side; its pairs whose image or clip is gone are dropped. Raises :class:`UserError`
    for repeated names, fewer than 2 usable images or clips, and a table that uses one image or
    clip on both sides.

    >>> images = pd.DataFrame({"image_id": ["b", "a"], "source": "ai", "category": "x",
    ...                        "status": "ok"})
    >>> clips = pd.DataFrame({"clip_id": ["m", "n"], "style": "pop", "language": ["en", "zh"],
    ...                       "status": "ok"})
    >>> read_material(images, clips).images
    (Unit(label=('ai', 'x'), names=('a', 'b'), side=None),)
    """
    labels = {"image": _labels(images, "image"), "clip": _labels(clips, "clip")}
    if min(len(found) for found in labels.values()) < 2:
        raise UserError(
            f"pairs: {len(labels['image'])} usable images and {len(labels['clip'])} usable clips; "
            "a split needs at least 2 of each, one per side: add some, or see why the others failed"
        )
    rows: list[tuple[str, str, str]] = []
    if keep is not None:
        columns = (keep[name].astype(str) for name in ("image_id", "clip_id", "split"))
        rows = sorted(set(zip(*columns, strict=True)))
    side = {kind: _sides(rows, k, kind) for k, kind in enumerate(KINDS)}
    kept = tuple(r for r in rows if r[0] in labels["image"] and r[1] in labels["clip"])
    units = {kind: _units(labels[kind], side[kind]) for kind in KINDS}
    return Material(units["image"], units["clip"], kept)


def _labels(frame: pd.DataFrame, kind: str) -> dict[str, Label]:
    """The two labels of every usable image or clip, names sorted."""
    used = frame[frame["status"] != FAILED]
    names = used[f"{kind}_id"].astype(str)
    if names.duplicated().any():
        name = names[names.duplicated()].iloc[0]
        raise UserError(f"pairs: the {kind} {name!r} is there twice; keep one")
    first, second = KINDS[kind]
    values = zip(names, used[first].astype(str), used[second].astype(str), strict=True)
    return {name: (a, b) for name, a, b in sorted(values)}


def _sides(rows: Iterable[tuple[str, str, str]], column: int, kind: str) -> dict[str, str]:
    sides: dict[str, str] = {}
    for row in rows:
        if row[2] not in SIDES:
            raise UserError(
                f"pairs: the kept pair {row[0]}, {row[1]} has split {row[2]!r}; write train or val"
            )
        if sides.setdefault(row[column], row[2]) != row[2]:
            raise UserError(
                f"pairs: the kept pairs use {kind} {row[column]!r} in train and in val; "
                "mend the table named in pairs: keep, or make the pairs anew without it"
            )
    return sides


def _units(labels: dict[str, Label], sides: dict[str, str]) -> tuple[Unit, ...]:
    free = sorted((label, name) for name, label in labels.items() if name not in sides)
    units = [
        Unit(label, tuple(name for _, name in members))
        for label, members in groupby(free, key=lambda pair: pair[0])
    ]
    units += [Unit(labels[name], (name,), side) for name, side in sides.items() if name in labels]
    return tuple(sorted(units, key=lambda unit: (unit.label, unit.side or "", unit.names)))
