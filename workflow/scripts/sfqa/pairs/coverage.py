"""How many pairs each combination of image category, style and language got."""

from __future__ import annotations

import pandas as pd

from sfqa.tables import FAILED


def coverage(pairs: pd.DataFrame, images: pd.DataFrame, clips: pd.DataFrame) -> pd.DataFrame:
    """Return the number of pairs by image category (rows) and style, language (columns).

    The frames are those of ``tables.PAIRS``, ``tables.IMAGES`` and ``tables.CLIPS``. Every
    category and every style and language of the usable images and clips is there, so that a
    combination without a pair shows as 0.

    >>> images = pd.DataFrame({"category": ["x", "y"], "status": "ok"})
    >>> clips = pd.DataFrame({"style": ["pop"], "language": ["en"], "status": "ok"})
    >>> pairs = pd.DataFrame({"image_category": ["x"], "style": ["pop"], "language": ["en"]})
    >>> print(format_coverage(coverage(pairs, images, clips)))
    category  pop en  sum
    x              1    1
    y              -    0
    sum            1    1
    1 of 2 combinations of category, style and language have a pair
    """
    usable_images, usable_clips = (f[f["status"] != FAILED] for f in (images, clips))
    rows = sorted(set(usable_images["category"]))
    columns = sorted(set(zip(usable_clips["style"], usable_clips["language"], strict=True)))
    counts = pairs.groupby(["image_category", "style", "language"]).size()
    matrix = [[int(counts.get((row, *column), 0)) for column in columns] for row in rows]
    return pd.DataFrame(
        matrix,
        index=pd.Index(rows, name="category"),
        columns=pd.MultiIndex.from_tuples(columns, names=["style", "language"]),
        dtype="int64",
    )


def format_coverage(matrix: pd.DataFrame) -> str:
    """Return the matrix of :func:`coverage` as aligned text with sums; ``-`` is no pair."""
    heads = ["category", *(" ".join(map(str, column)) for column in matrix.columns), "sum"]
    lines = [heads]
    for name, row in matrix.iterrows():
        lines.append([str(name), *(str(n) if n else "-" for n in row), str(row.sum())])
    lines.append(["sum", *(str(n) for n in matrix.sum()), str(matrix.to_numpy().sum())])
    widths = [max(len(line[k]) for line in lines) for k in range(len(heads))]
    text = [
        "  ".join(
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    have = int((matrix.to_numpy() > 0).sum())
    text.append(f"{have} of {matrix.size} combinations of category, style and language have a pair")
    return "\n".join(text)
