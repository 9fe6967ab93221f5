"""One rater's ordered videos to sessions: repeats, gold and trap clips, training, breaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sfqa.ratings.plan_balance import Ints
from sfqa.ratings.study_design import StudyDesign

VERSION = 1

Row = dict[str, Any]
Floats = npt.NDArray[np.float64]


class Showing(NamedTuple):
    """One presentation: a sample and what it is there for."""

    sample: str
    role: str


def repeats(
    pair: Ints, method: Ints, count: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Choose hidden repeats: (place after which it is shown, place of the video shown again).

    ``pair`` and ``method`` are those of a rater's videos in order. The places are spread over the
    order but for its first quarter. Each repeat is a video shown before, of a pair whose nearest
    showings, before and after, are about as far away as any pair's; the methods take turns.

    >>> pair, method = np.arange(20), np.zeros(20, np.int64)
    >>> found = repeats(pair, method, 2, np.random.default_rng(1))
    >>> [at - place >= 4 for at, place in found], len({place for _, place in found})
    ([True, True], 2)
    """
    n = len(pair)
    lowest = max(1, n // 4)
    if not count or n < 2:
        return []
    width = (n - lowest) / count
    found: list[tuple[int, int]] = []
    pairs = int(pair.max()) + 1
    keys = np.sort(pair * (2 * n) + np.arange(n))
    used = np.zeros(n, np.bool_)
    turns = np.zeros(int(method.max()) + 1)
    for number in range(count):
        at = min(n - 1, lowest + int((number + rng.random()) * width))
        end = np.searchsorted(keys, np.arange(pairs) * (2 * n) + at, side="right")
        near = np.full(pairs, n)
        for side, sign in ((end - 1, 1), (end, -1)):
            known = (side >= 0) & (side < len(keys))
            known[known] &= keys[side[known]] // (2 * n) == np.flatnonzero(known)
            away = sign * (at - keys[side[known]] % (2 * n)) + (sign > 0)
            near[known] = np.minimum(near[known], away)
        open_ = np.flatnonzero(~used[: at + 1])
        if not len(open_):
            continue
        distance = near[pair[open_]]
        far = open_[distance >= 0.9 * distance.max()]
        place = int(far[np.argmin(turns[method[far]] + rng.random(len(far)))])
        used |= (pair == pair[place]) if _free(used, pair, place) else np.arange(n) == place
        turns[method[place]] += 1
        found.append((at, place))
    return found


def _free(used: npt.NDArray[np.bool_], pair: Ints, place: int) -> bool:
    """Whether other pairs are left, so that this one need not come again."""
    return bool((~used & (pair != pair[place])).any())


def sessions(
    order: Sequence[Showing],
    seconds: Mapping[str, float],
    design: StudyDesign,
    rng: np.random.Generator,
    trained: bool = False,
) -> list[list[tuple[Showing, int]]]:
    """Cut a rater's order into sessions of showings with their block (from 1 in each session).

    Sessions are as few as the time limit allows and about equally long. Each has one gold and one
    trap clip (in turns) away from its ends; the first starts with the training, unless ``trained``,
    the others with some of its clips, in turns, to warm up.
    """
    cost = np.array([seconds[s.sample] + design.scoring_sec for s in order])
    kept = sum(
        max(seconds[s] for s in names) + design.scoring_sec
        for names in (design.gold, design.traps)
        if names
    )
    clips = list(design.training)
    warm = design.warm_up_clips * max((seconds[s] + design.scoring_sec for s in clips), default=0.0)
    lead = warm if trained else sum(seconds[s] + design.scoring_sec for s in clips)
    starts = _cut(cost, design.session_sec - kept - warm, lead - warm)
    turns = {
        role: [str(name) for name in rng.permutation(np.array(names, object))]
        for role, names in (("gold", design.gold), ("trap", design.traps))
        if len(names)
    }
    made = []
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(order)], strict=True)):
        own = list(order[start:end])
        size = len(own)
        for k, (role, names) in enumerate(turns.items()):
            third = size // 3  # one in the first half, the other in the second, either way round
            side = (k + number) % 2 if len(turns) == 2 else int(rng.integers(2))
            low, high = (third // 2, third + third // 2) if side == 0 else (size - third, size)
            at = int(rng.integers(low, max(low, high) + 1))
            own.insert(min(at, len(own)), Showing(names[number % len(names)], role))
        first = number * design.warm_up_clips
        some = [clips[(first + k) % len(clips)] for k in range(design.warm_up_clips)]
        made.append(_blocks(some if number or trained else clips, own, seconds, design))
    return made


def _blocks(
    training: Sequence[str],
    own: Sequence[Showing],
    seconds: Mapping[str, float],
    design: StudyDesign,
) -> list[tuple[Showing, int]]:
    """The training alone, then blocks of equal length, none longer than a break may wait."""
    first = 1 if training else 0
    made = [(Showing(name, "training"), 1) for name in training]
    times = np.array([seconds[s.sample] + design.scoring_sec for s in own])
    total = float(times.sum())
    count = max(1, int(np.ceil(total / design.block_sec - 1e-9)))
    middle = np.cumsum(times) - times / 2
    for showing, when in zip(own, middle, strict=True):
        made.append((showing, first + 1 + min(count - 1, int(when / total * count))))
    return made


def _cut(cost: Floats, limit: float, lead: float) -> list[int]:
    """Where sessions start: as few as fit under the limit, then the least that they can take."""
    low, high = 0.0, limit
    fewest = _starts(cost, limit, lead)
    for _ in range(30):
        middle = (low + high) / 2
        trial = _starts(cost, middle, lead)
        if trial is not None and fewest is not None and len(trial) <= len(fewest):
            high = middle
        else:
            low = middle
    found = _starts(cost, high, lead)
    if found is None:
        raise ValueError("a session cannot hold one video")  # the caller has checked it
    return found


def _starts(cost: Floats, limit: float, lead: float) -> list[int] | None:
    """Fill session after session up to the limit; None where something does not fit."""
    if len(cost) and float(cost.max()) > limit + 1e-9:
        return None
    ends = np.concatenate([[0.0], np.cumsum(cost)])
    starts, at, room = [0], 0, limit - lead
    while at < len(cost):
        end = int(np.searchsorted(ends, ends[at] + room + 1e-9, side="right")) - 1
        if end <= at:  # only the first session, where the training takes its time
            return None
        at, room = end, limit
        if at < len(cost):
            starts.append(at)
    return starts
