"""Train a regressor under every protocol: all its trials and dimensions as problems of one call.

The splits are made over all samples, so that all metrics are tested on the same ones; a sample
that cannot be used then leaves its part of the split and stays a row with the reason. A problem is
one trial in one dimension (a new dimension, or one with gaps, changes nothing of the others), or
one trial in all dimensions for a head that learns them together: a missing MOS is then masked.
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
from sfqa.arrays import Floats, Ints
from sfqa.errors import UserError
from sfqa.plugins import read_version
from sfqa.progress import Progress
from sfqa.regression import _rows, heads
from sfqa.regression.blocks import BlockDesign, load_blocks
from sfqa.regression.design import Design, Files, load_design
from sfqa.regression.problems import MIN_TRAIN, MIN_VALIDATION, Problem, find_reason, hash_rows
from sfqa.splits.grouping import choose_groups, encode_groups, encode_values, find_largest
from sfqa.splits.protocols import (
    CROSS,
    TEST,
    TRAIN,
    VALIDATION,
    Split,
    make_splits,
    validation_share,
)

__all__ = [
    "MIN_TRAIN",
    "MIN_VALIDATION",
    "VERSION",
    "RatedFeatures",
    "load_features",
    "pose",
    "train_metric",
]

LOG = logging.getLogger("sfqa")

#: Version of what this file does around the heads.
VERSION = 2
_ENGINE = read_version(Path(__file__).with_name("engine.py"))


@dataclass(frozen=True)
class RatedFeatures:
    """The features of a metric, and the tables of samples and of MOS that they belong to."""

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

    ``metric`` holds ``name``, ``head``, ``options`` and maybe ``dimensions``. Finished problems are
    kept in ``work`` under a digest of all that their numbers depend on; the others go to the head
    together, which keeps checkpoints, so that a killed run goes on where it was. A head that learns
    from validation rows (``fit_on_validation``) gets no rows for them. A protocol of kind
    cross_dataset trains nothing and is left to :mod:`sfqa.regression.cross`. Raises
    :class:`UserError` for a configuration that cannot be run.
    """
    job = Job(metric, rated, seed, Path(work), device)
    for protocol in protocols:
        if protocol.get("kind") == CROSS:
            continue
        if heads.needs_validation(job.head, job.options) and validation_share(protocol) == 0:
            raise UserError(
                f"config, regression.protocols {protocol.get('name')!r}: validation is 0, but "
                f"metric {metric['name']!r} selects on validation rows (head {job.head}); raise it"
            )
        splits = make_splits(rated.samples, protocol, seed)
        groups = groups_of(rated.samples, protocol, rated.design.sample_ids)
        for split in splits:
            for dimensions in job.sets:
                job.add(split, dimensions, groups)
    job.fit()
    return [row for task in job.tasks for row in job.rows(task)]


def load_features(metric: Mapping[str, Any], files: Files, work: Path) -> Design | BlockDesign:
    """Return the features of a metric as its head takes them, from the tables of its extractors.

    ``metric`` holds ``kind``, ``inputs`` and, of a regressor, ``head`` and ``options``; ``files``
    maps an extractor to its tables. Blocks that exceed memory lie below ``work``. Raises
    :class:`UserError` for inputs that the tables do not have.
    """
    inputs, head = list(metric["inputs"]), metric.get("head")
    if metric["kind"] != "regressor" or heads.read_design(str(head)) != "blocks":
        return load_design(files, inputs)
    options = heads.merge_options(str(head), metric.get("options"))
    head_inputs = heads.load_head(str(head)).list_inputs(options, inputs)
    return load_blocks(files, inputs, [head_input.steps for head_input in head_inputs], work)


def pose(
    place: Mapping[str, int],
    split: Split,
    truths: Sequence[_rows.MosBySample],
    seed: int,
    label: str,
    groups: Ints | None,
) -> Problem:
    """Return the problem of one split: rows that have features and a MOS in some dimension.

    ``place`` maps a sample to its row of x, in the order of the rows; ``truths`` gives the MOS by
    sample, one mapping per dimension. All MOS of other rows are hidden (NaN).
    """
    train, validation = (
        [
            place[s]
            for s in _rows.list_samples(split, [part])
            if s in place and any(s in truth for truth in truths)
        ]
        for part in (TRAIN, VALIDATION)
    )
    names = list(place)
    y = np.full((len(place), len(truths)), np.nan)
    for column, truth in enumerate(truths):
        for row in train + validation:
            y[row, column] = truth.get(names[row], np.nan)
    parts = [np.array(rows, np.int64) for rows in (train, validation)]
    return Problem(parts[0], parts[1], y, seed, label, groups)


@dataclass
class Task:
    """One problem, and whose predictions it is for."""

    split: Split
    dimensions: list[str]
    problem: Problem
    wanted: list[str]
    able: list[str]
    key: str
    reason: str
    found: Floats | None = None


