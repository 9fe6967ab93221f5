"""Train a regressor under every protocol: one fit per protocol, trial and dimension.

The splits are made over all samples, so that all metrics are tested on the same ones; a sample
that cannot be used then leaves its part of the split and stays a row with the reason. Dimensions
are fitted one by one: a new dimension, or one with gaps, changes nothing of the others.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sfqa import identity, store
from sfqa.errors import UserError
from sfqa.regression import _rows, heads
from sfqa.regression.design import Design
from sfqa.regression.protocols import (
    TEST,
    TRAIN,
    VALIDATION,
    Split,
    make_splits,
    validation_share,
)

LOG = logging.getLogger("sfqa")

#: Version of what this file does around the heads.
VERSION = 1
#: Fewer train rows, or validation rows to select on, teach nothing.
MIN_TRAIN, MIN_VALIDATION = 4, 2

Floats = npt.NDArray[np.float64]


def train_metric(
    metric: Mapping[str, Any],
    design: Design,
    samples: pd.DataFrame,
    mos: pd.DataFrame,
    protocols: Sequence[Mapping[str, Any]],
    seed: int,
    work: Path,
    device: str = "cpu",
    log: logging.Logger = LOG,
) -> list[dict[str, Any]]:
    """Return rows of tables.PREDICTIONS for the test and validation parts of every trial.

    ``metric`` holds ``name``, ``head``, ``options`` and maybe ``dimensions``; ``samples`` and
    ``mos`` are frames of those tables. Finished trials are kept in ``work`` under a digest of all
    that their numbers depend on, so that a killed run goes on where it was. A head that learns
    from validation rows (``fit_on_validation``) gets no rows for them. Raises :class:`UserError`
    for a configuration that cannot be run.
    """
    head = str(metric["head"])
    options = heads.merged_options(head, metric.get("options"))
    job = _Job(metric, head, options, design, seed, Path(work), device)
    rows: list[dict[str, Any]] = []
    for protocol in protocols:
        if heads.selects(head) and validation_share(protocol) == 0:
            raise UserError(
                f"config, regression.protocols {protocol.get('name')!r}: validation is 0, but "
                f"metric {metric['name']!r} selects on validation rows (head {head}); raise it"
            )
        splits = make_splits(samples, protocol, seed)
        for number, split in enumerate(splits, 1):
            for dimension in _rows.dimensions(metric, mos):
                rows += job.run(split, dimension, _rows.truth(mos, dimension))
            log.info(
                "%s: protocol %s, trial %d of %d (%d fitted, %d from the cache)",
                metric["name"], split.protocol, number, len(splits), job.fitted, job.cached,
            )  # fmt: skip
    return rows


class _Job:
    """What all trials of one metric share."""

    def __init__(
        self,
        metric: Mapping[str, Any],
        head: str,
        options: Mapping[str, Any],
        design: Design,
        seed: int,
        work: Path,
        device: str,
    ) -> None:
        self.metric, self.head, self.options = metric, head, options
        self.design, self.seed, self.work, self.device = design, seed, work, device
        self.place = {s: n for n, s in enumerate(design.sample_ids)}
        self.hashes = [hashlib.sha256(r.tobytes()).hexdigest() for r in design.X]
        self.fitted = self.cached = 0

    def run(self, split: Split, dimension: str, truth: _rows.Truth) -> list[dict[str, Any]]:
        """The rows of one trial in one dimension."""
        learnt = bool(self.options.get("fit_on_validation"))
        wanted = _rows.of_part(split, [TEST] if learnt else [VALIDATION, TEST])
        able = [s for s in wanted if s in self.place]
        train, validation = (
            [s for s in _rows.of_part(split, [part]) if s in self.place and s in truth]
            for part in (TRAIN, VALIDATION)
        )
        few = ""
        if len(train) < MIN_TRAIN:
            few = f"too_few_rows: {len(train)} train rows have features and MOS"
        elif heads.selects(self.head) and len(validation) < MIN_VALIDATION:
            few = f"too_few_rows: {len(validation)} validation rows have features and MOS"
        values: dict[str, float] = {}
        if able and not few:
            found = self._predictions(split, dimension, train, validation, able, truth)
            values = dict(zip(able, found.tolist(), strict=True))
        return [self._row(split, dimension, s, values, few) for s in wanted]

    def _row(
        self, split: Split, dimension: str, sample: str, values: Mapping[str, float], few: str
    ) -> dict[str, Any]:
        missing = "no_features: the sample has no feature row"
        if sample not in self.place:
            detail = self.design.dropped.get(sample, missing)
            return _rows.row(self.metric, dimension, split, sample, None, detail)
        if few:
            return _rows.row(self.metric, dimension, split, sample, None, few)
        if not np.isfinite(values[sample]):
            detail = f"not_finite: head {self.head} predicted {values[sample]}"
            return _rows.row(self.metric, dimension, split, sample, None, detail)
        note = self.design.flawed.get(sample, "")
        return _rows.row(self.metric, dimension, split, sample, values[sample], note)

    def _predictions(
        self,
        split: Split,
        dimension: str,
        train: list[str],
        validation: list[str],
        able: list[str],
        truth: _rows.Truth,
    ) -> Floats:
        seed = identity.seed_of(self.seed, split.protocol, split.trial, dimension)
        where = [[self.place[s] for s in part] for part in (train, validation, able)]
        y_train, y_val = (np.array([[truth[s]] for s in p]) for p in (train, validation))
        key = identity.digest(
            {
                "code": [VERSION, self.head, heads.version(self.head), dict(self.options)],
                "x": [[self.hashes[n] for n in part] for part in where],
                "y": [y_train.tolist(), y_val.tolist()],
                "seed": seed,
                "device": self.device.split(":")[0],
            }
        )
        file = self.work / f"{key}.npz"
        known = _stored(file, key, len(able))
        if known is not None:
            self.cached += 1
            return known
        x_train, x_val, x_all = (self.design.X[part] for part in where)
        scratch = self.work / f"{key}.work"
        scratch.mkdir(parents=True, exist_ok=True)
        found = heads.load(self.head).fit_predict(
            x_train, y_train, x_val, y_val.reshape(-1, 1), x_all,
            self.options, seed, scratch, self.device,
        )[:, 0]  # fmt: skip
        with store.replacing(file) as temporary:
            np.savez(temporary, prediction=found, key=np.array(key))
        shutil.rmtree(scratch)
        self.fitted += 1
        return found


def _stored(file: Path, key: str, rows: int) -> Floats | None:
    """The predictions of a finished trial; a damaged or foreign file is a miss."""
    if not file.is_file():
        return None
    try:
        with np.load(file, allow_pickle=False) as stored:
            found, label = stored["prediction"], str(stored["key"])
    except Exception:
        # zip, zlib, header and key errors all mean the same: compute it again.
        return None
    fits = label == key and found.shape == (rows,) and found.dtype == np.float64
    return found if fits else None
