"""Chance in the splits: whole groups of rows dealt out to folds and to parts.

A group is a code 0, 1, ... per row (codes without a row do no harm). What is drawn depends on the
codes and the seed alone. VERSION of protocols.py stands for this file too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sfqa import identity
from sfqa.errors import UserError

Codes = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Seed = Sequence[str | int]

#: Decimals of a room in rows that decide which part is emptier: equal rooms are to tie.
_DIGITS = 6


def folds(unit: Codes, k: int, seed: Seed) -> Codes:
    """Return the fold of every row: groups at random, large ones first, each to the emptiest fold.

    >>> np.bincount(folds(np.repeat(np.arange(6), 4), 3, (1,))).tolist()
    [8, 8, 8]
    """
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


def portions(unit: Codes, shares: Sequence[float], seed: Seed) -> Codes:
    """Return the part, 0 to ``len(shares) - 1``, of every row: whole groups, near to the shares.

    Large groups come first, so that small ones fill what is left. A group goes to a part with room
    for it, at random in proportion to the rooms (by a fixed rule, as always to the emptiest, the
    largest would be train in every trial); where none has room, to the part with most. No part is
    then further from its share of the rows than the largest group has rows, unless the smallest
    groups are needed for parts that are empty. A part of share 0 stays empty. There must be as many
    groups as parts with a share, or more.

    >>> drawn = portions(np.repeat(np.arange(468), 6), (7, 1, 2), (1,))
    >>> (np.bincount(drawn) // 6).tolist()
    [328, 47, 93]
    """
    sizes = np.bincount(unit)
    numbers = identity.generator(*seed)
    order = numbers.permutation(np.flatnonzero(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    chances = numbers.random(len(order)).tolist()
    wanted = [p for p, share in enumerate(shares) if share > 0]
    scale = len(unit) / sum(shares)
    room = {p: shares[p] * scale for p in wanted}
    empty = set(wanted)
    part = np.zeros(len(sizes), np.int64)
    for number, value in enumerate(order.tolist()):
        size = int(sizes[value])
        if len(order) - number <= len(empty):
            chosen = _emptiest(room, [p for p in wanted if p in empty])
        else:
            fitting = [p for p in wanted if round(room[p] - size, _DIGITS) >= 0]
            chosen = _drawn(room, fitting, chances[number]) if fitting else _emptiest(room, wanted)
        part[value] = chosen
        room[chosen] -= size
        empty.discard(chosen)
    return part[unit]


def _emptiest(room: dict[int, float], parts: Sequence[int]) -> int:
    return max(parts, key=lambda p: round(room[p], _DIGITS))  # the first of equal ones


def _drawn(room: dict[int, float], parts: Sequence[int], chance: float) -> int:
    left = chance * sum(room[p] for p in parts)
    for p in parts[:-1]:
        left -= room[p]
        if left < 0:
            return p
    return parts[-1]


def carve(train: Mask, unit: Codes, share: float, seed: Seed, where: str) -> Mask:
    """Return the train rows to validate on: whole groups, as near to the share as they come.

    Raises :class:`UserError`, its sentence begun with ``where``, for fewer than two groups in
    train.

    >>> carve(np.ones(20, bool), np.repeat(np.arange(10), 2), 0.3, (1,), "").sum().item()
    6
    """
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