class Job:
    """What all problems of one metric share."""

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
        self.place = {s: n for n, s in enumerate(self.design.sample_ids)}
        self.hashes = hash_rows(self.design.X) if self.design.sample_ids else []
        names = _rows.select_dimensions(metric, rated.mos)
        self.sets = [names] if heads.is_multi_output(self.head) else [[name] for name in names]
        self.truth = {name: _rows.select_mos(rated.mos, name) for name in names}
        self.tasks: list[Task] = []

    def add(self, split: Split, dimensions: list[str], groups: Ints | None) -> None:
        """Note one problem; its predictions are taken from the cache where they are known."""
        learnt = bool(self.options.get("fit_on_validation"))
        wanted = _rows.list_samples(split, [TEST] if learnt else [VALIDATION, TEST])
        able = [s for s in wanted if s in self.place]
        named: list[str | int] = [split.protocol, split.trial]
        single = [] if heads.is_multi_output(self.head) else dimensions
        seed = identity.seed_of(self.seed, *named, *single)
        label = f"{split.protocol}, trial {split.trial}, {' and '.join(dimensions)}"
        truths = [self.truth[name] for name in dimensions]
        problem = pose(self.place, split, truths, seed, label, groups)
        reason = find_reason(problem, heads.needs_validation(self.head, self.options))
        task = Task(split, dimensions, problem, wanted, able, "", reason)
        self.tasks.append(task)
        if able and not reason:
            task.key = self._key(problem, [self.place[s] for s in able])
            task.found = _stored(self._file(task), task.key, (len(able), len(dimensions)))

    def _key(self, problem: Problem, able: list[int]) -> str:
        """A digest of all that the predictions depend on."""
        where = [problem.train.tolist(), problem.validation.tolist(), able]
        # Equal codes mean one group; what the codes are does not matter.
        codes = None
        if problem.groups is not None and len(problem.rows):
            codes = encode_values(pd.Series(problem.groups[problem.rows]))[0].tolist()
        known = np.where(np.isfinite(problem.y), problem.y, None)  # type: ignore[call-overload]
        return identity.digest(
            {
                "code": [
                    VERSION,
                    _ENGINE,
                    self.head,
                    heads.read_versions(self.head, self.options),
                    dict(self.options),
                ],
                "x": [[self.hashes[n] for n in part] for part in where],
                "y": [known[part].tolist() for part in where[:2]],
                "groups": codes,
                "seed": problem.seed,
                "device": self.device.split(":")[0],
            }
        )

    def _file(self, task: Task) -> Path:
        return self.work / f"{task.key}.npz"

    def fit(self) -> None:
        """Fit what is not known yet, in as few calls of the head as it takes."""
        todo = [t for t in self.tasks if t.key and t.found is None]
        known = sum(t.found is not None for t in self.tasks)
        step = heads.read_problems_per_call(self.head) or max(1, len(todo))
        total = known + len(todo)
        with Progress(self.metric["name"], total, len(todo), "fits", LOG.info) as progress:
            progress.skip(known)
            for start in range(0, len(todo), step):
                part = todo[start : start + step]
                scratch = self.work / f"{identity.digest([t.key for t in part])}.work"
                scratch.mkdir(parents=True, exist_ok=True)
                found, reasons = heads.fit_and_predict(
                    self.head, self.design.X, [t.problem for t in part], self.options, scratch,
                    self.device,
                )  # fmt: skip
                for task, values, reason in zip(part, found, reasons, strict=True):
                    task.reason = reason
                    if not reason:
                        self._keep(task, values)
                    outcome = f"failed {reason}" if reason else "fitted"
                    progress.report(task.problem.label, outcome, failed=bool(reason))
                shutil.rmtree(scratch)
        if not todo:
            LOG.info("%s: all %d fits from the cache", self.metric["name"], known)

    def _keep(self, task: Task, values: Floats) -> None:
        task.found = np.ascontiguousarray(values[[self.place[s] for s in task.able]])
        with store.replacing(self._file(task)) as temporary:
            np.savez(temporary, prediction=task.found, key=np.array(task.key))

    def rows(self, task: Task) -> list[dict[str, Any]]:
        """The rows of one problem, dimension by dimension."""
        values = dict(zip(task.able, task.found, strict=True)) if task.found is not None else {}
        return [
            self._row(task, dimension, column, sample, values)
            for column, dimension in enumerate(task.dimensions)
            for sample in task.wanted
        ]

    def _row(
        self, task: Task, dimension: str, column: int, sample: str, values: Mapping[str, Floats]
    ) -> dict[str, Any]:
        missing = "no_features: the sample has no feature row"
        if sample not in self.place:
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


def groups_of(
    samples: pd.DataFrame, protocol: Mapping[str, Any], order: Sequence[str]
) -> Ints | None:
    """What a protocol keeps together, a code per sample of ``order``; None where single rows.

    The same groups that validation rows are carved out by.
    """
    kind, rows = str(protocol["kind"]), samples.set_index("sample_id", drop=False)
    if kind.startswith("random"):
        return None
    if kind == "leave_one_method_out":
        codes = encode_values(rows["method"])[0]
    else:
        where = f"config, regression.protocols {protocol.get('name')!r}"
        found = encode_groups(rows, choose_groups(rows, protocol, where), where)
        if not found:
            return None
        codes = find_largest(found)
    code = dict(zip(rows.index, codes, strict=True))
    # A feature row that is no sample is of no split, and in a group of its own.
    return np.array([code.get(s, -1) for s in order], np.int64)


def _stored(file: Path, key: str, shape: tuple[int, int]) -> Floats | None:
    """The predictions of a finished problem; a damaged or foreign file is a miss."""
    if not file.is_file():
        return None
    try:
        with np.load(file, allow_pickle=False) as stored:
            found, label = stored["prediction"], str(stored["key"])
    except Exception:
        # zip, zlib, header and key errors all mean the same: compute it again.
        return None
    fits = label == key and found.shape == shape and found.dtype == np.float64
    return found if fits else None
