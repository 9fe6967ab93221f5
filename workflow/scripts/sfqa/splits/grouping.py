"""Groups of samples with the same image, clip, prompt, ... which a split keeps in one part.

A change of the numbers here raises VERSION in protocols.py.
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
from sfqa.splits.group_names import CONTENTS as CONTENTS
from sfqa.splits.group_names import GROUPS as GROUPS
from sfqa.splits.group_names import add_article
from sfqa.splits.group_names import may_be_empty as may_be_empty
from sfqa.untrusted.documents import parse_json

#: Columns with the keys of ``import.keys`` begin with this, see :func:`expand_keys`.
_KEY_PREFIX = "keys."


def expand_keys(rows: pd.DataFrame) -> pd.DataFrame:
    """Return samples with a column ``keys.NAME`` for each of their keys (``import.keys``).

    >>> rows = pd.DataFrame({"sample_id": ["a", "b"], "keys": ['{"scene": "City"}', None]})
    >>> expand_keys(rows)["keys.scene"].tolist()
    ['City', None]
    """
    if "keys" not in rows or not rows["keys"].notna().any():
        return rows
    keys = [_parse_keys(cell) for cell in rows["keys"]]
    columns = {
        f"{_KEY_PREFIX}{name}": pd.Series([k.get(name) for k in keys], rows.index, dtype=object)
        for name in sorted(set().union(*keys))
    }
    return rows.assign(**columns)


def _parse_keys(cell: Any) -> dict[str, str]:
    """Return the keys of a cell as texts; {} for other text in a user's own column of that name."""
    try:
        content = parse_json(cell) if isinstance(cell, str) else {}
    except ValueError:
        return {}
    if not isinstance(content, dict):
        return {}
    return {name: str(value) for name, value in content.items() if value is not None}


def list_keys(rows: pd.DataFrame) -> list[str]:
    """Return the names of the keys of samples, sorted."""
    columns = expand_keys(rows).columns
    return [str(c).removeprefix(_KEY_PREFIX) for c in columns if str(c).startswith(_KEY_PREFIX)]


def choose_groups(rows: pd.DataFrame, protocol: Mapping[str, Any], where: str) -> list[str]:
    """Return the ``groups`` of a protocol, by default those that have two or more values.

    The default never includes the method. Raises :class:`UserError` for groups that do not
    exist; ``where`` begins its message.
    """
    names = protocol.get("groups")
    if names is None:
        return [g for g in CONTENTS if get_group_values(rows, g).nunique() > 1]
    known_groups = [*GROUPS, *list_keys(rows)]
    for group in names:
        if group not in known_groups:
            raise UserError(f"{where}, groups: no group {group!r}; {hint(group, known_groups)}")
        if not get_group_values(rows, group).notna().any():
            raise UserError(f"{where}, groups: no sample has {add_article(group)}; leave it out")
    if not names or len(set(names)) != len(names):
        raise UserError(f"{where}, groups: {list(names)!r}; name every group once")
    return list(names)


def get_group_values(rows: pd.DataFrame, group: str) -> pd.Series[Any]:
    """Return the value of a group for every row, None if missing; ``group`` may be a key.

    A prompt that all samples of a method share is a setting of the method, not content: it becomes
    None too. So does a video of one sample, which no other can share.
    """
    name = GROUPS.get(group, f"{_KEY_PREFIX}{group}")
    rows = rows if name in rows or group in GROUPS else expand_keys(rows)
    column = rows[name] if name in rows else pd.Series([None] * len(rows), dtype=object)
    column = column.astype(object).where(column.notna(), None)
    if group == "video":
        column = column.where(column.duplicated(keep=False), None)
    if group == "prompt" and "method" in rows:
        column = column.where(column.groupby(rows["method"]).transform("nunique") > 1, None)
    return column


def encode_values(column: pd.Series[Any]) -> tuple[Codes, list[str]]:
    """Return a code per cell (the rank of its value, -1 if empty), and the sorted values.

    >>> codes, names = encode_values(pd.Series(["b", "a", None]))
    >>> codes.tolist(), names
    ([1, 0, -1], ['a', 'b'])
    """
    names = sorted(set(column.dropna()))
    return pd.Categorical(column, categories=names).codes.astype(np.int64), names


def encode_groups(rows: pd.DataFrame, groups: Sequence[str], where: str) -> dict[str, Codes]:
    """Return the code of every row in each group; nested groups are merged into one ('image+clip').

    A row without a prompt, without a shared video, or without one of the keys of ``import.keys``,
    is a group of its own.
    Raises :class:`UserError` for a row without its image, clip, method or label; ``where`` begins
    its message.
    """
    codes_of: dict[str, Codes] = {}
    # Groups whose cells may be empty come last.
    for group in sorted(groups, key=may_be_empty):
        codes, _ = encode_values(get_group_values(rows, group))
        empty = np.flatnonzero(codes < 0)
        if len(empty) and not may_be_empty(group):
            raise UserError(
                f"{where}: the sample {rows['sample_id'].iloc[empty[0]]!r} ({len(empty)} in all) "
                f"has no {group} to be grouped by; fill the column, or leave {group} out of groups"
            )
        for name, other in codes_of.items():
            merged = _merge_nested(other, codes)
            if merged is not None:
                codes_of = {n: c for n, c in codes_of.items() if n != name}
                codes_of[f"{name}+{group}"] = merged
                break
        else:
            # Such rows share the value with no other row: each gets a code of its own.
            codes[empty] = codes.max() + 1 + np.arange(len(empty))
            codes_of[group] = codes
    return codes_of


def _merge_nested(first: Codes, second: Codes) -> Codes | None:
    """Return joint codes if one grouping is nested in the other, else None.

    Nested: every value of one occurs with exactly one value of the other. Cells of ``second`` may
    be empty (-1).
    """
    filled = second >= 0
    pairs = np.unique(np.stack([first[filled], second[filled]]), axis=1)
    is_nested = [len(np.unique(side)) == pairs.shape[1] for side in pairs]
    if not any(is_nested):
        return None
    n = int(first.max()) + 1
    size = n + int(second.max()) + 1
    graph = coo_array((np.ones(pairs.shape[1]), (pairs[0], pairs[1] + n)), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    _, codes = np.unique(component[first], return_inverse=True)
    return codes.astype(np.int64)


def find_largest(codes: Mapping[str, Codes]) -> Codes:
    """Return the codes of the group with the most values, the first of equal ones."""
    return max(codes.values(), key=lambda group_codes: int(group_codes.max()))


def assert_disjoint(rows: pd.DataFrame, groups: Sequence[str], first: Mask, second: Mask) -> None:
    """Raise ``AssertionError`` if rows of the two masks share a value: a bug in this package."""
    for group in groups:
        column = get_group_values(rows, group)
        if set(column[first].dropna()) & set(column[second].dropna()):
            raise AssertionError(f"a {group} is in two parts")
