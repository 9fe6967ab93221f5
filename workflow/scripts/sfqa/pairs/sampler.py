"""Choose the pairs of a dataset: the optimum under the constraints, with its proof."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

import pandas as pd

from sfqa.identity import pair_id
from sfqa.pairs.assignment import assign_members
from sfqa.pairs.constraints import PairConstraints
from sfqa.pairs.infeasible import check_counts, explain_infeasibility
from sfqa.pairs.material import LABEL_COLUMNS, read_material
from sfqa.pairs.proof import Proof
from sfqa.pairs.solver import solve_counts
from sfqa.pairs.verify import score_pairs, verify_pairs

__all__ = ["VERSION", "Pairing", "make_pairs"]

VERSION = 2

Row = dict[str, Any]


class Pairing(NamedTuple):
    """Rows for ``tables.PAIRS``, sorted by name, and the proof of their optimality."""

    rows: list[Row]
    proof: Proof


def make_pairs(
    images: pd.DataFrame,
    clips: pd.DataFrame,
    count: int,
    ratio: float = 3.5,
    seed: int = 0,
    keep: pd.DataFrame | None = None,
    **constraints: Any,
) -> Pairing:
    """Return the optimal ``count`` pairs, split train : val as close to ``ratio`` as possible.

    ``images`` and ``clips`` are frames of ``tables.IMAGES`` and ``tables.CLIPS``; rows with status
    ``failed`` are ignored. ``constraints`` are the other fields of
    :class:`sfqa.pairs.constraints.PairConstraints`. :func:`sfqa.pairs.solver.solve_counts` defines
    the objective. ``keep`` is an earlier table of pairs: every pair whose image and clip still
    exist keeps its side, takes its labels from the present sheets, and new pairs are added. The
    result depends on names, labels, constraints and seed, not on the order of rows. Without
    ``keep`` the seed only chooses individuals; the counts per class and side do not depend on it.

    Raises :class:`UserError` if the constraints cannot all hold, naming the one that conflicts.

    >>> images = pd.DataFrame({"image_id": ["a", "b", "c"], "source": "real", "status": "ok",
    ...                        "category": ["x", "x", "y"]})
    >>> clips = pd.DataFrame({"clip_id": ["m", "n"], "style": "pop", "language": ["en", "zh"],
    ...                       "status": "ok"})
    >>> pairing = make_pairs(images, clips, 3, ratio=2)
    >>> sorted(row["split"] for row in pairing.rows), pairing.proof.is_proven
    (['train', 'train', 'val'], True)
    """
    pair_constraints = PairConstraints(count, ratio, **constraints)
    material = read_material(images, clips, keep)
    check_counts(material, pair_constraints)
    counts = solve_counts(material, pair_constraints, seed)
    if counts is None:
        raise explain_infeasibility(material, pair_constraints)
    labels = {
        item_type: {
            name: unit.label for unit in material.get_units(item_type) for name in unit.names
        }
        for item_type in LABEL_COLUMNS
    }
    rows = [
        {
            "pair_id": pair_id(image, clip),
            "image_id": image,
            "clip_id": clip,
            "image_source": labels["image"][image][0],
            "image_category": labels["image"][image][1],
            "style": labels["clip"][clip][0],
            "language": labels["clip"][clip][1],
            "split": side,
        }
        for image, clip, side in assign_members(material, counts.members, counts.pairs, seed)
    ]
    violations = verify_pairs(rows, images, clips, pair_constraints, keep)
    if violations:
        raise RuntimeError(f"pairs: the solver's answer breaks its rules: {'; '.join(violations)}")
    steps = []
    for step, (name, value) in zip(
        counts.proof.steps, score_pairs(rows, images, clips, pair_constraints), strict=True
    ):
        if name != step.name or value > step.value:
            raise RuntimeError(f"pairs: {step} of the solver, but the rows say {name}: {value}")
        if value < step.bound:  # a bound above an attained value is wrong
            step = replace(step, bound=Fraction(0))
        steps.append(replace(step, value=value))
    rows.sort(key=lambda row: str(row["pair_id"]))
    return Pairing(rows, Proof(tuple(steps), counts.proof.settled))
