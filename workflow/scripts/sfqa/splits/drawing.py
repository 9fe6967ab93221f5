"""Random assignment of whole groups of rows to folds and to parts.

Rows carry a group code 0, 1, ... (codes without a row are ignored). The result depends only on the
codes and the seed. A change of the numbers here raises VERSION in protocols.py.
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

#: Free rows of two parts are compared after rounding to this many decimals, so that equal ones tie.
_DIGITS = 6


def draw_folds(codes: Codes, k: int, seed: Seed) -> Codes:
    """Return the fold, 0 to ``k - 1``, of every row.

    Groups are assigned in random order, large ones first, each to the fold with the fewest rows.

    >>> np.bincount(draw_folds(np.repeat(np.arange(6), 4), 3, (1,))).tolist()
    [8, 8, 8]
    """
    sizes = np.bincount(codes)
    order = identity.random_generator(*seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold_rows, fold = np.zeros(k, np.int64), np.zeros(len(sizes), np.int64)
    if len(sizes) and (sizes == sizes[0]).all():
        fold[order] = np.arange(len(sizes)) % k
        return fold[codes]
    for group in order:
        fold[group] = int(np.argmin(fold_rows))
        fold_rows[fold[group]] += sizes[group]
    return fold[codes]


def draw_parts(codes: Codes, shares: Sequence[float], seed: Seed) -> Codes:
    """Return the part, 0 to ``len(shares) - 1``, of every row, with part sizes near the shares.

    Groups stay whole. Large groups are assigned first, so that small ones fill the remaining space.
    A group goes to a random part among those with enough free rows, with a probability in
    proportion to the free rows. (A fixed rule such as "the emptiest part" would put the largest
    group into train in every trial.) If no part has enough free rows, the group goes to the part
    with the most.

    The size of a part differs from its share of the rows by at most the size of the largest group,
    unless the smallest groups are needed to fill empty parts. A part of share 0 stays empty. There
    must be at least as many groups as parts with a share above 0.

    >>> parts = draw_parts(np.repeat(np.arange(468), 6), (7, 1, 2), (1,))
    >>> (np.bincount(parts) // 6).tolist()
    [328, 47, 93]
    """
    sizes = np.bincount(codes)
    generator = identity.random_generator(*seed)
    order = generator.permutation(np.flatnonzero(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    chances = generator.random(len(order)).tolist()
    used_parts = [p for p, share in enumerate(shares) if share > 0]
    scale = len(codes) / sum(shares)
    free_rows = {p: shares[p] * scale for p in used_parts}
    empty = set(used_parts)
    part_of = np.zeros(len(sizes), np.int64)
    for number, group in enumerate(order.tolist()):
        size = int(sizes[group])
        if len(order) - number <= len(empty):
            part = _find_emptiest(free_rows, [p for p in used_parts if p in empty])
        else:
            fitting = [p for p in used_parts if round(free_rows[p] - size, _DIGITS) >= 0]
            if fitting:
                part = _draw_part(free_rows, fitting, chances[number])
            else:
                part = _find_emptiest(free_rows, used_parts)
        part_of[group] = part
        free_rows[part] -= size
        empty.discard(part)
    return part_of[codes]


def _find_emptiest(free_rows: dict[int, float], parts: Sequence[int]) -> int:
    """Return the part with the most free rows, the first of equal ones."""
    return max(parts, key=lambda p: round(free_rows[p], _DIGITS))


def _draw_part(free_rows: dict[int, float], parts: Sequence[int], chance: float) -> int:
    """Return a part with a probability in proportion to its free rows; ``chance`` is in [0, 1)."""
    rest = chance * sum(free_rows[p] for p in parts)
    for part in parts[:-1]:
        rest -= free_rows[part]
        if rest < 0:
            return part
    return parts[-1]


def draw_validation(train: Mask, codes: Codes, share: float, seed: Seed, where: str) -> Mask:
    """Return which train rows become validation rows: whole groups, as near as possible to a share.

    Raises :class:`UserError` if train has fewer than two groups; ``where`` begins its message.

    >>> draw_validation(np.ones(20, bool), np.repeat(np.arange(10), 2), 0.3, (1,), "").sum().item()
    6
    """
    if share == 0:
        return np.zeros_like(train)
    groups, sizes = np.unique(codes[train], return_counts=True)
    if len(groups) < 2:
        raise UserError(
            f"{where}: train has fewer than 2 groups, too few to draw validation rows from; "
            "choose other groups, or write validation: 0"
        )
    order = identity.random_generator(*seed).permutation(len(groups))
    rows = np.cumsum(sizes[order])[:-1]
    n_groups = 1 + int(np.argmin(np.abs(rows - share * train.sum())))
    return train & np.isin(codes, groups[order[:n_groups]])
