"""Least-squares search for a logistic curve, with or without a straight line added to it.

The error depends on two numbers, the middle and the width of the curve
(:mod:`sfqa.correlation.sigmoid_error`). It is minimised from many starts at once by
Levenberg-Marquardt steps with its analytic first and second derivatives. Limits of the curve, such
as a straight line or an exponential, are reached to within the precision of the numbers, because
widths and middles may be far outside the scores. Steps, the limit of a width of 0, have many local
minima; the best of them is computed in closed form.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sfqa.arrays import Floats, Ints
from sfqa.correlation.sigmoid_error import (
    SortedPoints,
    compute_errors,
    compute_sigmoids,
    expand_error,
    project_rows,
    solve_heights,
    sort_points,
)

#: Largest distance of the middle from the scores, in widths; beyond it the curve is an exponential.
MARGIN = 16.0
#: A start has converged when the next step would reduce its error by a smaller share than this.
TOLERANCE = 1e-13
#: With more points the starts are chosen on a part of them. The search itself sees all points,
#: because a part of them may bend to the other side.
SEARCH_POINTS = 10_000
#: Starts that are followed to the end: after PRUNE_AFTER steps only the usual start and the best
#: of the others remain.
PRUNE_AFTER, SURVIVORS = 8, 8


@dataclass(frozen=True)
class SigmoidFit:
    """A fit ``low_end + (high_end - low_end) s((u - middle) / width) + tilt u``.

    ``error`` is its mean square error. ``has_converged`` is false if the search was cut short.
    ``alternatives``: the results of the other starts, the best first.
    """

    low_end: float
    high_end: float
    middle: float
    width: float
    tilt: float
    error: float
    has_converged: bool
    alternatives: tuple[SigmoidFit, ...] = ()


@dataclass(frozen=True)
class _Search:
    """Points of a search: each (starts,)."""

    middle: Floats
    width: Floats
    error: Floats
    has_converged: npt.NDArray[np.bool_]


def fit_sigmoid(
    u: Floats, v: Floats, is_tilted: bool, usual_start: tuple[float, float], max_steps: int
) -> SigmoidFit:
    """Return the least-squares fit to standardised scores ``u`` and MOS ``v``, (n,) each.

    ``is_tilted`` adds a straight line to the curve. ``usual_start`` is the middle and the width
    from which papers start; it is one of the starts. ``max_steps`` limits the search.
    """
    points = sort_points(u, v, is_tilted)
    thinned = points
    if u.size > SEARCH_POINTS:
        order = np.argsort(u, kind="stable")[:: -(-u.size // SEARCH_POINTS)]
        thinned = sort_points(u[order], v[order], is_tilted)
        if len(thinned.distinct) < 2:
            thinned = points
    middle, width = _choose_starts(thinned, usual_start)
    width = np.clip(width, points.min_width, points.max_width)
    search = _minimise(points, middle, width, max_steps)
    fits = [
        _solve_ends(
            points,
            float(search.middle[number]),
            float(search.width[number]),
            bool(search.has_converged[number]),
        )
        for number in np.argsort(search.error, kind="stable")
    ]
    step_middle, step_width = _find_best_step(points)
    step_error = float(
        expand_error(points, np.array([step_middle]), np.array([step_width])).error[0]
    )
    step_fit = _solve_ends(points, step_middle, step_width, True)
    is_step_best = step_error <= float(search.error.min()) * (1 + 1e-12)
    best, *others = [step_fit, *fits] if is_step_best else [*fits, step_fit]
    return replace(best, alternatives=tuple(others))


# --- Starts ---------------------------------------------------------------------------------


def _choose_starts(points: SortedPoints, usual_start: tuple[float, float]) -> tuple[Floats, Floats]:
    """Return middles and widths to start from: the best of a grid, region by region."""
    chosen = [np.array([usual_start])]
    for grid, count in _list_regions(points):
        middle, width = grid[:, 0], np.clip(grid[:, 1], points.min_width, points.max_width)
        error = compute_errors(points, middle, width)
        order = np.argsort(error, kind="stable")
        # One start per middle, so that they are not all in the same valley.
        order = order[np.sort(np.unique(middle[order], return_index=True)[1])]
        chosen.append(np.stack([middle, width], axis=1)[order[:count]])
    starts = np.concatenate(chosen)
    return starts[:, 0], np.clip(starts[:, 1], points.min_width, points.max_width)


def _list_regions(points: SortedPoints) -> Iterator[tuple[Floats, int]]:
    """Yield grids of (middle, width) and the number of starts that are taken from each."""
    distinct = points.distinct
    low, high, last = distinct[0], distinct[-1], len(distinct) - 1
    ranks = np.unique(np.linspace(0, last, 25).round().astype(np.int64))
    # Among the scores: fixed widths, and those that a share of the scores spans.
    grid = [_combine(distinct[ranks], np.array([0.1, 0.3, 1.0, 3.0]))]
    for share in (64, 16, 4):
        span = max(1, len(distinct) // share)
        grid.append(_measure_widths(distinct, ranks, span))
    yield np.concatenate(grid), 8
    # Outside: data that bend in one direction only.
    widths = np.array([0.1, 0.3, 1.0, 3.0, 10.0, 100.0])
    for edge, sign in ((low, -1.0), (high, 1.0)):
        yield (
            np.concatenate(
                [
                    np.stack([edge + sign * distance * widths, widths], axis=1)
                    for distance in (1.0, 3.0, 8.0, MARGIN)
                ]
            ),
            2,
        )
    # Wide: close to a line or a cubic.
    yield _combine(np.linspace(low, high, 5), np.array([10.0, 100.0, 1e3, points.max_width])), 1
    # Narrow: around the best steps.
    ranks = _rank_steps(points)[0][:5]
    yield np.concatenate([_measure_widths(distinct, ranks, span) for span in (1, 3)]), 8


def _combine(middles: Floats, widths: Floats) -> Floats:
    """Return all pairs, (middles x widths, 2)."""
    return np.stack(np.meshgrid(middles, widths), axis=-1).reshape(-1, 2)


def _measure_widths(distinct: Floats, ranks: Ints, span: int) -> Floats:
    """Return (middle, width) at ranks of the scores; the slope holds ``span`` to either side."""
    above = distinct[np.minimum(ranks + span, len(distinct) - 1)]
    return np.stack([distinct[ranks], (above - distinct[np.maximum(ranks - span, 0)]) / 6], axis=1)


# --- The search -------------------------------------------------------------------------------


def _minimise(points: SortedPoints, middle: Floats, width: Floats, max_steps: int) -> _Search:
    """Follow each start downhill; a start whose curve has become a step is left where it is."""
    middle, log_width = middle.copy(), np.log(width)
    bounds = np.log([points.min_width, points.max_width])
    damping = np.full(len(middle), 1e-3)
    state = expand_error(points, middle, width)
    error, descent, hessian = state.error, state.descent, state.hessian
    has_converged = state.is_step.copy()
    is_done = has_converged.copy()
    tolerance = TOLERANCE * max(1.0, points.u.size / SEARCH_POINTS) ** 2
    if points.u.size > SEARCH_POINTS:
        tolerance *= 100
    for step in range(max_steps):
        if step == PRUNE_AFTER:
            running = np.flatnonzero(~is_done)
            running = running[running > 0]  # the usual start is always followed to the end
            is_done[running[np.argsort(error[running], kind="stable")[SURVIVORS:]]] = True
        active = np.flatnonzero(~is_done)
        if not len(active):
            break
        moves, gains = _solve_steps(
            descent[active], hessian[active], damping[active], log_width[active], bounds
        )
        widths = np.exp(log_width[active])
        tried_middle = np.clip(
            middle[active] + moves[:, 0] * widths,
            points.u[0] - MARGIN * widths,
            points.u[-1] + MARGIN * widths,
        )
        tried_width = np.clip(log_width[active] + moves[:, 1], *bounds)
        is_still = (tried_middle == middle[active]) & (tried_width == log_width[active])
        tried = expand_error(points, tried_middle, np.exp(tried_width))
        is_better = tried.error < error[active]
        has_ended = (gains <= tolerance * error[active] + 1e-28 * points.u.size) | is_still
        has_ended |= tried.is_step & is_better
        # Sums of many points have rounding errors, in which a search would wander for long.
        gained = error[active] - tried.error
        if points.u.size > SEARCH_POINTS:
            has_ended |= is_better & (gained <= tolerance * error[active])
        better = active[is_better]
        error[better], descent[better] = tried.error[is_better], tried.descent[is_better]
        hessian[better] = tried.hessian[is_better]
        middle[better], log_width[better] = tried_middle[is_better], tried_width[is_better]
        damping[better] = np.maximum(damping[better] * 0.1, 1e-9)
        damping[active[~is_better]] *= 8
        has_converged[active] |= has_ended
        # No step that is long enough to be seen improves the fit: rounding errors decide.
        has_converged[active] |= damping[active] > 1e10
        is_done |= has_converged
    return _Search(middle, np.exp(log_width), error, has_converged)


def _solve_steps(
    descent: Floats, hessian: Floats, damping: Floats, log_width: Floats, bounds: Floats
) -> tuple[Floats, Floats]:
    """Return damped Newton steps (starts, 2), limited in length, and the gains they promise."""
    first = hessian[:, 0, 0] * (1 + damping) + 1e-300
    last = hessian[:, 1, 1] * (1 + damping) + 1e-300
    mixed = hessian[:, 0, 1]
    determinant = first * last - mixed**2
    determinant = np.where(determinant > 0, determinant, np.inf)
    moves = np.stack(
        [
            (last * descent[:, 0] - mixed * descent[:, 1]) / determinant,
            (first * descent[:, 1] - mixed * descent[:, 0]) / determinant,
        ],
        axis=1,
    )
    # At a bound of the width only the middle moves.
    is_bound = ((log_width >= bounds[1]) & (moves[:, 1] > 0)) | (
        (log_width <= bounds[0]) & (moves[:, 1] < 0)
    )
    moves[is_bound, 0] = descent[is_bound, 0] / first[is_bound]
    moves[is_bound, 1] = 0.0
    gains = (moves * descent).sum(axis=1)
    excess = np.maximum(np.abs(moves) / (4.0, 1.5), 1.0).max(axis=1)
    return moves / excess[:, None], gains


# --- Steps --------------------------------------------------------------------------------------


def _rank_steps(points: SortedPoints) -> tuple[Ints, Floats]:
    """Return all steps, the best first: index of the different score, and its level in 0..1.

    A step is 0 below a score, 1 above it, and has the best level between them at the score.
    """
    columns = np.column_stack([points.target, points.basis, np.ones_like(points.u)])
    sums = np.vstack([np.cumsum(columns[::-1], axis=0)[::-1], np.zeros(columns.shape[1])])
    ends = np.append(points.first[1:], len(points.u))
    above, at = sums[ends], sums[points.first] - sums[ends]
    # The error falls by (a + t b)^2 / (c + 2 t d + t^2 e) at the level t.
    a, b = above[:, 0], at[:, 0]
    c = above[:, -1] - (above[:, 1:-1] ** 2).sum(axis=1)
    d = -(above[:, 1:-1] * at[:, 1:-1]).sum(axis=1)
    e = at[:, -1] - (at[:, 1:-1] ** 2).sum(axis=1)
    with np.errstate(all="ignore"):
        level = (a * d - b * c) / (b * d - a * e)
    level = np.where((level > 0) & (level < 1), level, 0.0)
    power = c + 2 * level * d + level * level * e
    has_power = power > 1e-10
    gain = np.where(has_power, (a + level * b) ** 2 / np.where(has_power, power, 1.0), 0.0)
    order = np.argsort(-gain, kind="stable")
    return order, level[order]


def _find_best_step(points: SortedPoints) -> tuple[float, float]:
    """Return middle and width of a logistic that equals the best step at all scores."""
    order, levels = _rank_steps(points)
    index, level = int(order[0]), float(levels[0])
    distinct = points.distinct
    if level == 0:  # between this score and the next
        index = min(index, len(distinct) - 2)
        gap = float(distinct[index + 1] - distinct[index])
        return float(distinct[index]) + gap / 2, gap / 100
    gaps = np.diff(distinct)[max(index - 1, 0) : index + 1]
    width = float(gaps.min()) / 100
    return float(distinct[index]) - width * float(np.log(level / (1 - level))), width


def _solve_ends(
    points: SortedPoints, middle: float, width: float, has_converged: bool
) -> SigmoidFit:
    """Return the fit with this middle and width."""
    curve, _, _, z = compute_sigmoids(points, np.array([middle]), np.array([width]))
    height = float(solve_heights(points, curve, project_rows(points, curve))[0][0])
    # The curve is s, s - 1 or s - 1/2: see compute_sigmoids.
    offset = 0.0 if z[0, -1] < -1 else 1.0 if z[0, 0] > 1 else 0.5
    rest = points.v - height * curve[0]
    constant, tilt = float(rest.mean()), 0.0
    if points.basis.shape[1] == 2:
        centred = points.u - points.u.mean()
        tilt = float(centred @ rest / (centred @ centred))
        constant -= tilt * float(points.u.mean())
    error = float(np.mean((rest - constant - tilt * points.u) ** 2))
    return SigmoidFit(
        constant - height * offset,
        constant + height * (1 - offset),
        middle,
        width,
        tilt,
        error,
        has_converged,
    )
