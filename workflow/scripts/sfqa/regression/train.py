"""Training of a regressor under all protocols, with all trials and dimensions in one call.

Splits are made over all samples, so that all metrics are tested on the same ones. A sample without
features is then excluded from its part of the split, and becomes a failed row with the reason. A
problem is one trial in one dimension, so that a new or incomplete dimension does not change the
others. For a head that learns all dimensions together it is one trial in all dimensions, with
missing MOS masked.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sfqa import identity, store
from sfqa.arrays import AnyArray, Floats, Ints
from sfqa.errors import UserError
from sfqa.progress import Progress
from sfqa.regression import _rows, heads
from sfqa.regression.blocks import BlockDesign, load_blocks
from sfqa.regression.design import Design, Files, load_design
from sfqa.regression.first_weights import add_base, add_question, load_first_weights
from sfqa.regression.metrics import check_validation_rows
from sfqa.regression.problems import (
    MIN_TRAIN,
    MIN_VALIDATION,
    Problem,
    find_reason,
    hash_rows,
    hash_weights,
)
from sfqa.regression.training_options import drop_display_options
from sfqa.splits.grouping import choose_groups, encode_groups, encode_values, find_largest
from sfqa.splits.protocols import (
    CROSS,
    TEST,
    TRAIN,
    VALIDATION,
    Split,
    make_splits,
)
from sfqa.training.curves import keep_curves
from sfqa.training.events import complete_events
from sfqa.untrusted.arrays import read_npz

__all__ = [
    "MIN_TRAIN",
    "MIN_VALIDATION",
    "VERSION",
    "RatedFeatures",
    "load_features",
    "make_split_problem",
    "train_metric",
    "train_part",
]

LOG = logging.getLogger("sfqa")

#: Version of what this file does before and after a head's fit.
VERSION = 2
#: Version of the files of cached predictions.
_CACHE_FORMAT = 1


@dataclass(frozen=True)
class RatedFeatures:
    """Features of a metric, with the tables of their samples and MOS."""

    design: Design | BlockDesign
    samples: pd.DataFrame
    mos: pd.DataFrame


def train_metric(
    metric: Mapping[str, Any],
    rated: RatedFeatures,
    protocols: Sequence[Mapping[str, Any]],
    seed: int,
    work: Path,
    device: str = "cpu",
) -> list[dict[str, Any]]:
    """Return rows of tables.PREDICTIONS for the test and validation parts of every trial.

    ``metric`` has ``name``, ``head``, ``options`` and optionally ``dimensions``. Predictions of
    fitted problems are cached in ``work`` under a digest of everything that they depend on. All
    other problems are passed to the head together; it writes checkpoints, so that a killed run
    resumes. For a head that learns from validation rows (``fit_on_validation``) only test rows are
    returned. Protocols of kind cross_dataset are skipped: see :mod:`sfqa.regression.cross`. Raises
    :class:`UserError` for a configuration that cannot be run.
    """
    trainer = MetricTrainer(metric, rated, seed, Path(work), device)
    trainer.add_protocols(protocols)
    trainer.fit(trainer.tasks)
    if trainer.options.get("tensorboard"):
        complete_events(Path(work) / "curves")
    return [row for task in trainer.tasks for row in trainer.list_rows(task)]


def train_part(
    metric: Mapping[str, Any],
    rated: RatedFeatures,
    protocols: Sequence[Mapping[str, Any]],
    seed: int,
    work: Path,
    part: int,
    jobs: int,
    device: str = "cpu",
) -> list[dict[str, str]]:
    """Fit every ``jobs``-th problem of a metric, from number ``part`` (from 0), and list the fits.

    The other arguments are those of :func:`train_metric`, which afterwards reads the predictions
    from ``work`` instead of fitting. All parts can run at a time with the same ``work``: no two
    write the same file. A fit has ``label``, ``digest`` (of everything that its predictions depend
    on) and ``detail`` (why it failed, or ''). Raises :class:`UserError` for a part that is not
    below ``jobs``.
    """
    if not 0 <= part < jobs:
        raise UserError(
            f"metric {metric['name']}: part {part}; write a number from 0 to {jobs - 1}"
        )
    trainer = MetricTrainer(metric, rated, seed, Path(work), device)
    trainer.add_protocols(protocols)
    tasks = [task for task in trainer.tasks if task.key][part::jobs]
    trainer.fit(tasks)
    return [
        {"label": task.problem.label, "digest": task.key, "detail": task.reason} for task in tasks
    ]


def load_features(metric: Mapping[str, Any], files: Files, work: Path) -> Design | BlockDesign:
    """Read the features of a metric from the tables of its extractors, in the form its head needs.

    ``metric`` has ``kind``, ``inputs`` and, for a regressor, ``head`` and ``options``; ``files``
    maps an extractor to its tables. Blocks too large for memory are stored in ``work``. Raises
    :class:`UserError` for inputs that the tables do not have.
    """
    inputs, head = list(metric["inputs"]), metric.get("head")
    if metric["kind"] != "regressor" or heads.read_design(str(head)) != "blocks":
        return load_design(files, inputs)
    options = heads.merge_options(str(head), metric.get("options"))
    head_inputs = heads.load_head(str(head)).list_inputs(options, inputs)
    return load_blocks(files, inputs, [head_input.steps for head_input in head_inputs], work)


def make_split_problem(
    row_of: Mapping[str, int],
    split: Split,
    mos: Sequence[_rows.MosBySample],
    seed: int,
    label: str,
    groups: Ints | None,
    first_weights: Mapping[str, AnyArray] | None = None,
) -> Problem:
    """Return the problem of one split, with the rows that have features and a MOS.

    ``row_of`` maps a sample to its row of x, in the order of the rows. ``mos`` has the MOS by
    sample for each dimension; a row needs a MOS in at least one of them. The MOS of all other rows
    are NaN.
    """
    train, validation = (
        [
            row_of[s]
            for s in _rows.list_samples(split, [part])
            if s in row_of and any(s in mos_of for mos_of in mos)
        ]
        for part in (TRAIN, VALIDATION)
    )
    names = list(row_of)
    y = np.full((len(row_of), len(mos)), np.nan)
    for column, mos_of in enumerate(mos):
        for row in train + validation:
            y[row, column] = mos_of.get(names[row], np.nan)
    parts = [np.array(rows, np.int64) for rows in (train, validation)]
    return Problem(parts[0], parts[1], y, seed, label, groups, first_weights)


@dataclass
class FitTask:
    """One problem, and the samples to predict with its model.

    ``samples`` are all of them, ``usable`` those that have features. ``key`` is the digest of the
    cached predictions, '' if the problem cannot be fitted. ``reason`` says why it cannot be fitted
    or why its fit failed. ``predictions`` is float64 (usable, dimensions), None before the fit.
    """

    split: Split
    dimensions: list[str]
    problem: Problem
    samples: list[str]
    usable: list[str]
    key: str
    reason: str
    predictions: Floats | None = None


class MetricTrainer:
    """Fits problems of one metric: add splits, fit, then list the rows of each task."""

    def __init__(
        self,
        metric: Mapping[str, Any],
        rated: RatedFeatures,
        seed: int,
        work: Path,
        device: str,
    ) -> None:
        self.metric, self.head = metric, str(metric["head"])
        self.options = heads.merge_options(self.head, metric.get("options"))
        self.rated, self.design = rated, rated.design
        self.seed, self.work, self.device = seed, work, device
        self.row_of = {s: n for n, s in enumerate(self.design.sample_ids)}
        self.hashes = hash_rows(self.design.X) if self.design.sample_ids else []
        names = _rows.select_dimensions(metric, rated.mos)
        self.sets = [names] if heads.is_multi_output(self.head) else [[name] for name in names]
        self.mos_of = {name: _rows.select_mos(rated.mos, name) for name in names}
        self.fit_options = add_base(metric, self.options)
        self.first_weights = load_first_weights(metric, self.fit_options)
        self.first_digest = hash_weights(self.first_weights) if self.first_weights else ""
        self.tasks: list[FitTask] = []

    def add_protocols(self, protocols: Sequence[Mapping[str, Any]]) -> None:
        """Add the problems of all trials of the protocols, except those of kind cross_dataset."""
        samples = self.rated.samples
        metric = {**self.metric, "kind": "regressor", "options": self.options}
        check_validation_rows([metric], protocols)
        for protocol in protocols:
            if protocol.get("kind") == CROSS:
                continue
            splits = make_splits(samples, protocol, self.seed)
            groups = encode_protocol_groups(samples, protocol, self.design.sample_ids)
            for split in splits:
                for dimensions in self.sets:
                    self.add_problem(split, dimensions, groups)

    def add_problem(self, split: Split, dimensions: list[str], groups: Ints | None) -> None:
        """Add the problem of one split, with its predictions if they are in the cache."""
        fit_on_validation = bool(self.options.get("fit_on_validation"))
        samples = _rows.list_samples(split, [TEST] if fit_on_validation else [VALIDATION, TEST])
        usable = [s for s in samples if s in self.row_of]
        trial: list[str | int] = [split.protocol, split.trial]
        single = [] if heads.is_multi_output(self.head) else dimensions
        seed = identity.seed_of(self.seed, *trial, *single)
        label = f"{split.protocol}, trial {split.trial}, {' and '.join(dimensions)}"
        mos = [self.mos_of[name] for name in dimensions]
        weights = add_question(self.first_weights, self.options, dimensions, self.metric["name"])
        problem = make_split_problem(self.row_of, split, mos, seed, label, groups, weights)
        reason = find_reason(problem, heads.needs_validation(self.head, self.options))
        task = FitTask(split, dimensions, problem, samples, usable, "", reason)
        self.tasks.append(task)
        if usable and not reason:
            task.key = self._make_cache_key(problem, [self.row_of[s] for s in usable])
            shape = (len(usable), len(dimensions))
            cached = _read_cached_predictions(self._cache_path(task), task.key, shape)
            if cached is not None:
                task.predictions, task.reason = cached

    def _make_cache_key(self, problem: Problem, test_rows: list[int]) -> str:
        """Return a digest of everything that the predictions for ``test_rows`` depend on."""
        row_sets = [problem.train.tolist(), problem.validation.tolist(), test_rows]
        # Only which rows have equal codes matters, not the values of the codes.
        codes = None
        if problem.groups is not None and len(problem.rows):
            codes = encode_values(pd.Series(problem.groups[problem.rows]))[0].tolist()
        mos = np.where(np.isfinite(problem.y), problem.y, None)  # type: ignore[call-overload]
        return identity.digest(
            {
                "code": [
                    VERSION,
                    _CACHE_FORMAT,
                    self.head,
                    heads.read_versions(self.head, self.options),
                    drop_display_options(self.options),
                ],
                "x": [[self.hashes[n] for n in rows] for rows in row_sets],
                "y": [mos[rows].tolist() for rows in row_sets[:2]],
                "groups": codes,
                "seed": problem.seed,
                "device": self.device.split(":")[0],
                **({"first weights": self.first_digest} if self.first_digest else {}),
            }
        )

    def _cache_path(self, task: FitTask) -> Path:
        return self.work / f"{task.key}.npz"

    def fit(self, tasks: Sequence[FitTask]) -> None:
        """Fit those tasks without cached predictions, in as few calls of the head as possible."""
        todo = [t for t in tasks if t.key and t.predictions is None]
        n_cached = sum(t.predictions is not None for t in tasks)
        step = heads.read_problems_per_call(self.head) or max(1, len(todo))
        total = n_cached + len(todo)
        with Progress(self.metric["name"], total, len(todo), "fits", LOG.info) as progress:
            progress.skip(n_cached)
            for start in range(0, len(todo), step):
                batch = todo[start : start + step]
                scratch = self.work / f"{identity.digest([t.key for t in batch])}.work"
                scratch.mkdir(parents=True, exist_ok=True)
                predictions, reasons = heads.fit_and_predict(
                    self.head, self.design.X, [t.problem for t in batch], self.fit_options,
                    scratch, self.device,
                )  # fmt: skip
                for task, values, reason in zip(batch, predictions, reasons, strict=True):
                    task.reason = reason
                    self._store_predictions(task, values)
                    outcome = f"failed {reason}" if reason else "fitted"
                    progress.report(task.problem.label, outcome, failed=bool(reason))
                keep_curves(scratch, self.work)
                shutil.rmtree(scratch)
        if not todo:
            LOG.info("%s: all %d fits from the cache", self.metric["name"], n_cached)

    def _store_predictions(self, task: FitTask, values: Floats) -> None:
        """Set and cache the predictions of a task; ``values`` is (rows of x, dimensions).

        The reason of a failed fit is stored too, so that it is not repeated.
        """
        task.predictions = np.ascontiguousarray(values[[self.row_of[s] for s in task.usable]])
        with store.replacing(self._cache_path(task)) as temporary:
            np.savez(
                temporary, prediction=task.predictions, key=np.array(task.key),
                reason=np.array(task.reason),
            )  # fmt: skip

    def list_rows(self, task: FitTask) -> list[dict[str, Any]]:
        """Return the rows of tables.PREDICTIONS of one task, ordered by dimension."""
        values: dict[str, Floats] = {}
        if task.predictions is not None:
            values = dict(zip(task.usable, task.predictions, strict=True))
        return [
            self._make_row(task, dimension, column, sample, values)
            for column, dimension in enumerate(task.dimensions)
            for sample in task.samples
        ]

    def _make_row(
        self, task: FitTask, dimension: str, column: int, sample: str, values: Mapping[str, Floats]
    ) -> dict[str, Any]:
        missing = "no_features: the sample has no feature row"
        if sample not in self.row_of:
            detail = self.design.dropped.get(sample, missing)
            return _rows.make_row(self.metric, dimension, task.split, sample, None, detail)
        if task.reason:
            return _rows.make_row(self.metric, dimension, task.split, sample, None, task.reason)
        value = float(values[sample][column])
        if not np.isfinite(value):
            detail = f"not_finite: head {self.head} predicted {value}"
            return _rows.make_row(self.metric, dimension, task.split, sample, None, detail)
        note = self.design.flawed.get(sample, "")
        return _rows.make_row(self.metric, dimension, task.split, sample, value, note)


def encode_protocol_groups(
    samples: pd.DataFrame, protocol: Mapping[str, Any], order: Sequence[str]
) -> Ints | None:
    """Return the group of each sample of ``order``, as a code; None for protocols of single rows.

    These are the groups by which the protocol draws validation rows.
    """
    protocol_kind, rows = str(protocol["kind"]), samples.set_index("sample_id", drop=False)
    if protocol_kind.startswith("random"):
        return None
    if protocol_kind == "leave_one_method_out":
        codes = encode_values(rows["method"])[0]
    else:
        where = f"config, regression.protocols {protocol.get('name')!r}"
        codes_of = encode_groups(rows, choose_groups(rows, protocol, where), where)
        if not codes_of:
            return None
        codes = find_largest(codes_of)
    code_of = dict(zip(rows.index, codes, strict=True))
    # A feature row that is not in the table of samples is in no split: all these share a code.
    return np.array([code_of.get(s, -1) for s in order], np.int64)


def _read_cached_predictions(
    file: Path, key: str, shape: tuple[int, int]
) -> tuple[Floats, str] | None:
    """Return the cached predictions of a problem and why its fit failed ('' if it did not).

    None if the file is missing or damaged.
    """
    if not file.is_file():
        return None
    try:
        stored = read_npz(file)
        predictions, label = stored["prediction"], str(stored["key"])
        # Files of earlier versions have no reason: failed fits were not stored.
        reason = str(stored["reason"]) if "reason" in stored else ""
    except Exception:
        # zip, zlib, header and key errors all mean the same: a cache miss.
        return None
    is_valid = label == key and predictions.shape == shape and predictions.dtype == np.float64
    return (predictions, reason) if is_valid else None
