"""The metrics of a configuration, and what their jobs depend on: part of the plan of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from sfqa.errors import UserError
from sfqa.features.weights_plan import WeightsPlan
from sfqa.plugins import read_version
from sfqa.ratings.known_dimensions import list_known_dimensions
from sfqa.regression.dimension_inputs import check_rated_dimensions
from sfqa.regression.first_weights import draws_backbone, select_sources
from sfqa.regression.metrics import (
    check_asked_dimensions,
    check_validation_rows,
    list_metrics,
    read_versions,
    select_number_settings,
)
from sfqa.regression.paper_rows import describe_paper_rows
from sfqa.splits.protocol_options import ALL, ALL_SAMPLES

#: Metrics that every table shows for comparison: the worst and the best possible ones.
_CONTROLS = {
    name: {"kind": "control", "group": "Controls"} for name in ("random", "constant", "oracle")
}


class MetricPlan:
    """The metrics of a complete configuration."""

    config: dict[str, Any]
    mode: str
    score_source: str
    extractors: list[str]
    weights: WeightsPlan
    #: Whether the configuration names protocols; otherwise they follow from the samples.
    has_own_protocols: bool

    @property
    def has_mos(self) -> bool:
        """Whether the samples have MOS, and so metrics, correlations and their figures."""
        return self.score_source != "none"

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The metrics if there are MOS: controls first, imported columns as one metric each."""
        return self.configured_metrics if self.has_mos else []

    @cached_property
    def configured_metrics(self) -> list[dict[str, Any]]:
        """The metrics of the configuration, also if the dataset has no MOS to compare them with."""
        columns: dict[str, Any] = dict.fromkeys(self.extractors)
        if self.mode == "import_features":
            from sfqa.features.columns import feature_columns

            columns = {"imported": feature_columns(dict(self.config.get("import", {})))}
        configured = {**_CONTROLS, **self.config["regression"]["metrics"]}
        metrics = list_metrics(configured, columns)
        protocols = self.config["regression"]["protocols"]
        dimensions = list_known_dimensions(self.config)
        check_validation_rows(metrics, protocols)
        check_rated_dimensions(metrics, dimensions)
        check_asked_dimensions(metrics, protocols, dimensions)
        for metric in metrics:
            metric["extractors"] = sorted({i.split(".", 1)[0] for i in metric["inputs"]})
        return metrics

    def check_metrics(self) -> None:
        """Raise :class:`UserError` for a mistake in a metric, with MOS or without."""
        if self.mode != "import_features":  # the columns of a missing table are not known
            self.configured_metrics  # noqa: B018 (reading it checks them)

    @property
    def metric_names(self) -> list[str]:
        """The metrics' names, in the order of the tables."""
        return [m["name"] for m in self.metrics]

    @property
    def untrained_metrics(self) -> list[dict[str, Any]]:
        """The metrics that are not trained: controls and single features."""
        return [m for m in self.metrics if m["kind"] != "regressor"]

    @property
    def scored_metrics(self) -> list[dict[str, Any]]:
        """The metrics that have a scatter plot: all but the controls."""
        return [m for m in self.metrics if m["kind"] != "control"]

    @property
    def main_protocol(self) -> str:
        """The protocol of the main table.

        That of the configuration. If it names none and no metric learns, all rated videos.
        """
        if protocol := self.config["correlation"].get("protocol"):
            return str(protocol)
        is_trained = any(metric["kind"] == "regressor" for metric in self.metrics)
        if not is_trained and not self.has_own_protocols:
            return ALL
        return str(self.config["regression"]["protocols"][0]["name"])

    @property
    def untrained_protocols(self) -> list[dict[str, Any]]:
        """The protocols of metrics that learn nothing: the configuration's, and all samples."""
        return [*self.config["regression"]["protocols"], dict(ALL_SAMPLES)]

    def get_metric(self, name: str) -> dict[str, Any]:
        """Return one metric by its name."""
        return next(m for m in self.metrics if m["name"] == name)

    def metric_slice(self, wildcards: Any) -> dict[str, Any]:
        """Return the metric of a job, with the VERSIONs of the modules that compute its numbers."""
        return self.slice_metric(self.get_metric(wildcards.metric))

    def slice_metric(self, metric: Mapping[str, Any]) -> dict[str, Any]:
        """Return a metric with the VERSIONs of the modules that compute its numbers."""
        sources = select_sources(metric, self.config.get("features", {}), self.weights)
        return {**select_number_settings(metric), "versions": read_versions(metric), **sources}

    def match_regressors(self) -> str:
        """Return a regular expression of the regressors' names."""
        names = [re.escape(m["name"]) for m in self.metrics if m["kind"] == "regressor"]
        return "|".join(names) or "no_regressor"

    def cross_dataset_models(self, wildcards: Any) -> list[str]:
        """Return the model files of other datasets to test on this one, one for each protocol.

        Raises :class:`UserError` if one is missing.
        """
        return self._list_model_files(self.get_metric(wildcards.metric))

    def check_model_files(self) -> None:
        """Raise :class:`UserError` if a model of another dataset is missing."""
        for metric in self.metrics:
            self._list_model_files(metric)

    def _list_model_files(self, metric: Mapping[str, Any]) -> list[str]:
        if metric["kind"] != "regressor":
            return []
        paths = []
        for protocol in self._cross_dataset_protocols():
            folder = str(protocol["model"]).rstrip("/")
            path = f"{folder}/regression/{metric['name']}/model.sfqa"
            if not Path(path).is_file():
                raise UserError(
                    f"config, regression.protocols {protocol['name']!r}: there is no model "
                    f"{path}; make it with the configuration of that dataset: snakemake {path} "
                    "--cores 8 --configfile ..."
                )
            paths.append(path)
        return paths

    def cross_dataset_slice(self) -> dict[str, Any]:
        """Return what else a test of other datasets' models depends on; empty without one."""
        if not self._cross_dataset_protocols():
            return {}
        version = read_version(Path(__file__).parent / "regression/model_files.py")
        return {"version": version, "conform": self.conform_settings()}

    def conform_settings(self) -> dict[str, Any] | None:
        """Return the common format of the videos, None if ready features are imported."""
        return None if self.mode == "import_features" else dict(self.config["conform"])

    def _cross_dataset_protocols(self) -> list[dict[str, Any]]:
        protocols = self.config["regression"]["protocols"]
        return [p for p in protocols if p["kind"] == "cross_dataset"]

    def metric_label(self, wildcards: Any) -> dict[str, Any]:
        """Return what tables and figures show about the metric of a job."""
        return self.label_metric(self.get_metric(wildcards.metric))

    def label_metric(self, metric: Mapping[str, Any]) -> dict[str, Any]:
        """Return what tables and figures show about a metric."""
        keys = ("name", "group", "kind", "direction")
        return {
            **{k: metric[k] for k in keys},
            "weights": self._weights_label(metric),
        }

    def paper_rows(self, wildcards: Any) -> list[dict[str, Any]]:
        """Return what the table in the layout of papers shows of each metric."""
        return describe_paper_rows(self.config, self.metrics, self.main_protocol)

    def metric_labels(self) -> list[dict[str, Any]]:
        """Return the labels of all metrics, in the order of the tables."""
        return [self.label_metric(metric) for metric in self.metrics]

    def _weights_label(self, metric: Mapping[str, Any]) -> str:
        """Return none, official, or random if an extractor or the backbone has random weights."""
        if draws_backbone(metric):
            return "random"
        extractors = metric["extractors"]
        features = self.config.get("features", {})
        weights = {features.get(name, {}).get("weights", "none") for name in extractors} - {"none"}
        return "none" if not weights else "random" if "random" in weights else "official"
