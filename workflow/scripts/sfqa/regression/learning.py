"""Learning curves: how well a regressor predicts after a share of the training groups.

The groups (portraits, clips, prompts, as the protocol keeps them together; of crossed ones those
that validation rows are carved out by; under random protocols single rows) are put in a random
order per trial, and each share takes the first of it: every subset contains the smaller ones. Test
and validation rows stay; a head that learns from validation rows has them among the groups drawn
from. With the whole share the problem is that of :func:`sfqa.regression.train.train_metric`, whose
finished fits are taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sfqa import identity
from sfqa.arrays import Floats, Ints
from sfqa.correlation.fits import DEFAULT
from sfqa.correlation.summarise import MEAN, VIDEO, Settings, correlation_rows, rounded
from sfqa.errors import UserError
from sfqa.regression import _rows, train
from sfqa.splits.protocols import CROSS, TEST, TRAIN, VALIDATION, Split, make_splits

#: Version of what this file does around train.py and correlation.
VERSION = 1

SHARES = (0.125, 0.25, 0.5, 0.75, 1.0)
#: A protocol of fewer trials (a fixed split has one) gets several subsets in each, to so many fits.
FITS = 10

_COPIED = ("metric", "dimension", "protocol", "trials", "n", "srcc", "srcc_sd", "plcc", "plcc_sd",
           "mapping", "weights", "synthetic_mos", "status", "detail")  # fmt: skip


def learning_curve(
    metric: Mapping[str, Any],
    label: Mapping[str, Any],
    rated: train.RatedFeatures,
    protocol: Mapping[str, Any],
    seed: int,
    work: Path,
    device: str = "cpu",
    mapping: str = DEFAULT,
) -> list[dict[str, Any]]:
    """Return rows of the table ``learning``: a regressor, one protocol, by share and dimension.

    ``metric``, ``rated`` and ``work`` as of
    :func:`sfqa.regression.train.train_metric`; ``label``: name, group, kind, direction and weights,
    as the correlation table takes it, whose statistics these are (level video, mean over trials).
    Raises :class:`UserError` for a metric that learns nothing, or a protocol that trains nothing.
    """
    check_regressor(metric)
    if protocol["kind"] == CROSS:
        raise UserError(
            f"config, regression.protocols {protocol['name']!r}: kind {CROSS} trains nothing here, "
            "so that it has no learning curve; name another as correlation.protocol"
        )
    samples = rated.samples
    job = train.Job(metric, rated, seed, Path(work), device)
    learnt = [TRAIN, VALIDATION] if job.options.get("fit_on_validation") else [TRAIN]
    splits = make_splits(samples, protocol, seed)
    codes = _codes(samples, protocol)
    # The same groups as there, in the same order of rows, so that the finished fits are found.
    groups = train.groups_of(samples, protocol, rated.design.sample_ids)
    tasks: dict[float, list[train.Task]] = {share: [] for share in SHARES}
    for split in splits:
        ids = _rows.list_samples(split, learnt)
        made: dict[frozenset[int], list[train.Task]] = {}
        counted: set[tuple[float, frozenset[int]]] = set()
        for order in _orders({codes[s] for s in ids}, len(splits), seed, protocol, split.trial):
            for share in SHARES:
                kept = frozenset(order[: taken(share, len(order))])
                if (share, kept) in counted:
                    continue  # few groups: the same subset once more
                counted.add((share, kept))
                if kept not in made:
                    start = len(job.tasks)
                    for dimensions in job.sets:
                        job.add(_only(split, learnt, kept, codes), dimensions, groups)
                    made[kept] = job.tasks[start:]
                tasks[share] += made[kept]
    job.fit()
    return [
        row
        for share in SHARES
        for row in _summary(job, tasks[share], share, learnt, label, mapping)
    ]


def check_regressor(metric: Mapping[str, Any]) -> None:
    """Raise :class:`UserError` for a metric that learns nothing."""
    if metric["kind"] != "regressor":
        raise UserError(
            f"config, metrics.{metric['name']}: a learning curve is of a regressor, and this is of "
            f"kind {metric['kind']!r}; ask for that of a regressor"
        )


def taken(share: float, groups: int) -> int:
    """Return how many of so many groups a share is: the nearest number, at least 1.

    >>> [taken(share, 14) for share in SHARES]
    [2, 4, 7, 11, 14]
    """
    return min(groups, max(1, int(share * groups + 0.5)))


def _codes(samples: pd.DataFrame, protocol: Mapping[str, Any]) -> dict[str, int]:
    """Group of every sample, whatever the order of the rows; single rows are their own."""
    rows = samples.sort_values("sample_id", ignore_index=True)
    ids = rows["sample_id"].tolist()
    found = train.groups_of(rows, protocol, ids)
    numbers = range(len(ids)) if found is None else found.tolist()
    return dict(zip(ids, numbers, strict=True))


def _orders(
    groups: Iterable[int], trials: int, seed: int, protocol: Mapping[str, Any], trial: int
) -> list[list[int]]:
    """The orders in which groups are added; more than one where the protocol has few trials.

    The others are the first one begun at another place, so that small shares have no group in
    common.
    """
    own = np.array(sorted(groups), np.int64)
    drawn = identity.generator(seed, str(protocol["kind"]), "learning", trial).permutation(own)
    draws = -(-FITS // trials)
    return [np.roll(drawn, -(draw * len(own) // draws)).tolist() for draw in range(draws)]


def _only(
    split: Split, learnt: Sequence[str], kept: frozenset[int], codes: Mapping[str, int]
) -> Split:
    """The split without the rows to learn from that are of other groups."""
    part = {s: p for s, p in split.part.items() if p not in learnt or codes[s] in kept}
    return Split(split.protocol, split.trial, part)


def _summary(
    job: train.Job,
    tasks: Sequence[train.Task],
    share: float,
    learnt: Sequence[str],
    label: Mapping[str, Any],
    mapping: str,
) -> list[dict[str, Any]]:
    """The rows of one share: the statistics of its fits, as the correlation table has them."""
    predictions, sizes = [], []
    fits: dict[str, int] = {}
    for task in tasks:
        number = {d: fits.get(d, 0) for d in task.dimensions}
        fits |= {d: n + 1 for d, n in number.items()}
        # Subsets of one trial count as trials of their own.
        predictions += [{**row, "trial": number[row["dimension"]]} for row in job.rows(task)]
        sizes += [
            {"dimension": d, **_size(task, column, learnt)}
            for column, d in enumerate(task.dimensions)
        ]
    frame = pd.DataFrame(predictions)
    means = pd.DataFrame(sizes).groupby("dimension")[["groups", "rows"]].mean()
    tested = frame[frame["part"] == TEST]
    found = correlation_rows(
        tested, job.rated.mos, job.rated.samples, [label], Settings(mapping=mapping)
    )
    return [
        {
            **{name: row[name] for name in _COPIED},
            "share": float(share),
            "groups": float(means.loc[row["dimension"], "groups"]),
            "rows": float(means.loc[row["dimension"], "rows"]),
        }
        for row in rounded(found)
        if (row["level"], row["pooling"]) == (VIDEO, MEAN) and row["dimension"] in means.index
    ]


def _size(task: train.Task, column: int, learnt: Sequence[str]) -> dict[str, int]:
    """How many rows, and how many groups, a fit learns one dimension from."""
    problem = task.problem
    rows: Ints = problem.rows if VALIDATION in learnt else problem.train
    values: Floats = problem.y[rows, column]
    known = rows[np.isfinite(values)]
    return {
        "rows": len(known),
        "groups": len(known) if problem.groups is None else len(np.unique(problem.groups[known])),
    }
