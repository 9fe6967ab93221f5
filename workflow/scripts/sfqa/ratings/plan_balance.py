"""Who sees which video, and in which order: the balanced designs behind a rating plan."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

VERSION = 1

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: A pair's place is one of so many slots of each round at least: same-pair videos then lie more
#: than two thirds of a round apart.
_LEAST_SLOTS = 3
#: Cells of the swap table above which methods are balanced by dealing alone.
_MOST_CELLS = 20_000_000


def groups_of(
    pair: Ints,
    method: Ints,
    groups: int,
    rng: np.random.Generator,
    before: Ints | None = None,
) -> Ints:
    """Deal the videos to groups: every pair once per group, methods spread evenly (LGVQ).

    ``pair`` and ``method`` hold a number per video; no pair may have more videos than there are
    groups. A pair with fewer goes to the smallest groups; ``before`` (groups, pairs) counts the
    pair's videos that a group has already, and those that have least of them come first.

    >>> pair, method = np.repeat(np.arange(6), 3), np.tile(np.arange(3), 6)
    >>> found = groups_of(pair, method, 3, np.random.default_rng(1))
    >>> np.array([np.bincount(found[method == m]) for m in range(3)]).tolist()
    [[2, 2, 2], [2, 2, 2], [2, 2, 2]]
    """
    found = np.full(len(pair), -1, np.int64)
    size = np.zeros(groups, np.int64)
    seen = np.zeros((groups, int(method.max(initial=-1)) + 1))
    if before is None:
        before = np.zeros((groups, int(pair.max(initial=-1)) + 1), np.int64)
    for own in _members(pair, rng.permutation(int(pair.max(initial=-1)) + 1)):
        chosen = np.lexsort((rng.random(groups), size, before[:, pair[own[0]]]))[: len(own)]
        cost = seen[np.ix_(chosen, method[own])] + 0.1 * rng.random((len(chosen), len(own)))
        rows, columns = linear_sum_assignment(cost)
        found[own[columns]] = chosen[rows]
        seen[chosen[rows], method[own[columns]]] += 1
        size[chosen] += 1
    return found


def panels(
    pair: Ints,
    method: Ints,
    strata: Ints,
    raters: int,
    per_sample: int,
    rng: np.random.Generator,
    before: Ints | None = None,
) -> Mask:
    """Choose the raters of each video: shape (videos, raters), ``per_sample`` true in each row.

    ``pair``, ``method`` and ``strata`` (what is to be spread besides, equal within a pair) hold a
    number per video. By construction the raters' loads differ by 1 at most, and so do the numbers
    of videos that they see of any one pair; ``before`` (videos that each rater has already) says
    who gets the odd ones. Methods are spread evenly over each rater's videos as far as swaps
    within a pair allow, and raters meet in ever new panels, so that biases can be told apart.

    >>> pair, method = np.repeat(np.arange(5), 3), np.tile(np.arange(3), 5)
    >>> made = panels(pair, method, pair * 0, 6, 2, np.random.default_rng(1))
    >>> set(made.sum(axis=1).tolist()), set(made.sum(axis=0).tolist())
    ({2}, {5})
    """
    made = np.zeros((len(pair), raters), np.bool_)
    seen = np.zeros((raters, int(method.max(initial=-1)) + 1))
    load, total = np.zeros(raters, np.int64), np.zeros(raters, np.int64)
    total += 0 if before is None else before
    steps = np.arange(per_sample)
    for own in _members(pair, _dealing(pair, method, strata, rng)):
        odd = len(own) * per_sample % raters
        order = np.lexsort((rng.random(raters), total, load))
        order = np.concatenate([rng.permutation(order[:odd]), rng.permutation(order[odd:])])
        panel = order[(per_sample * np.arange(len(own))[:, None] + steps) % raters]
        cost = seen[panel][:, :, method[own]].sum(axis=1)
        rows, columns = linear_sum_assignment(cost + 0.1 * rng.random(cost.shape))
        for row, video in zip(rows, own[columns], strict=True):
            made[video, panel[row]] = True
            seen[panel[row], method[video]] += 1
        given = made[own].sum(axis=0)
        load, total = load + given, total + given
    _swap(made, pair, method, seen)
    return made


def _swap(made: Mask, pair: Ints, method: Ints, seen: npt.NDArray[np.float64]) -> None:
    """Exchange videos of a pair between two raters while that evens out their methods."""
    pairs, (raters, methods) = int(pair.max(initial=-1)) + 1, seen.shape
    if not len(pair) or pairs * methods * raters > _MOST_CELLS or len(pair) == pairs:
        return
    at = np.full((pairs, methods), -1, np.int64)
    at[pair, method] = np.arange(len(pair))
    table = (made[at] & (at >= 0)[:, :, None]).astype(np.float32)
    free = 1 - made[at].astype(np.float32)
    free[at < 0] = 0
    share = np.bincount(method, minlength=methods) / len(method)
    excess = seen - made.sum(axis=0)[:, None] * share
    stuck: set[tuple[int, int]] = set()
    for _ in range(4 * raters * methods + 200):
        ranked = np.argsort(-excess, axis=None, kind="stable")
        cell = next((c for c in ranked if divmod(int(c), methods) not in stuck), None)
        if cell is None or excess.flat[cell] <= 0.5:
            return
        a, m = divmod(int(cell), methods)
        gives = table[:, m, a][:, None] * free[:, m, :]  # a has it, b may take it
        takes = table * free[:, :, a][:, :, None]  # b has it, a may take it
        possible = np.einsum("pr,pnr->rn", gives, takes) > 0
        gain = excess[a, m] - excess[a][None, :] - excess[:, m][:, None] + excess - 2
        gain[~possible] = -1.0
        best = int(np.argmax(gain))
        if gain.flat[best] <= 1e-9:
            stuck.add((a, m))
            continue
        stuck.clear()
        b, n = divmod(best, methods)
        p = int(np.argmax(gives[:, b] * takes[:, n, b]))
        for rater, old, new in ((a, m, n), (b, n, m)):
            made[at[p, old], rater], made[at[p, new], rater] = False, True
            table[p, old, rater], table[p, new, rater] = 0, 1
            free[p, old, rater], free[p, new, rater] = 1, 0
            excess[rater, old] -= 1
            excess[rater, new] += 1


def spread(
    pair: Ints,
    method: Ints,
    labels: Sequence[Ints],
    sessions: int,
    rng: np.random.Generator,
    last_seen: Ints | None = None,
) -> Ints:
    """Order one rater's videos: pairs far apart, methods and labels even in every stretch.

    ``pair``, ``method`` and each of ``labels`` hold a number per video; ``sessions`` is about how
    many the order will be cut into; ``last_seen`` tells how many videos ago the rater saw each
    pair before (-1: never). The videos are dealt to rounds, a pair at most once in each and always
    in the same slot of it; a slot is then put in order one video after the other, the level that
    is furthest behind its share first, with chance in it.

    >>> pair, method = np.repeat(np.arange(12), 2), np.tile(np.arange(2), 12)
    >>> order = spread(pair, method, [], 2, np.random.default_rng(1))
    >>> sorted(order.tolist()) == list(range(24))
    True
    >>> first, second = np.argsort(pair[order], kind="stable").reshape(12, 2).T
    >>> int((second - first).min()) >= 9
    True
    """
    if not len(pair):
        return np.zeros(0, np.int64)
    seen = np.bincount(pair)
    rounds = int(seen.max())
    slots = max(1, min(len(pair) // rounds, max(_LEAST_SLOTS, -(-sessions // rounds))))
    chunk = _slots(pair, method, labels, rounds, slots, rng, last_seen)
    attributes = [method, *labels]
    shares = [np.bincount(a) / len(a) for a in attributes]
    behind = [np.zeros(len(share)) for share in shares]
    order: list[int] = []
    for number in range(rounds * slots):
        left = np.flatnonzero(chunk == number)
        levels = [a[left] for a in attributes]
        chance = rng.random(len(left))
        for _ in range(len(left)):
            need = behind[0][levels[0]] - chance
            for lag, level in zip(behind[1:], levels[1:], strict=True):
                need = need + lag[level]
            best = int(need.argmin())
            order.append(int(left[best]))
            for lag, share, level in zip(behind, shares, levels, strict=True):
                lag -= share
                lag[level[best]] += 1
            chance[best] = -np.inf  # taken
    return np.array(order, np.int64)


def _slots(
    pair: Ints,
    method: Ints,
    labels: Sequence[Ints],
    rounds: int,
    slots: int,
    rng: np.random.Generator,
    last_seen: Ints | None,
) -> Ints:
    """Round x slots + slot of each video."""
    chunk = np.full(len(pair), -1, np.int64)
    size = np.zeros(slots)
    pointer = np.zeros(slots, np.int64)
    have = [np.zeros((slots, int(a.max()) + 1)) for a in labels]
    methods = np.zeros((rounds * slots, int(method.max()) + 1))
    strata = np.zeros(len(pair), np.int64)
    for a in labels:
        strata = strata * (int(a.max()) + 1) + a
    length = len(pair) / (rounds * slots)
    dealt = [pair[own[0]] for own in _members(pair, _dealing(pair, method, strata, rng, True))]
    for own in _members(pair, np.array(dealt)):
        cost = sum((h[:, a[own[0]]] for h, a in zip(have, labels, strict=True)), np.zeros(slots))
        cost = cost + 1000 * size + rng.random(slots)
        if last_seen is not None and last_seen[pair[own[0]]] >= 0:
            # A pair seen shortly before waits: as far as it can, a round from its last showing.
            early = slots - 1 - last_seen[pair[own[0]]] / length
            cost = cost + 1e6 * np.maximum(0, np.ceil(early) - np.arange(slots))
        slot = int(np.argmin(cost))
        turn = (pointer[slot] + np.arange(len(own))) % rounds
        pointer[slot] += len(own) if len(own) < rounds else 0
        size[slot] += len(own)
        places = turn * slots + slot
        wish = methods[np.ix_(places, method[own])] + 0.5 * rng.random((len(own), len(own)))
        rows, columns = linear_sum_assignment(wish)
        chunk[own[columns]] = places[rows]
        methods[places[rows], method[own[columns]]] += 1
        for h, a in zip(have, labels, strict=True):
            h[slot, a[own[0]]] += len(own)
    return chunk


def _dealing(
    pair: Ints, method: Ints, strata: Ints, rng: np.random.Generator, largest_first: bool = False
) -> Ints:
    """The pairs in the order of dealing: alike ones together, otherwise by chance."""
    count = np.bincount(pair)
    first = np.zeros(len(count), np.int64)
    first[pair[::-1]] = np.arange(len(pair))[::-1]
    alone = np.where(count == 1, method[first], -1)
    keys = [rng.random(len(count)), strata[first], alone]
    if largest_first:
        keys.append(-count)
    order = np.lexsort(keys)
    return order[count[order] > 0]


def _members(pair: Ints, order: Ints) -> list[Ints]:
    """The videos of each pair, in the given order of pairs."""
    by_pair = np.argsort(pair, kind="stable")
    ends = np.cumsum(np.bincount(pair, minlength=int(order.max(initial=-1)) + 1))
    return [by_pair[ends[p - 1] if p else 0 : ends[p]] for p in order]
