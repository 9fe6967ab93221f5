"""The pairs judged from their rows alone: rules that must hold, values of the objective."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import product
from typing import Any

import pandas as pd

from sfqa.pairs.wishes import Wishes
from sfqa.tables import FAILED

# Nothing here is taken from the solver: what it says is to be checked, not repeated.
_IMAGE, _CLIP = ("image_source", "image_category"), ("style", "language")
Row = Mapping[str, Any]


def verify(
    rows: Iterable[Row],
    images: pd.DataFrame,
    clips: pd.DataFrame,
    wishes: Wishes,
    keep: pd.DataFrame | None = None,
) -> list[str]:
    """Return what is broken, as sentences; empty where every rule holds.

    Rules: number of pairs, none twice, usable material with its own labels, both sides there and
    disjoint, ``val``, ``per_image``, ``per_clip``, coverage ``all``, every kept pair with its side.
    """
    rows, broken = list(rows), []
    sheets = {"image": _usable(images, "image"), "clip": _usable(clips, "clip")}
    if len(rows) != wishes.count:
        broken.append(f"{len(rows)} pairs, {wishes.count} wanted")
    if len({(row["image_id"], row["clip_id"]) for row in rows}) != len(rows):
        broken.append("a pair is there twice")
    for row in rows:
        name = f"{row['image_id']}__{row['clip_id']}"
        labels = (row["image_source"], row["image_category"], row["style"], row["language"])
        known = (
            *sheets["image"].get(row["image_id"], ()),
            *sheets["clip"].get(row["clip_id"], ()),
        )
        if row["pair_id"] != name or labels != known or row["split"] not in ("train", "val"):
            broken.append(f"pair {row['pair_id']} does not match the sheets")
    val = sum(row["split"] == "val" for row in rows)
    if not 0 < val < len(rows):
        broken.append("a side has no pair")
    if wishes.val not in (None, val):
        broken.append(f"{val} validation pairs, {wishes.val} wanted")
    for kind, limits in (("image", wishes.per_image), ("clip", wishes.per_clip)):
        sides = {(row[f"{kind}_id"], row["split"]) for row in rows}
        if len({name for name, _ in sides}) != len(sides):
            broken.append(f"a {kind} is on both sides")
        uses = Counter(row[f"{kind}_id"] for row in rows)
        if limits and not all(limits[0] <= uses[name] <= limits[1] for name in sheets[kind]):
            broken.append(f"uses of a {kind} lie outside {list(limits)}")
    if wishes.coverage == "all" and _missing(rows, sheets):
        broken.append(f"{_missing(rows, sheets)} combinations have no pair")
    if keep is not None:
        have = {(row["image_id"], row["clip_id"]): row["split"] for row in rows}
        for image, clip, side in zip(keep["image_id"], keep["clip_id"], keep["split"], strict=True):
            usable = image in sheets["image"] and clip in sheets["clip"]
            if usable and have.get((image, clip)) != side:
                broken.append(f"kept pair {image}__{clip} is gone or changed side")
    return broken


def score(
    rows: Iterable[Row], images: pd.DataFrame, clips: pd.DataFrame, wishes: Wishes
) -> list[tuple[str, Fraction]]:
    """Return the value of every term of the objective, in order, counted from the rows.

    The terms are those of :func:`sfqa.pairs.solver.solve`.
    """
    rows = list(rows)
    sheets = {"image": _usable(images, "image"), "clip": _usable(clips, "clip")}
    val = sum(row["split"] == "val" for row in rows)
    terms: list[tuple[str, Fraction]]
    if wishes.val is None:
        ratio = abs(Fraction(len(rows) - val, val) - Fraction(wishes.ratio))
        terms = [("distance of train : val from the ratio", ratio)]
    else:
        terms = [("validation pairs as wished", Fraction(0))]
    if wishes.coverage == "possible":
        terms.append(("uncovered combinations", Fraction(_missing(rows, sheets))))
    limits = {"image": wishes.per_image, "clip": wishes.per_clip}
    free = [kind for kind in sheets if limits[kind] is None]
    limited = [kind for kind in sheets if limits[kind] is not None]
    even = [("uneven use", _uneven(rows, sheets, free))] if free else []
    counts = [("distance from proportional counts", _proportional(rows, sheets, wishes))]
    terms += even + counts if wishes.proportion == "material" else counts + even
    terms.append(("distance of the two sides' labels", _sides(rows, sheets, wishes)))
    if limited:
        terms.append(("uneven use inside the limits", _uneven(rows, sheets, limited)))
    return terms


Sheets = dict[str, dict[str, tuple[str, str]]]


def _usable(frame: pd.DataFrame, kind: str) -> dict[str, tuple[str, str]]:
    first, second = ("source", "category") if kind == "image" else ("style", "language")
    return {
        row[f"{kind}_id"]: (row[first], row[second])
        for row in frame.to_dict("records")
        if row["status"] != FAILED
    }


def _missing(rows: list[Row], sheets: Sheets) -> int:
    wanted = set(product(set(sheets["image"].values()), set(sheets["clip"].values())))
    have = {(tuple(row[k] for k in _IMAGE), tuple(row[k] for k in _CLIP)) for row in rows}
    return len(wanted - have)


def _uneven(rows: list[Row], sheets: Sheets, kinds: list[str]) -> Fraction:
    away = 0
    for kind in kinds:
        uses = Counter(row[f"{kind}_id"] for row in rows)
        mean = Fraction(len(rows), len(sheets[kind]))
        low, high = mean.__floor__(), mean.__ceil__()
        away += sum(max(low - uses[n], uses[n] - high, 0) for n in sheets[kind])
    return Fraction(away)


def _share(sheet: dict[str, tuple[str, str]], proportion: str) -> dict[tuple[str, str], Fraction]:
    sizes = Counter(sheet.values())
    if proportion == "equal":
        return dict.fromkeys(sizes, Fraction(1, len(sizes)))
    return {label: Fraction(n, len(sheet)) for label, n in sizes.items()}


def _proportional(rows: list[Row], sheets: Sheets, wishes: Wishes) -> Fraction:
    image, clip = (_share(sheets[kind], wishes.proportion) for kind in ("image", "clip"))
    have = Counter((tuple(row[k] for k in _IMAGE), tuple(row[k] for k in _CLIP)) for row in rows)
    return sum(
        (abs(have[i, c] - len(rows) * image[i] * clip[c]) for i, c in product(image, clip)),
        Fraction(0),
    )


def _sides(rows: list[Row], sheets: Sheets, wishes: Wishes) -> Fraction:
    away = Fraction(0)
    for kind, columns in (("image", _IMAGE), ("clip", _CLIP)):
        share = _share(sheets[kind], wishes.proportion)
        sets = {frozenset([label]) for label in share}
        for part in (0,) if kind == "image" else (0, 1):
            for word in {label[part] for label in share}:
                sets.add(frozenset(label for label in share if label[part] == word))
        for side in ("train", "val"):
            at = [tuple(row[k] for k in columns) for row in rows if row["split"] == side]
            for labels in sets - {frozenset(share)}:
                target = len(at) * sum((share[label] for label in labels), Fraction(0))
                away += abs(sum(label in labels for label in at) - target)
    return away
