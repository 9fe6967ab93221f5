"""What samples share: the groups (image, clip, prompt, method) that a split keeps together.

VERSION of protocols.py stands for this file too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sfqa.errors import UserError, hint
from sfqa.splits.drawing import Codes, Mask

#: The groups, and the column of tables.SAMPLES that each stands for.
GROUPS = {"image": "image_id", "clip": "clip_id", "prompt": "prompt", "method": "method"}


def chosen(rows: pd.DataFrame, protocol: Mapping[str, Any], where: str) -> list[str]:
    """Return the groups asked for, or all of image, clip and prompt that tell samples apart.

    Raises :class:`UserError`, its sentence begun with ``where``, for groups that are not there.
    """
    asked = protocol.get("groups")
    if asked is None:
        return [g for g in ("image", "clip", "prompt") if values(rows, g).nunique() > 1]
    for group in asked:
        if group not in GROUPS:
            raise UserError(f"{where}, groups: no group {group!r}; {hint(group, GROUPS)}")
        if not values(rows, group).notna().any():
            raise UserError(f"{where}, groups: no sample has a {group}; leave it out")
    if not asked or len(set(asked)) != len(asked):
        raise UserError(f"{where}, groups: {list(asked)!r}; name every group once")
    return list(asked)


def values(rows: pd.DataFrame, group: str) -> pd.Series[Any]:
    """Return the values of a group, None where a row has none.

    A prompt that is one for a whole method is a setting, not content: None too.
    """
    name = GROUPS[group]
    column = rows[name] if name in rows else pd.Series([None] * len(rows), dtype=object)
    column = column.astype(object).where(column.notna(), None)
    if group == "prompt" and "method" in rows:
        column = column.where(column.groupby(rows["method"]).transform("nunique") > 1, None)
    return column


def numbered(column: pd.Series[Any]) -> tuple[Codes, list[str]]:
    """Return codes by the values' sorted order, -1 for an empty cell, and the sorted values.

    >>> codes, names = numbered(pd.Series(["b", "a", None]))
    >>> codes.tolist(), names
    ([1, 0, -1], ['a', 'b'])
    """
    names = sorted(set(column.dropna()))
    return pd.Categorical(column, categories=names).codes.astype(np.int64), names


def units(rows: pd.DataFrame, groups: Sequence[str], where: str) -> dict[str, Codes]:
    """Return codes per group, nested groups merged into one; every row has a code in each.

    Raises :class:`UserError`, its sentence begun with ``where``, for a row without its image, clip
    or method.
    """
    found: dict[str, Codes] = {}
    for group in sorted(groups, key=lambda g: g == "prompt"):  # the one that may be empty, last
        code, _ = numbered(values(rows, group))
        empty = np.flatnonzero(code < 0)
        if len(empty) and group != "prompt":
            raise UserError(
                f"{where}: the sample {rows['sample_id'].iloc[empty[0]]!r} ({len(empty)} in all) "
                f"has no {group}, so that it cannot be kept apart; fill it, or leave the group out"
            )
        for name, other in found.items():
            merged = _nested(other, code)
            if merged is not None:
                found = {n: c for n, c in found.items() if n != name}
                found[f"{name}+{group}"] = merged
                break
        else:
            # Without a prompt a row shares it with none: a value of its own.
            code[empty] = code.max() + 1 + np.arange(len(empty))
            found[group] = code
    return found


def _nested(one: Codes, other: Codes) -> Codes | None:
    """The joint codes where every value of one side meets one value of the other, else None."""
    known = other >= 0
    pairs = np.unique(np.stack([one[known], other[known]]), axis=1)
    singly = [len(np.unique(side)) == pairs.shape[1] for side in pairs]
    if not any(singly):
        return None
    n = int(one.max()) + 1
    size = n + int(other.max()) + 1
    graph = coo_array((np.ones(pairs.shape[1]), (pairs[0], pairs[1] + n)), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    _, codes = np.unique(component[one], return_inverse=True)
    return codes.astype(np.int64)


def largest(codes: Mapping[str, Codes]) -> Codes:
    """Return the codes of the group with most values, the first of equal ones."""
    return max(codes.values(), key=lambda code: int(code.max()))


def assert_apart(rows: pd.DataFrame, groups: Sequence[str], one: Mask, other: Mask) -> None:
    """Raise ``AssertionError`` where rows of the two masks share a value: a fault of this code."""
    for group in groups:
        column = values(rows, group)
        if set(column[one].dropna()) & set(column[other].dropna()):
            raise AssertionError(f"a {group} is in two parts")
