"""How samples are split into train, validation and test: nothing leaks by default.

Every row is a test row exactly once per repeat (not in a fixed split). The splits depend on the
samples' names and labels and the seed, never on the order of the rows or on who could be scored.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sfqa import identity
from sfqa.errors import UserError, hint

#: Version of the splits.
VERSION = 1

TRAIN, VALIDATION, TEST = "train", "validation", "test"
KINDS = ("fixed", "group_kfold", "random_kfold", "leave_one_method_out")
GROUPS = {"image": "image_id", "clip": "clip_id", "prompt": "prompt", "method": "method"}
_KEYS = {
    "fixed": ("groups", "validation", "allow_shared"),
    "group_kfold": ("groups", "k", "repeats", "validation"),
    "random_kfold": ("k", "repeats", "validation"),
    "leave_one_method_out": ("validation",),
}

Codes = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Split:
    """One trial of a protocol: the part of every sample that takes part in it."""

    protocol: str
    trial: int
    part: dict[str, str]


def make_splits(samples: pd.DataFrame, protocol: Mapping[str, Any], seed: int) -> list[Split]:
    """Return the trials of a protocol over samples (columns of tables.SAMPLES).

    Keys of ``protocol``: ``name``, ``kind`` and

    - ``fixed``: the dataset's own split, its ``val`` being our test; one trial. ``allow_shared``
      accepts a published split whose sides share an image, clip or prompt.
    - ``group_kfold``: ``k`` folds (5) of the ``groups`` (image, clip, prompt, method; default: all
      of image, clip, prompt that tell samples apart). A group nested in another (each image with
      clips of its own) needs no folds of its own. For g crossed groups there are k**g trials, one
      per cell of folds; rows that share a value with the test cell are left out of train.
    - ``random_kfold``: ``k`` folds of rows, the field's optimistic protocol.
    - ``leave_one_method_out``: one trial per method.

    ``repeats`` (1) repeats k-fold with new folds. ``validation`` (.15) is the share of train rows
    carved out for model selection, by the same grouping (for crossed groups by the group of most
    values alone, else little would be left); 0 is none. Raises :class:`UserError` where the
    samples do not allow the protocol.
    """
    where = f"config, regression.protocols {protocol.get('name')!r}"
    kind, share = _checked(protocol, where)
    if samples["sample_id"].duplicated().any():
        twice = samples.loc[samples["sample_id"].duplicated(), "sample_id"].iloc[0]
        raise UserError(f"{where}: the sample {twice!r} is there twice; keep one")
    rows = samples.sort_values("sample_id", ignore_index=True)
    if rows.empty:
        raise UserError(f"{where}: there are no samples to split")
    trials = {
        "fixed": _fixed,
        "group_kfold": _group_kfold,
        "random_kfold": _random_kfold,
        "leave_one_method_out": _leave_one_method_out,
    }[kind](rows, protocol, seed, where)
    ids = rows["sample_id"].to_numpy(object)
    splits = []
    for trial, (train, test, unit) in trials:
        validation = _carve(train, unit, share, (seed, kind, "validation", trial), where)
        part = {
            **dict.fromkeys(ids[train & ~validation], TRAIN),
            **dict.fromkeys(ids[validation], VALIDATION),
            **dict.fromkeys(ids[test], TEST),
        }
        splits.append(Split(str(protocol["name"]), trial, part))
    return splits


_Trial = tuple[int, tuple[Mask, Mask, Codes]]


def _checked(protocol: Mapping[str, Any], where: str) -> tuple[str, float]:
    kind = protocol.get("kind")
    if kind not in _KEYS:
        raise UserError(f"{where}: no kind {kind!r}; {hint(kind, KINDS)}")
    for key in protocol:
        if key not in ("name", "kind", *_KEYS[kind]):
            raise UserError(
                f"{where}: unknown key {key!r}; kind {kind} has {', '.join(_KEYS[kind])}"
            )
    share = protocol.get("validation", 0.15)
    if not isinstance(share, (int, float)) or not 0 <= share < 1:
        raise UserError(f"{where}, validation: {share!r}; write a share from 0 to below 1")
    for key, least in (("k", 2), ("repeats", 1)):
        value = protocol.get(key, least)
        if not isinstance(value, int) or value < least:
            raise UserError(f"{where}, {key}: {value!r}; write a whole number, {least} or more")
    return str(kind), float(share)


def _fixed(
    rows: pd.DataFrame, protocol: Mapping[str, Any], seed: int, where: str
) -> Iterator[_Trial]:
    side = rows["split"] if "split" in rows else pd.Series([None] * len(rows))
    train, test = (side == "train").to_numpy(bool), (side == "val").to_numpy(bool)
    if not train.any() or not test.any():
        raise UserError(
            f"{where}: {int(train.sum())} samples have the split 'train' and {int(test.sum())} "
            "'val'; both are needed: fill the column split, or use kind group_kfold"
        )
    groups = _chosen(rows, protocol, where)
    if not protocol.get("allow_shared", False):
        for group in groups:
            column = _values(rows, group)
            both = sorted(set(column[train].dropna()) & set(column[test].dropna()))
            if both:
                raise UserError(
                    f"{where}: the {group} {both[0]!r} ({len(both)} in all) is in train and in "
                    "val; use kind group_kfold, or say allow_shared: true to keep this split"
                )
    codes = _units(rows, groups, where)
    yield 0, (train, test, _largest(codes) if codes else np.arange(len(rows)))


def _group_kfold(
    rows: pd.DataFrame, protocol: Mapping[str, Any], seed: int, where: str
) -> Iterator[_Trial]:
    groups, k = _chosen(rows, protocol, where), int(protocol.get("k", 5))
    if not groups:
        raise UserError(
            f"{where}: the samples have no image, clip or prompt to group by; fill these columns, "
            "or use kind random_kfold"
        )
    codes = _units(rows, groups, where)
    for name, code in codes.items():
        if code.max() + 1 < k:
            raise UserError(
                f"{where}: {int(code.max()) + 1} different values of {name} are too few for "
                f"{k} folds; choose a smaller k or other groups"
            )
    cells = list(itertools.product(range(k), repeat=len(codes)))
    for repeat in range(int(protocol.get("repeats", 1))):
        folds = np.stack(
            [_folds(code, k, (seed, "group_kfold", n, repeat)) for n, code in codes.items()]
        )
        for number, cell in enumerate(cells):
            same = folds == np.array(cell)[:, None]
            train, test = ~same.any(axis=0), same.all(axis=0)
            if not test.any():
                continue  # in a sparse design no row may have this pair of folds
            if not train.any():
                raise UserError(
                    f"{where}: trial {number} is left without train rows; choose a larger k, "
                    "or fewer groups"
                )
            _assert_apart(rows, groups, train, test)
            yield repeat * len(cells) + number, (train, test, _largest(codes))


def _random_kfold(
    rows: pd.DataFrame, protocol: Mapping[str, Any], seed: int, where: str
) -> Iterator[_Trial]:
    k, unit = int(protocol.get("k", 5)), np.arange(len(rows))
    if len(rows) < k:
        raise UserError(f"{where}: {len(rows)} samples are too few for {k} folds; lower k")
    for repeat in range(int(protocol.get("repeats", 1))):
        folds = _folds(unit, k, (seed, "random_kfold", repeat))
        for fold in range(k):
            yield repeat * k + fold, (folds != fold, folds == fold, unit)


def _leave_one_method_out(
    rows: pd.DataFrame, protocol: Mapping[str, Any], seed: int, where: str
) -> Iterator[_Trial]:
    unit, names = _codes(rows["method"])
    if len(names) < 3:
        raise UserError(
            f"{where}: {len(names)} methods are too few, one each is needed for train, validation "
            "and test; add methods or leave this protocol out"
        )
    for number in range(len(names)):
        yield number, (unit != number, unit == number, unit)


def _chosen(rows: pd.DataFrame, protocol: Mapping[str, Any], where: str) -> list[str]:
    """The groups asked for, or all of image, clip and prompt that tell samples apart."""
    asked = protocol.get("groups")
    if asked is None:
        return [g for g in ("image", "clip", "prompt") if _values(rows, g).nunique() > 1]
    for group in asked:
        if group not in GROUPS:
            raise UserError(f"{where}, groups: no group {group!r}; {hint(group, GROUPS)}")
        if not _values(rows, group).notna().any():
            raise UserError(f"{where}, groups: no sample has a {group}; leave it out")
    if not asked or len(set(asked)) != len(asked):
        raise UserError(f"{where}, groups: {list(asked)!r}; name every group once")
    return list(asked)


def _values(rows: pd.DataFrame, group: str) -> pd.Series[Any]:
    """The values of a group; a prompt that is one for a whole method is a setting, not content."""
    name = GROUPS[group]
    column = rows[name] if name in rows else pd.Series([None] * len(rows), dtype=object)
    column = column.astype(object).where(column.notna(), None)
    if group == "prompt" and "method" in rows:
        column = column.where(column.groupby(rows["method"]).transform("nunique") > 1, None)
    return column


def _codes(column: pd.Series[Any]) -> tuple[Codes, list[str]]:
    names = sorted(set(column.dropna()))
    return pd.Categorical(column, categories=names).codes.astype(np.int64), names


def _units(rows: pd.DataFrame, groups: Sequence[str], where: str) -> dict[str, Codes]:
    """Codes per group, nested groups merged into one; every row has a code in each."""
    units: dict[str, Codes] = {}
    for group in sorted(groups, key=lambda g: g == "prompt"):  # the one that may be empty, last
        code, _ = _codes(_values(rows, group))
        empty = np.flatnonzero(code < 0)
        if len(empty) and group != "prompt":
            raise UserError(
                f"{where}: the sample {rows['sample_id'].iloc[empty[0]]!r} ({len(empty)} in all) "
                f"has no {group}, so that it cannot be kept apart; fill it, or leave the group out"
            )
        for name, other in units.items():
            merged = _nested(other, code)
            if merged is not None:
                units = {n: c for n, c in units.items() if n != name}
                units[f"{name}+{group}"] = merged
                break
        else:
            # Without a prompt a row shares it with none: a value of its own.
            code[empty] = code.max() + 1 + np.arange(len(empty))
            units[group] = code
    return units


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


def _largest(codes: Mapping[str, Codes]) -> Codes:
    return max(codes.values(), key=lambda code: int(code.max()))


def _folds(unit: Codes, k: int, seed: Sequence[str | int]) -> Codes:
    """Fold of every row: values in random order, large ones first, each to the emptiest fold."""
    sizes = np.bincount(unit)
    order = identity.generator(*seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    load, fold = np.zeros(k, np.int64), np.zeros(len(sizes), np.int64)
    if len(sizes) and (sizes == sizes[0]).all():
        fold[order] = np.arange(len(sizes)) % k
        return fold[unit]
    for value in order:
        fold[value] = int(np.argmin(load))
        load[fold[value]] += sizes[value]
    return fold[unit]


def _carve(train: Mask, unit: Codes, share: float, seed: Sequence[str | int], where: str) -> Mask:
    """Train rows to validate on: whole values of the unit, as near to the share as they come."""
    if share == 0:
        return np.zeros_like(train)
    values, sizes = np.unique(unit[train], return_counts=True)
    if len(values) < 2:
        raise UserError(
            f"{where}: too few groups in train to carve out a validation part; "
            "choose other groups or say validation: 0"
        )
    order = identity.generator(*seed).permutation(len(values))
    rows = np.cumsum(sizes[order])[:-1]
    taken = 1 + int(np.argmin(np.abs(rows - share * train.sum())))
    return train & np.isin(unit, values[order[:taken]])


def _assert_apart(rows: pd.DataFrame, groups: Sequence[str], train: Mask, test: Mask) -> None:
    for group in groups:
        column = _values(rows, group)
        if set(column[train].dropna()) & set(column[test].dropna()):
            raise AssertionError(f"a {group} is in train and test")
