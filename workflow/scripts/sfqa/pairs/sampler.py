"""The pairs of a dataset: every combination of labels, images and clips used evenly, two sides."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sfqa.errors import UserError
from sfqa.identity import pair_id, seed_of
from sfqa.pairs import sides
from sfqa.pairs.coverage import coverage, format_coverage
from sfqa.tables import FAILED

__all__ = ["VERSION", "coverage", "format_coverage", "make_pairs"]

VERSION = 1

Row = dict[str, Any]
Grid = npt.NDArray[np.int64]


def make_pairs(
    images: pd.DataFrame, clips: pd.DataFrame, count: int, ratio: float = 3.5, seed: int = 0
) -> list[Row]:
    """Return ``count`` rows for ``tables.PAIRS``, train : val as near ``ratio`` as can be.

    ``images`` and ``clips`` are frames of ``tables.IMAGES`` and ``tables.CLIPS``; failed ones are
    not used. First both are split, images by source and category, clips by style and language,
    in proportion, so that none is on both sides. Then pairs are drawn greedily: as long as a
    combination of category, style and language that the split can cover is uncovered, one of
    these, then any; always the one whose image and clip are used least so far, and among equals
    the combination that is rarest on its side. The result depends on names, labels and the seed,
    not on the order of rows.

    Raises :class:`UserError` for fewer than 2 usable images or clips, fewer than 2 pairs, and more
    pairs than there can be.

    >>> images = pd.DataFrame({"image_id": ["a", "b", "c"], "source": "real", "status": "ok",
    ...                        "category": ["x", "x", "y"]})
    >>> clips = pd.DataFrame({"clip_id": ["m", "n"], "style": "pop", "language": ["en", "zh"],
    ...                       "status": "ok"})
    >>> [(row["pair_id"], row["split"]) for row in make_pairs(images, clips, 3, ratio=2)]
    [('a__n', 'train'), ('b__m', 'val'), ('c__n', 'train')]
    """
    images, clips = _usable(images, "image"), _usable(clips, "clip")
    _check(images, clips, count, ratio)
    image_labels = _labels(images, "image_id", ["source", "category"])
    clip_labels = _labels(clips, "clip_id", ["style", "language"])
    sizes = sides.choose_sizes(
        count,
        ratio,
        len(images),
        len(clips),
        len(set(image_labels.values())),
        len(set(clip_labels.values())),
    )
    val_images = sides.draw_val(image_labels, sizes.val_images, "image", seed)
    val_clips = sides.draw_val(clip_labels, sizes.val_clips, "clip", seed)
    # One number per combination of labels, for every cell of the grid of images and clips.
    categories = pd.factorize(images["category"])[0].astype(np.int64)
    musics = clips.groupby(["style", "language"]).ngroup().to_numpy(np.int64)
    combination = categories[:, None] * len(clips) + musics[None, :]
    at_val_i = images["image_id"].isin(val_images).to_numpy()
    at_val_c = clips["clip_id"].isin(val_clips).to_numpy()
    grids = {
        "train": np.ix_(np.flatnonzero(~at_val_i), np.flatnonzero(~at_val_c)),
        "val": np.ix_(np.flatnonzero(at_val_i), np.flatnonzero(at_val_c)),
    }
    val_can = set(combination[grids["val"]].ravel().tolist())
    covered: set[int] = set()
    rows: list[Row] = []
    for split, wanted, other in (("train", sizes.train, val_can), ("val", sizes.val, set())):
        which = grids[split]
        names = [
            [pair_id(i, c) for c in clips["clip_id"].iloc[which[1].ravel()]]
            for i in images["image_id"].iloc[which[0].ravel()]
        ]
        for k, m in _draw(combination[which], names, wanted, covered, other, seed):
            i, c = images.iloc[which[0].ravel()[k]], clips.iloc[which[1].ravel()[m]]
            rows.append(
                {
                    "pair_id": names[k][m],
                    "image_id": i["image_id"],
                    "clip_id": c["clip_id"],
                    "image_source": i["source"],
                    "image_category": i["category"],
                    "style": c["style"],
                    "language": c["language"],
                    "split": split,
                }
            )
    return sorted(rows, key=lambda row: str(row["pair_id"]))


def _draw(
    combination: Grid,
    names: list[list[str]],
    wanted: int,
    covered: set[int],
    elsewhere: set[int],
    seed: int,
) -> list[tuple[int, int]]:
    """Draw ``wanted`` cells of one side's grid; ``covered`` grows by their combinations.

    Combinations that the other side can cover too (``elsewhere``) are covered here last.
    """
    images, clips = combination.shape
    cells = {
        (k, m): seed_of(seed, "pair", names[k][m]) for k in range(images) for m in range(clips)
    }
    ranked = sorted(cells, key=lambda cell: (cells[cell], names[cell[0]][cell[1]]))
    chance = np.empty((images, clips), np.int64)
    for rank, cell in enumerate(ranked):
        chance[cell] = rank
    labels, numbers = np.unique(combination, return_inverse=True)
    numbers = numbers.reshape(combination.shape)
    open_label = np.array([label not in covered for label in labels])
    only_here = np.array([label not in elsewhere for label in labels])
    uses_i, uses_c = np.zeros(images, np.int64), np.zeros(clips, np.int64)
    uses_label = np.zeros(len(labels), np.int64)
    free = np.ones((images, clips), bool)
    drawn = []
    for _ in range(wanted):
        candidates = free
        for mask in (open_label & only_here, open_label):
            if (free & mask[numbers]).any():
                candidates = free & mask[numbers]
                break
        where = np.flatnonzero(candidates)
        # Uses over the side's mean use per image and per clip, in whole numbers.
        cost = uses_i[:, None] * images + uses_c[None, :] * clips
        for key in (cost, uses_label[numbers], chance):
            values = key.ravel()[where]
            where = where[values == values.min()]
        k, m = divmod(int(where[0]), clips)
        drawn.append((k, m))
        free[k, m] = False
        uses_i[k] += 1
        uses_c[m] += 1
        uses_label[numbers[k, m]] += 1
        open_label[numbers[k, m]] = False
        covered.add(int(combination[k, m]))
    return drawn


def _labels(frame: pd.DataFrame, name: str, columns: list[str]) -> dict[str, tuple[str, ...]]:
    rows = zip(*(frame[column].astype(str) for column in columns), strict=True)
    return dict(zip(frame[name], rows, strict=True))


def _usable(frame: pd.DataFrame, kind: str) -> pd.DataFrame:
    kept = frame[frame["status"] != FAILED].sort_values(f"{kind}_id")
    return kept.reset_index(drop=True)


def _check(images: pd.DataFrame, clips: pd.DataFrame, count: int, ratio: float) -> None:
    for frame, kind in ((images, "image"), (clips, "clip")):
        if frame[f"{kind}_id"].duplicated().any():
            name = frame.loc[frame[f"{kind}_id"].duplicated(), f"{kind}_id"].iloc[0]
            raise UserError(f"pairs: the {kind} {name!r} is there twice; keep one")
    if len(images) < 2 or len(clips) < 2:
        raise UserError(
            f"pairs: {len(images)} usable images and {len(clips)} usable clips; a split needs at "
            "least 2 of each, one per side: add some, or see why the others failed"
        )
    if count < 2:
        raise UserError(f"pairs: count is {count}; ask for at least 2, one per side of the split")
    if not (ratio > 0 and np.isfinite(ratio)):
        raise UserError(f"pairs: the ratio train : val is {ratio}; give a number above 0")
