"""Balanced designs of a rating plan: which rater sees which videos, and in which order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from sfqa.arrays import Ints

VERSION = 1

Mask = npt.NDArray[np.bool_]

#: Minimum number of slots per round. A pair has the same slot in every round, so that videos of a
#: pair are more than two thirds of a round apart.
_MIN_SLOTS = 3
#: Size of the swap table above which videos are not swapped, to limit memory.
_MAX_CELLS = 20_000_000


def assign_groups(
    pair: Ints,
    method: Ints,
    groups: int,
    rng: np.random.Generator,
    previous: Ints | None = None,
) -> Ints:
    """Return the group of each video: a group gets each pair once, methods evenly (LGVQ).

    ``pair`` and ``method`` hold a number per video; no pair may have more videos than there are
    groups. A pair with fewer videos goes to the smallest groups. ``previous``, shape (groups,
    pairs), counts the pair's videos that a group has already; groups with fewer come first.

    >>> pair, method = np.repeat(np.arange(6), 3), np.tile(np.arange(3), 6)
    >>> group = assign_groups(pair, method, 3, np.random.default_rng(1))
    >>> np.array([np.bincount(group[method == m]) for m in range(3)]).tolist()
    [[2, 2, 2], [2, 2, 2], [2, 2, 2]]
    """
    group = np.full(len(pair), -1, np.int64)
    size = np.zeros(groups, np.int64)
    method_counts = np.zeros((groups, int(method.max(initial=-1)) + 1))
    if previous is None:
        previous = np.zeros((groups, int(pair.max(initial=-1)) + 1), np.int64)
    for videos in _group_by_pair(pair, rng.permutation(int(pair.max(initial=-1)) + 1)):
        order = np.lexsort((rng.random(groups), size, previous[:, pair[videos[0]]]))
        chosen = order[: len(videos)]
        noise = 0.1 * rng.random((len(chosen), len(videos)))
        cost = method_counts[np.ix_(chosen, method[videos])] + noise
        rows, columns = linear_sum_assignment(cost)
        group[videos[columns]] = chosen[rows]
        method_counts[chosen[rows], method[videos[columns]]] += 1
        size[chosen] += 1
    return group


def assign_raters(
    pair: Ints,
    method: Ints,
    strata: Ints,
    raters: int,
    per_sample: int,
    rng: np.random.Generator,
    previous: Ints | None = None,
) -> Mask:
    """Return which raters rate each video, shape (videos, raters), ``per_sample`` True per row.

    ``pair``, ``method`` and ``strata`` (other labels to spread evenly, equal within a pair) hold a
    number per video. By construction the raters' loads differ by at most 1, and so do the numbers
    of videos that they see of any pair. ``previous``: the number of videos that each rater has
    already; it only decides who gets the remaining videos. ``per_sample`` must not exceed
    ``raters``. Methods are spread evenly over each rater's
    videos as far as swaps within a pair allow. The panels of raters vary between videos, so that
    the raters' biases can be separated.

    >>> pair, method = np.repeat(np.arange(5), 3), np.tile(np.arange(3), 5)
    >>> assigned = assign_raters(pair, method, pair * 0, 6, 2, np.random.default_rng(1))
    >>> set(assigned.sum(axis=1).tolist()), set(assigned.sum(axis=0).tolist())
    ({2}, {5})
    """
    assigned = np.zeros((len(pair), raters), np.bool_)
    method_counts = np.zeros((raters, int(method.max(initial=-1)) + 1))
    load, total = np.zeros(raters, np.int64), np.zeros(raters, np.int64)
    total += 0 if previous is None else previous
    steps = np.arange(per_sample)
    for videos in _group_by_pair(pair, _order_pairs(pair, method, strata, rng)):
        remainder = len(videos) * per_sample % raters
        order = np.lexsort((rng.random(raters), total, load))
        first, rest = order[:remainder], order[remainder:]
        order = np.concatenate([rng.permutation(first), rng.permutation(rest)])
        panel = order[(per_sample * np.arange(len(videos))[:, None] + steps) % raters]
        cost = method_counts[panel][:, :, method[videos]].sum(axis=1)
        rows, columns = linear_sum_assignment(cost + 0.1 * rng.random(cost.shape))
        for row, video in zip(rows, videos[columns], strict=True):
            assigned[video, panel[row]] = True
            method_counts[panel[row], method[video]] += 1
        added = assigned[videos].sum(axis=0)
        load, total = load + added, total + added
    _swap_videos(assigned, pair, method, method_counts)
    return assigned


def _swap_videos(
    assigned: Mask, pair: Ints, method: Ints, method_counts: npt.NDArray[np.float64]
) -> None:
    """Swap videos of a pair between two raters as long as this balances their methods."""
    pairs, (raters, methods) = int(pair.max(initial=-1)) + 1, method_counts.shape
    if not len(pair) or pairs * methods * raters > _MAX_CELLS or len(pair) == pairs:
        return
    video = np.full((pairs, methods), -1, np.int64)
    video[pair, method] = np.arange(len(pair))
    has = (assigned[video] & (video >= 0)[:, :, None]).astype(np.float32)  # pair, method, rater
    lacks = 1 - assigned[video].astype(np.float32)
    lacks[video < 0] = 0
    share = np.bincount(method, minlength=methods) / len(method)
    excess = method_counts - assigned.sum(axis=0)[:, None] * share
    stuck: set[tuple[int, int]] = set()
    for _ in range(4 * raters * methods + 200):
        ranked = np.argsort(-excess, axis=None, kind="stable")
        cell = next((c for c in ranked if divmod(int(c), methods) not in stuck), None)
        if cell is None or excess.flat[cell] <= 0.5:
            return
        a, m = divmod(int(cell), methods)
        gives = has[:, m, a][:, None] * lacks[:, m, :]  # rater a has it, b does not
        takes = has * lacks[:, :, a][:, :, None]  # rater b has it, a does not
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
            assigned[video[p, old], rater], assigned[video[p, new], rater] = False, True
            has[p, old, rater], has[p, new, rater] = 0, 1
            lacks[p, old, rater], lacks[p, new, rater] = 1, 0
            excess[rater, old] -= 1
            excess[rater, new] += 1


def order_videos(
    pair: Ints,
    method: Ints,
    labels: Sequence[Ints],
    sessions: int,
    rng: np.random.Generator,
    last_seen: Ints | None = None,
) -> Ints:
    """Return an order of one rater's videos: pairs far apart, methods and labels spread evenly.

    ``pair``, ``method`` and each of ``labels`` hold a number per video. ``sessions``: approximate
    number of sessions. ``last_seen``: how many videos ago the rater saw each pair (-1: never). The
    videos are assigned to rounds, a pair at most once per round and always in the same slot. A slot
    is ordered video by video: the method and labels furthest behind their share come first, with
    some randomness.

    >>> pair, method = np.repeat(np.arange(12), 2), np.tile(np.arange(2), 12)
    >>> order = order_videos(pair, method, [], 2, np.random.default_rng(1))
    >>> sorted(order.tolist()) == list(range(24))
    True
    >>> first, second = np.argsort(pair[order], kind="stable").reshape(12, 2).T
    >>> int((second - first).min()) >= 9
    True
    """
    if not len(pair):
        return np.zeros(0, np.int64)
    rounds = int(np.bincount(pair).max())
    slots = max(1, min(len(pair) // rounds, max(_MIN_SLOTS, -(-sessions // rounds))))
    slot_of_video = _assign_slots(pair, method, labels, rounds, slots, rng, last_seen)
    attributes = [method, *labels]
    shares = [np.bincount(a) / len(a) for a in attributes]
    deficits = [np.zeros(len(share)) for share in shares]
    order: list[int] = []
    for number in range(rounds * slots):
        videos = np.flatnonzero(slot_of_video == number)
        levels = [a[videos] for a in attributes]
        random = rng.random(len(videos))
        for _ in range(len(videos)):
            score = deficits[0][levels[0]] - random
            for deficit, level in zip(deficits[1:], levels[1:], strict=True):
                score = score + deficit[level]
            best = int(score.argmin())
            order.append(int(videos[best]))
            for deficit, share, level in zip(deficits, shares, levels, strict=True):
                deficit -= share
                deficit[level[best]] += 1
            random[best] = -np.inf  # used
    return np.array(order, np.int64)


def _assign_slots(
    pair: Ints,
    method: Ints,
    labels: Sequence[Ints],
    rounds: int,
    slots: int,
    rng: np.random.Generator,
    last_seen: Ints | None,
) -> Ints:
    """Return round * slots + slot of each video."""
    slot_of_video = np.full(len(pair), -1, np.int64)
    size = np.zeros(slots)
    next_round = np.zeros(slots, np.int64)
    label_counts = [np.zeros((slots, int(a.max()) + 1)) for a in labels]
    method_counts = np.zeros((rounds * slots, int(method.max()) + 1))
    strata = np.zeros(len(pair), np.int64)
    for label in labels:
        strata = strata * (int(label.max()) + 1) + label
    length = len(pair) / (rounds * slots)
    pair_order = _order_pairs(pair, method, strata, rng, largest_first=True)
    for videos in _group_by_pair(pair, pair_order):
        first = videos[0]
        cost = sum(
            (counts[:, label[first]] for counts, label in zip(label_counts, labels, strict=True)),
            np.zeros(slots),
        )
        cost = cost + 1000 * size + rng.random(slots)
        if last_seen is not None and last_seen[pair[first]] >= 0:
            # A pair seen recently goes to a late slot, a round after its last video if possible.
            early = slots - 1 - last_seen[pair[first]] / length
            cost = cost + 1e6 * np.maximum(0, np.ceil(early) - np.arange(slots))
        slot = int(np.argmin(cost))
        round_numbers = (next_round[slot] + np.arange(len(videos))) % rounds
        next_round[slot] += len(videos) if len(videos) < rounds else 0
        size[slot] += len(videos)
        candidates = round_numbers * slots + slot
        noise = 0.5 * rng.random((len(videos), len(videos)))
        rows, columns = linear_sum_assignment(
            method_counts[np.ix_(candidates, method[videos])] + noise
        )
        slot_of_video[videos[columns]] = candidates[rows]
        method_counts[candidates[rows], method[videos[columns]]] += 1
        for counts, label in zip(label_counts, labels, strict=True):
            counts[slot, label[first]] += len(videos)
    return slot_of_video


def _order_pairs(
    pair: Ints, method: Ints, strata: Ints, rng: np.random.Generator, largest_first: bool = False
) -> Ints:
    """Return the pairs in random order, but those with equal labels together."""
    count = np.bincount(pair)
    first = np.zeros(len(count), np.int64)
    first[pair[::-1]] = np.arange(len(pair))[::-1]
    only_method = np.where(count == 1, method[first], -1)
    keys = [rng.random(len(count)), strata[first], only_method]
    if largest_first:
        keys.append(-count)
    order = np.lexsort(keys)
    return order[count[order] > 0]


def _group_by_pair(pair: Ints, order: Ints) -> list[Ints]:
    """Return the videos of each pair, in the given order of pairs."""
    by_pair = np.argsort(pair, kind="stable")
    ends = np.cumsum(np.bincount(pair, minlength=int(order.max(initial=-1)) + 1))
    return [by_pair[ends[p - 1] if p else 0 : ends[p]] for p in order]
