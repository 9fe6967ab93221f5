"""Learning curves: test results of a regressor trained on shares of the training groups.

The groups are those by which the protocol draws validation rows (images, clips or prompts; with
random protocols single rows). They are put in a random order per trial, and each share uses the
first groups of it, so that every subset contains the smaller ones. Test and validation rows do not
change, except that a head that learns from validation rows has them among the training groups. The
problem of share 1 equals that of :func:`sfqa.regression.train.train_metric`, and its cached
predictions are used.
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
from sfqa.correlation.summarise import MEAN, VIDEO, Settings, correlation_rows, round_rows
from sfqa.errors import UserError
from sfqa.regression import _rows, train
from sfqa.splits.protocols import CROSS, TEST, TRAIN, VALIDATION, Split, make_splits

#: Version of what this file does besides training and correlation.
VERSION = 2

SHARES = (0.125, 0.25, 0.5, 0.75, 1.0)
#: With fewer trials (a fixed split has one) each trial has several orders, for this many fits.
FITS = 10

_COPIED = ("metric", "dimension", "protocol", "trials", "n", "srcc", "srcc_sd", "plcc", "plcc_sd",
           "mapping", "weights", "synthetic_mos", "status", "detail")  # fmt: skip


def compute_learning_curve(
    metric: Mapping[str, Any],
    label: Mapping[str, Any],
    rated: train.RatedFeatures,
    protocol: Mapping[str, Any],
    seed: int,
    work: Path,
    device: str = "cpu",
    mapping: str = DEFAULT,
) -> list[dict[str, Any]]:
    """Return rows of tables.LEARNING for a regressor and a protocol, by share and dimension.

    ``metric``, ``rated`` and ``work`` are those of :func:`sfqa.regression.train.train_metric`.
    ``label`` (name, group, kind, direction, weights) and ``mapping`` are passed to the correlation
    table, whose statistics these are (video level, mean over trials). Raises :class:`UserError` for
    a metric that is not trained, or a protocol without training.
    """
    check_has_learning_curve(metric)
    if protocol["kind"] == CROSS:
        raise UserError(
            f"config, regression.protocols {protocol['name']!r}: kind {CROSS} trains no model, "
            "so there is no learning curve; name another protocol as correlation.protocol"
        )
    samples = rated.samples
    trainer = train.MetricTrainer(metric, rated, seed, Path(work), device)
    parts = [TRAIN, VALIDATION] if trainer.options.get("fit_on_validation") else [TRAIN]
    splits = make_splits(samples, protocol, seed)
    codes = _encode_samples(samples, protocol)
    # Computed as in train_metric, in the same order of rows, so that the cache keys are equal.
    groups = train.encode_protocol_groups(samples, protocol, rated.design.sample_ids)
    tasks: dict[float, list[train.FitTask]] = {share: [] for share in SHARES}
    for split in splits:
        training_groups = {codes[s] for s in _rows.list_samples(split, parts)}
        tasks_of: dict[frozenset[int], list[train.FitTask]] = {}
        counted: set[tuple[float, frozenset[int]]] = set()
        for order in _draw_orders(training_groups, len(splits), seed, protocol, split.trial):
            for share in SHARES:
                subset = frozenset(order[: count_groups(share, len(order))])
                if (share, subset) in counted:
                    continue  # few groups: another order has the same subset
                counted.add((share, subset))
                if subset not in tasks_of:
                    start = len(trainer.tasks)
                    reduced = _reduce_split(split, parts, subset, codes)
                    for dimensions in trainer.sets:
                        trainer.add_problem(reduced, dimensions, groups)
                    tasks_of[subset] = trainer.tasks[start:]
                tasks[share] += tasks_of[subset]
    trainer.fit(trainer.tasks)
    return [
        row
        for share in SHARES
        for row in _summarise_share(trainer, tasks[share], share, parts, label, mapping)
    ]


def check_has_learning_curve(metric: Mapping[str, Any]) -> None:
    """Raise :class:`UserError` for a metric that is not trained."""
    if metric["kind"] != "regressor":
        raise UserError(
            f"config, regression.metrics.{metric['name']}: only a regressor has a learning curve, "
            f"not a metric of kind {metric['kind']!r}; name a regressor"
        )


def count_groups(share: float, groups: int) -> int:
    """Return the number of groups in a share of them, rounded, at least 1.

    >>> [count_groups(share, 14) for share in SHARES]
    [2, 4, 7, 11, 14]
    """
    return min(groups, max(1, int(share * groups + 0.5)))


def _encode_samples(samples: pd.DataFrame, protocol: Mapping[str, Any]) -> dict[str, int]:
    """Return the group code of every sample, independent of the order of the rows.

    With protocols of single rows each sample has its own code.
    """
    rows = samples.sort_values("sample_id", ignore_index=True)
    ids = rows["sample_id"].tolist()
    groups = train.encode_protocol_groups(rows, protocol, ids)
    codes = range(len(ids)) if groups is None else groups.tolist()
    return dict(zip(ids, codes, strict=True))


def _draw_orders(
    groups: Iterable[int], trials: int, seed: int, protocol: Mapping[str, Any], trial: int
) -> list[list[int]]:
    """Return the orders in which groups are added; several if the protocol has few trials.

    The further orders are rotations of the first, so that small shares have no group in common.
    """
    codes = np.array(sorted(groups), np.int64)
    generator = identity.random_generator(seed, str(protocol["kind"]), "learning", trial)
    order = generator.permutation(codes)
    draws = -(-FITS // trials)
    return [np.roll(order, -(draw * len(codes) // draws)).tolist() for draw in range(draws)]


def _reduce_split(
    split: Split, parts: Sequence[str], groups: frozenset[int], codes: Mapping[str, int]
) -> Split:
    """Return the split without the rows of ``parts`` that belong to other groups."""
    part = {s: p for s, p in split.part.items() if p not in parts or codes[s] in groups}
    return Split(split.protocol, split.trial, part)


def _summarise_share(
    trainer: train.MetricTrainer,
    tasks: Sequence[train.FitTask],
    share: float,
    parts: Sequence[str],
    label: Mapping[str, Any],
    mapping: str,
) -> list[dict[str, Any]]:
    """Return the rows of one share: statistics of its fits as in the correlation table."""
    predictions, sizes = [], []
    fits: dict[str, int] = {}
    for task in tasks:
        number = {d: fits.get(d, 0) for d in task.dimensions}
        fits |= {d: n + 1 for d, n in number.items()}
        # Each subset of a trial counts as a trial.
        predictions += [
            {**row, "trial": number[row["dimension"]]} for row in trainer.list_rows(task)
        ]
        sizes += [
            {"dimension": d, **_count_training(task, column, parts)}
            for column, d in enumerate(task.dimensions)
        ]
    frame = pd.DataFrame(predictions)
    means = pd.DataFrame(sizes).groupby("dimension")[["groups", "rows"]].mean()
    tested = frame[frame["part"] == TEST]
    statistics = correlation_rows(
        tested, trainer.rated.mos, trainer.rated.samples, [label], Settings(mapping=mapping)
    )
    return [
        {
            **{name: row[name] for name in _COPIED},
            "share": float(share),
            "groups": float(means.loc[row["dimension"], "groups"]),
            "rows": float(means.loc[row["dimension"], "rows"]),
        }
        for row in round_rows(statistics)
        if (row["level"], row["pooling"]) == (VIDEO, MEAN) and row["dimension"] in means.index
    ]


def _count_training(task: train.FitTask, column: int, parts: Sequence[str]) -> dict[str, int]:
    """Return the numbers of rows and of groups with a MOS that one dimension is trained on."""
    problem = task.problem
    rows: Ints = problem.rows if VALIDATION in parts else problem.train
    values: Floats = problem.y[rows, column]
    rated_rows = rows[np.isfinite(values)]
    return {
        "rows": len(rated_rows),
        "groups": len(rated_rows)
        if problem.groups is None
        else len(np.unique(problem.groups[rated_rows])),
    }
