"""The pairs of a dataset: the best table for given wishes, proven, and drawn by a seed."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

import pandas as pd

from sfqa.identity import pair_id
from sfqa.pairs.coverage import coverage, format_coverage, report
from sfqa.pairs.deal import deal
from sfqa.pairs.explain import check, explain
from sfqa.pairs.material import KINDS, read_material
from sfqa.pairs.proof import Proof
from sfqa.pairs.solver import solve
from sfqa.pairs.verify import score, verify
from sfqa.pairs.wishes import Wishes

__all__ = ["VERSION", "Pairing", "coverage", "format_coverage", "make_pairs", "report"]

VERSION = 2

Row = dict[str, Any]


class Pairing(NamedTuple):
    """Rows for ``tables.PAIRS``, sorted by name, and what is proven about them."""

    rows: list[Row]
    proof: Proof


def make_pairs(
    images: pd.DataFrame,
    clips: pd.DataFrame,
    count: int,
    ratio: float = 3.5,
    seed: int = 0,
    keep: pd.DataFrame | None = None,
    **wishes: Any,
) -> Pairing:
    """Return the best ``count`` pairs, train : val as near ``ratio`` as can be.

    ``images`` and ``clips`` are frames of ``tables.IMAGES`` and ``tables.CLIPS``; failed ones are
    not used. ``wishes`` are the other fields of :class:`sfqa.pairs.wishes.Wishes`. What is best is
    said in :func:`sfqa.pairs.solver.solve`. ``keep``, an older table of pairs, makes it stable:
    every pair whose image and clip are still there stays with its side, with the labels that the
    sheets give now, and new pairs are added. The result depends on names, labels, wishes and the
    seed, not on the order of rows; without ``keep`` the seed draws individuals, and the numbers per
    class and side do not depend on it.

    Raises :class:`UserError` where the wishes cannot be fulfilled, naming the one in the way.

    >>> images = pd.DataFrame({"image_id": ["a", "b", "c"], "source": "real", "status": "ok",
    ...                        "category": ["x", "x", "y"]})
    >>> clips = pd.DataFrame({"clip_id": ["m", "n"], "style": "pop", "language": ["en", "zh"],
    ...                       "status": "ok"})
    >>> pairing = make_pairs(images, clips, 3, ratio=2)
    >>> sorted(row["split"] for row in pairing.rows), pairing.proof.proven
    (['train', 'train', 'val'], True)
    """
    wished = Wishes(count, ratio, **wishes)
    material = read_material(images, clips, keep)
    check(material, wished)
    counts = solve(material, wished, seed)
    if counts is None:
        raise explain(material, wished)
    label = {
        kind: {name: unit.label for unit in material.units(kind) for name in unit.names}
        for kind in KINDS
    }
    rows = [
        {
            "pair_id": pair_id(image, clip),
            "image_id": image,
            "clip_id": clip,
            "image_source": label["image"][image][0],
            "image_category": label["image"][image][1],
            "style": label["clip"][clip][0],
            "language": label["clip"][clip][1],
            "split": side,
        }
        for image, clip, side in deal(material, counts.members, counts.pairs, seed)
    ]
    broken = verify(rows, images, clips, wished, keep)
    if broken:
        raise RuntimeError(f"pairs: the solver's answer breaks its rules: {'; '.join(broken)}")
    steps = []
    for step, (name, value) in zip(
        counts.proof.steps, score(rows, images, clips, wished), strict=True
    ):
        if name != step.name or value > step.value:
            raise RuntimeError(f"pairs: {step} of the solver, but the rows say {name}: {value}")
        if value < step.bound:  # a bound above what there is was no bound
            step = replace(step, bound=Fraction(0))
        steps.append(replace(step, value=value))
    rows.sort(key=lambda row: str(row["pair_id"]))
    return Pairing(rows, Proof(tuple(steps), counts.proof.settled))
