"""Sessions of one rater: repeats, gold and trap clips, training and breaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sfqa.arrays import Floats, Ints
from sfqa.ratings.study_design import StudyDesign

VERSION = 1

#: A row of ``tables.PLAN``.
PlanRow = dict[str, Any]


class Presentation(NamedTuple):
    """A sample that is shown to a rater, and its role (``sfqa.ratings.plan.ROLES``)."""

    sample: str
    role: str


def choose_repeats(
    pair: Ints, method: Ints, count: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Choose hidden repeats: (position after which it is shown, position of the first showing).

    ``pair`` and ``method`` are those of a rater's videos in order. The positions are spread over
    the order except its first quarter. Each repeat is an earlier video of a pair whose nearest
    videos, before and after, are about as far away as possible; the methods alternate.

    >>> pair, method = np.arange(20), np.zeros(20, np.int64)
    >>> repeats = choose_repeats(pair, method, 2, np.random.default_rng(1))
    >>> [at - source >= 4 for at, source in repeats], len({source for _, source in repeats})
    ([True, True], 2)
    """
    n = len(pair)
    lowest = max(1, n // 4)
    if not count or n < 2:
        return []
    width = (n - lowest) / count
    repeats: list[tuple[int, int]] = []
    pairs = int(pair.max()) + 1
    keys = np.sort(pair * (2 * n) + np.arange(n))
    used = np.zeros(n, np.bool_)
    method_counts = np.zeros(int(method.max()) + 1)
    for number in range(count):
        position = min(n - 1, lowest + int((number + rng.random()) * width))
        end = np.searchsorted(keys, np.arange(pairs) * (2 * n) + position, side="right")
        nearest = np.full(pairs, n)
        for neighbour, sign in ((end - 1, 1), (end, -1)):
            exists = (neighbour >= 0) & (neighbour < len(keys))
            exists[exists] &= keys[neighbour[exists]] // (2 * n) == np.flatnonzero(exists)
            distance = sign * (position - keys[neighbour[exists]] % (2 * n)) + (sign > 0)
            nearest[exists] = np.minimum(nearest[exists], distance)
        candidates = np.flatnonzero(~used[: position + 1])
        if not len(candidates):
            continue
        distance = nearest[pair[candidates]]
        far = candidates[distance >= 0.9 * distance.max()]
        source = int(far[np.argmin(method_counts[method[far]] + rng.random(len(far)))])
        if _has_other_pairs(used, pair, source):
            used |= pair == pair[source]
        else:
            used[source] = True
        method_counts[method[source]] += 1
        repeats.append((position, source))
    return repeats


def _has_other_pairs(used: npt.NDArray[np.bool_], pair: Ints, source: int) -> bool:
    """Whether unused videos of other pairs are left, so that this pair can be skipped."""
    return bool((~used & (pair != pair[source])).any())


def cut_sessions(
    order: Sequence[Presentation],
    seconds: Mapping[str, float],
    design: StudyDesign,
    rng: np.random.Generator,
    trained: bool = False,
) -> list[list[tuple[Presentation, int]]]:
    """Cut a rater's order into sessions of presentations with their block (from 1 per session).

    There are as few sessions as the time limit allows, of about equal length. Each has one gold and
    one trap clip (alternating) away from its ends. The first starts with the training, unless the
    rater is ``trained``, the others with some of its clips (alternating) as warm-up.
    """
    cost = np.array([seconds[s.sample] + design.scoring_sec for s in order])
    control_sec = sum(
        max(seconds[s] for s in names) + design.scoring_sec
        for names in (design.gold, design.traps)
        if names
    )
    clips = list(design.training)
    warm_up_sec = design.warm_up_clips * max(
        (seconds[s] + design.scoring_sec for s in clips), default=0.0
    )
    first_sec = warm_up_sec if trained else sum(seconds[s] + design.scoring_sec for s in clips)
    limit = design.session_sec - control_sec - warm_up_sec
    starts = _find_starts(cost, limit, first_sec - warm_up_sec)
    control_clips = {
        role: [str(name) for name in rng.permutation(np.array(names, object))]
        for role, names in (("gold", design.gold), ("trap", design.traps))
        if len(names)
    }
    sessions = []
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(order)], strict=True)):
        session = list(order[start:end])
        size = len(session)
        for k, (role, names) in enumerate(control_clips.items()):
            # One in the first half and the other in the second, in alternating order.
            third = size // 3
            half = (k + number) % 2 if len(control_clips) == 2 else int(rng.integers(2))
            low, high = (third // 2, third + third // 2) if half == 0 else (size - third, size)
            index = int(rng.integers(low, max(low, high) + 1))
            session.insert(min(index, len(session)), Presentation(names[number % len(names)], role))
        first = number * design.warm_up_clips
        warm_up = [clips[(first + k) % len(clips)] for k in range(design.warm_up_clips)]
        training = warm_up if number or trained else clips
        sessions.append(_assign_blocks(training, session, seconds, design))
    return sessions


def _assign_blocks(
    training: Sequence[str],
    session: Sequence[Presentation],
    seconds: Mapping[str, float],
    design: StudyDesign,
) -> list[tuple[Presentation, int]]:
    """Return the training as the first block, then blocks of equal length below the maximum."""
    first = 1 if training else 0
    blocks = [(Presentation(name, "training"), 1) for name in training]
    times = np.array([seconds[s.sample] + design.scoring_sec for s in session])
    total = float(times.sum())
    count = max(1, int(np.ceil(total / design.block_sec - 1e-9)))
    middle = np.cumsum(times) - times / 2
    for presentation, when in zip(session, middle, strict=True):
        block = first + 1 + min(count - 1, int(when / total * count))
        blocks.append((presentation, block))
    return blocks


def _find_starts(cost: Floats, limit: float, extra: float) -> list[int]:
    """Return where sessions start: as few as fit the limit, then about equally long.

    ``extra``: additional time at the start of the first session.
    """
    low, high = 0.0, limit
    fewest = _fill_sessions(cost, limit, extra)
    for _ in range(30):
        middle = (low + high) / 2
        trial = _fill_sessions(cost, middle, extra)
        if trial is not None and fewest is not None and len(trial) <= len(fewest):
            high = middle
        else:
            low = middle
    starts = _fill_sessions(cost, high, extra)
    if starts is None:
        raise ValueError("a session cannot hold one video")  # make_plan has checked the lengths
    return starts


def _fill_sessions(cost: Floats, limit: float, extra: float) -> list[int] | None:
    """Fill one session after another up to the limit; None if a video does not fit."""
    if len(cost) and float(cost.max()) > limit + 1e-9:
        return None
    ends = np.concatenate([[0.0], np.cumsum(cost)])
    starts, start, available = [0], 0, limit - extra
    while start < len(cost):
        end = int(np.searchsorted(ends, ends[start] + available + 1e-9, side="right")) - 1
        if end <= start:  # can only happen in the first session, because of the training
            return None
        start, available = end, limit
        if start < len(cost):
            starts.append(start)
    return starts
