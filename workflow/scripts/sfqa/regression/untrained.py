"""Predictions of all metrics that are not trained, in one job: single features and controls."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sfqa import identity, store, tables
from sfqa.errors import UserError
from sfqa.joint_job import Item
from sfqa.regression import _rows
from sfqa.regression.controls import score_control
from sfqa.regression.design import Design, load_design
from sfqa.regression.dimension_inputs import split_dimensions
from sfqa.regression.zero_shot import score_metric
from sfqa.splits.protocols import ALL

#: The control that repeats the MOS; the others depend on the samples only.
_ORACLE = "oracle"


@dataclass(frozen=True)
class UntrainedMetrics:
    """What the metrics of one job share.

    ``samples`` and ``mos``: paths of the tables. ``features``: paths of the feature tables of all
    extractors. ``trial_lists``: files that the protocols name.
    """

    samples: Path
    mos: Path
    features: Sequence[str]
    trial_lists: Sequence[str]
    protocols: Sequence[Mapping[str, Any]]
    seed: int

    def list_items(
        self, metrics: Sequence[Mapping[str, Any]], outputs: Sequence[str]
    ) -> list[Item]:
        """Return an item for each metric; ``outputs`` are their tables, in the same order."""
        mos = store.read(tables.MOS, self.mos)
        files: list[Path | str] = [self.samples, *self.trial_lists]
        shared = [identity.sha256_file(path) for path in files]
        shared += [identity.digest([list(self.protocols), self.seed])]
        rated = self._digest_rated_samples(mos)
        return [
            self._describe_item(metric, Path(path), mos, shared, rated)
            for metric, path in zip(metrics, outputs, strict=True)
        ]

    def _digest_rated_samples(self, mos: pd.DataFrame) -> dict[str, str]:
        """Return a digest of the rated samples by dimension, empty without the protocol ``all``."""
        if not any(protocol["name"] == ALL for protocol in self.protocols):
            return {}
        return {
            str(dimension): identity.digest(sorted(_rows.select_mos(mos, str(dimension))))
            for dimension in mos["dimension"].unique()
        }

    def _describe_item(
        self,
        metric: Mapping[str, Any],
        path: Path,
        mos: pd.DataFrame,
        shared: Sequence[str],
        rated: Mapping[str, str],
    ) -> Item:
        cache = path.parent / "trials"
        designs: list[tuple[Mapping[str, Any], Design]] = []
        try:
            dimensions = _rows.select_dimensions(metric, mos)
            values: str | list[str] = ""
            if metric["kind"] != "control":
                files = self._list_files(metric)
                designs = [
                    (part, load_design(files, list(part["inputs"])))
                    for part in split_dimensions(metric, dimensions)
                ]
                digests = [_digest_design(design) for _, design in designs]
                values = digests if "dimension_inputs" in metric else digests[0]
            elif metric["head"] == _ORACLE:
                values = identity.sha256_file(self.mos)
        except UserError as error:
            # An empty key is in no cache: the item fails when its turn comes.
            return Item(metric["name"], "", [path], cache, error)
        rated_samples = [rated[dimension] for dimension in dimensions if dimension in rated]
        key = identity.digest([dict(metric), dimensions, values, *shared, *rated_samples])
        return Item(metric["name"], key, [path], cache, (metric, designs))

    def _list_files(self, metric: Mapping[str, Any]) -> dict[str, list[str]]:
        return {
            name: [path for path in self.features if f"/features/{name}/" in path]
            for name in metric["extractors"]
        }

    def write_predictions(self, item: Item) -> None:
        """Compute and write the predictions of one metric, tables.PREDICTIONS."""
        if isinstance(item.content, UserError):
            raise item.content
        metric, designs = item.content
        samples = store.read(tables.SAMPLES, self.samples)
        mos = store.read(tables.MOS, self.mos)
        arguments = (samples, mos, self.protocols, self.seed)
        if metric["kind"] == "control":
            rows = score_control(metric, *arguments)
        else:
            rows = [
                row for part, design in designs for row in score_metric(part, design, *arguments)
            ]
        store.write(tables.PREDICTIONS, rows, item.paths[0], {"metric": dict(metric)})


def _digest_design(design: Design) -> str:
    """Return a digest of the values, the samples, and the reasons why others have none."""
    values = hashlib.sha256(design.X.tobytes()).hexdigest()
    return identity.digest([values, design.sample_ids, design.names, design.dropped, design.flawed])
