"""Verify a table of pairs from its rows alone: constraints and values of the objective."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import product
from typing import Any

import pandas as pd

from sfqa.pairs.constraints import PairConstraints
from sfqa.tables import FAILED

# This module shares no code with the solver, whose result it verifies.
_IMAGE, _CLIP = ("image_source", "image_category"), ("style", "language")
Row = Mapping[str, Any]


def verify_pairs(
    rows: Iterable[Row],
    images: pd.DataFrame,
    clips: pd.DataFrame,
    constraints: PairConstraints,
    keep: pd.DataFrame | None = None,
) -> list[str]:
    """Return every violated constraint as a sentence; empty if all hold.

    Checked: number of pairs, no repetition, usable material with its own labels, both sides
    present and disjoint, ``val``, ``per_image``, ``per_clip``, coverage ``all``, and that kept
    pairs keep their side.
    """
    rows, violations = list(rows), []
    sheets = {"image": _read_usable(images, "image"), "clip": _read_usable(clips, "clip")}
    if len(rows) != constraints.count:
        violations.append(f"{len(rows)} pairs, {constraints.count} wanted")
    if len({(row["image_id"], row["clip_id"]) for row in rows}) != len(rows):
        violations.append("a pair occurs twice")
    for row in rows:
        name = f"{row['image_id']}__{row['clip_id']}"
        labels = (row["image_source"], row["image_category"], row["style"], row["language"])
        sheet_labels = (
            *sheets["image"].get(row["image_id"], ()),
            *sheets["clip"].get(row["clip_id"], ()),
        )
        if row["pair_id"] != name or labels != sheet_labels or row["split"] not in ("train", "val"):
            violations.append(f"pair {row['pair_id']} does not match the sheets")
    val = sum(row["split"] == "val" for row in rows)
    if not 0 < val < len(rows):
        violations.append("a side has no pair")
    if constraints.val not in (None, val):
        violations.append(f"{val} validation pairs, {constraints.val} wanted")
    for item_type, limits in (("image", constraints.per_image), ("clip", constraints.per_clip)):
        sides = {(row[f"{item_type}_id"], row["split"]) for row in rows}
        if len({name for name, _ in sides}) != len(sides):
            violations.append(f"a {item_type} is on both sides")
        uses = Counter(row[f"{item_type}_id"] for row in rows)
        if limits and not all(limits[0] <= uses[name] <= limits[1] for name in sheets[item_type]):
            violations.append(f"uses of a {item_type} lie outside {list(limits)}")
    if constraints.coverage == "all" and _count_uncovered(rows, sheets):
        violations.append(f"{_count_uncovered(rows, sheets)} combinations have no pair")
    if keep is not None:
        sides_of_pairs = {(row["image_id"], row["clip_id"]): row["split"] for row in rows}
        for image, clip, side in zip(keep["image_id"], keep["clip_id"], keep["split"], strict=True):
            usable = image in sheets["image"] and clip in sheets["clip"]
            if usable and sides_of_pairs.get((image, clip)) != side:
                violations.append(f"kept pair {image}__{clip} is gone or changed side")
    return violations


def score_pairs(
    rows: Iterable[Row], images: pd.DataFrame, clips: pd.DataFrame, constraints: PairConstraints
) -> list[tuple[str, Fraction]]:
    """Return the value of every term of the objective, in order, counted from the rows.

    :func:`sfqa.pairs.solver.solve_counts` defines the terms.
    """
    rows = list(rows)
    sheets = {"image": _read_usable(images, "image"), "clip": _read_usable(clips, "clip")}
    val = sum(row["split"] == "val" for row in rows)
    terms: list[tuple[str, Fraction]]
    if constraints.val is None:
        ratio = abs(Fraction(len(rows) - val, val) - Fraction(constraints.ratio))
        terms = [("distance of train : val from the ratio", ratio)]
    else:
        terms = [("number of validation pairs as given", Fraction(0))]
    if constraints.coverage == "possible":
        terms.append(("uncovered combinations", Fraction(_count_uncovered(rows, sheets))))
    limits = {"image": constraints.per_image, "clip": constraints.per_clip}
    free = [item_type for item_type in sheets if limits[item_type] is None]
    limited = [item_type for item_type in sheets if limits[item_type] is not None]
    even = [("uneven use", _sum_uneven_use(rows, sheets, free))] if free else []
    counts = [
        ("distance from proportional counts", _combination_distance(rows, sheets, constraints))
    ]
    terms += even + counts if constraints.proportion == "material" else counts + even
    terms.append(("distance of the two sides' labels", _label_distance(rows, sheets, constraints)))
    if limited:
        terms.append(("uneven use inside the limits", _sum_uneven_use(rows, sheets, limited)))
    return terms


Sheets = dict[str, dict[str, tuple[str, str]]]


def _read_usable(frame: pd.DataFrame, item_type: str) -> dict[str, tuple[str, str]]:
    first, second = ("source", "category") if item_type == "image" else ("style", "language")
    return {
        row[f"{item_type}_id"]: (row[first], row[second])
        for row in frame.to_dict("records")
        if row["status"] != FAILED
    }


def _count_uncovered(rows: list[Row], sheets: Sheets) -> int:
    combinations = set(product(set(sheets["image"].values()), set(sheets["clip"].values())))
    covered = {(tuple(row[k] for k in _IMAGE), tuple(row[k] for k in _CLIP)) for row in rows}
    return len(combinations - covered)


def _sum_uneven_use(rows: list[Row], sheets: Sheets, kinds: list[str]) -> Fraction:
    away = 0
    for item_type in kinds:
        uses = Counter(row[f"{item_type}_id"] for row in rows)
        mean = Fraction(len(rows), len(sheets[item_type]))
        low, high = mean.__floor__(), mean.__ceil__()
        away += sum(max(low - uses[n], uses[n] - high, 0) for n in sheets[item_type])
    return Fraction(away)


def _target_shares(
    sheet: dict[str, tuple[str, str]], proportion: str
) -> dict[tuple[str, str], Fraction]:
    sizes = Counter(sheet.values())
    if proportion == "equal":
        return dict.fromkeys(sizes, Fraction(1, len(sizes)))
    return {label: Fraction(n, len(sheet)) for label, n in sizes.items()}


def _combination_distance(
    rows: list[Row], sheets: Sheets, constraints: PairConstraints
) -> Fraction:
    image, clip = (
        _target_shares(sheets[item_type], constraints.proportion) for item_type in ("image", "clip")
    )
    sides_of_pairs = Counter(
        (tuple(row[k] for k in _IMAGE), tuple(row[k] for k in _CLIP)) for row in rows
    )
    return sum(
        (
            abs(sides_of_pairs[i, c] - len(rows) * image[i] * clip[c])
            for i, c in product(image, clip)
        ),
        Fraction(0),
    )


def _label_distance(rows: list[Row], sheets: Sheets, constraints: PairConstraints) -> Fraction:
    distance = Fraction(0)
    for item_type, columns in (("image", _IMAGE), ("clip", _CLIP)):
        share = _target_shares(sheets[item_type], constraints.proportion)
        sets = {frozenset([label]) for label in share}
        for part in (0,) if item_type == "image" else (0, 1):
            for word in {label[part] for label in share}:
                sets.add(frozenset(label for label in share if label[part] == word))
        for side in ("train", "val"):
            label_pairs = [tuple(row[k] for k in columns) for row in rows if row["split"] == side]
            for labels in sets - {frozenset(share)}:
                target = len(label_pairs) * sum((share[label] for label in labels), Fraction(0))
                distance += abs(sum(label in labels for label in label_pairs) - target)
    return distance
