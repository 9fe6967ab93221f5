"""Describe a table of pairs as text: coverage matrix, uses, label shares of the two sides."""

from __future__ import annotations

import pandas as pd

from sfqa.tables import FAILED

_IMAGE, _CLIP = ["source", "category"], ["style", "language"]


def count_combinations(
    pairs: pd.DataFrame, images: pd.DataFrame, clips: pd.DataFrame
) -> pd.DataFrame:
    """Return the number of pairs by image source, category (rows) and style, language (columns).

    The frames are those of ``tables.PAIRS``, ``tables.IMAGES`` and ``tables.CLIPS``. The matrix
    holds every label of the usable images and clips, so a combination without a pair shows as 0.

    >>> images = pd.DataFrame({"source": "ai", "category": ["x", "y"], "status": "ok"})
    >>> clips = pd.DataFrame({"style": ["pop"], "language": ["en"], "status": "ok"})
    >>> pairs = pd.DataFrame({"image_source": ["ai"], "image_category": ["x"], "style": ["pop"],
    ...                       "language": ["en"]})
    >>> print(format_coverage(count_combinations(pairs, images, clips)))
    source category  pop en  sum
    ai x                  1    1
    ai y                  -    0
    sum                   1    1
    1 of 2 combinations of source, category, style and language have a pair
    """
    usable_images, usable_clips = (f[f["status"] != FAILED] for f in (images, clips))
    rows = sorted(set(zip(*(usable_images[k] for k in _IMAGE), strict=True)))
    columns = sorted(set(zip(*(usable_clips[k] for k in _CLIP), strict=True)))
    counts = pairs.groupby(["image_source", "image_category", *_CLIP]).size()
    matrix = [[int(counts.get((*row, *column), 0)) for column in columns] for row in rows]
    return pd.DataFrame(
        matrix,
        index=pd.MultiIndex.from_tuples(rows, names=_IMAGE),
        columns=pd.MultiIndex.from_tuples(columns, names=_CLIP),
        dtype="int64",
    )


def format_coverage(matrix: pd.DataFrame) -> str:
    """Return a matrix of :func:`count_combinations` as aligned text with sums.

    ``-`` marks a combination without a pair.
    """
    lines = [["source category", *(" ".join(map(str, c)) for c in matrix.columns), "sum"]]
    for name, row in zip(matrix.index, matrix.to_numpy(), strict=True):
        cells = [str(n) if n else "-" for n in row.tolist()]
        lines.append([" ".join(map(str, name)), *cells, str(row.sum())])
    lines.append(["sum", *(str(n) for n in matrix.sum()), str(matrix.to_numpy().sum())])
    covered = int((matrix.to_numpy() > 0).sum())
    return "\n".join(
        [
            *_align_columns(lines),
            f"{covered} of {matrix.size} combinations of source, category, style and language have "
            "a pair",
        ]
    )


def describe_pairs(pairs: pd.DataFrame, images: pd.DataFrame, clips: pd.DataFrame) -> str:
    """Return a text that describes a table of pairs.

    It lists the split, the uses per image and clip, the coverage of all pairs and of each side, the
    combinations without a pair, and the number and share of pairs per label on each side.
    """
    count = pairs["split"].value_counts()
    train, val = int(count.get("train", 0)), int(count.get("val", 0))
    lines = [f"{len(pairs)} pairs, train : val = {train} : {val} (ratio {train / val:.4g})"]
    for item_type, frame in (("image", images), ("clip", clips)):
        usable = frame[frame["status"] != FAILED]
        uses = (
            pairs[f"{item_type}_id"].value_counts().reindex(usable[f"{item_type}_id"], fill_value=0)
        )
        ids_per_side = pairs.groupby("split")[f"{item_type}_id"].nunique()
        lines.append(
            f"{len(usable)} {item_type}s, {ids_per_side.get('train', 0)} train and "
            f"{ids_per_side.get('val', 0)} val, used "
            f"{uses.min()} to {uses.max()} times (mean {uses.mean():.4g})"
        )
    matrix = count_combinations(pairs, images, clips)
    lines += ["", "all pairs", format_coverage(matrix)]
    for side in ("train", "val"):
        part = count_combinations(pairs[pairs["split"] == side], images, clips)
        lines += ["", f"{side} pairs", format_coverage(part)]
    missing = [
        f"{' '.join(row)} x {' '.join(column)}"
        for row, values in zip(matrix.index, matrix.to_numpy(), strict=True)
        for column, number in zip(matrix.columns, values, strict=True)
        if not number
    ]
    if missing:
        lines += ["", f"without a pair: {'; '.join(missing)}"]
    return "\n".join([*lines, "", *_format_label_shares(pairs)])


def _format_label_shares(pairs: pd.DataFrame) -> list[str]:
    """Format the number of pairs and the share of the side's pairs for each label."""
    lines = [["label", "train", "", "val", ""]]
    side = pairs["split"]
    for column in ("image_source", "image_category", "style", "language"):
        for label in sorted(set(pairs[column])):
            has_label = pairs[column] == label
            cells = []
            for name in ("train", "val"):
                number = int((has_label & (side == name)).sum())
                cells += [str(number), f"{number / max(1, int((side == name).sum())):.1%}"]
            lines.append([f"{column} {label}", *cells])
    return _align_columns(lines)


def _align_columns(lines: list[list[str]]) -> list[str]:
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    return [
        "  ".join(
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
