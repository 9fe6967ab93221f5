"""What the rules ask of a configuration: which files, which slices, which versions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

from sfqa import tables
from sfqa.configuration import complete
from sfqa.errors import UserError
from sfqa.features import base
from sfqa.features.extractors import EXTRACTORS
from sfqa.generation import registry
from sfqa.generation.install import sources
from sfqa.options import convert_texts
from sfqa.plugins import read_version
from sfqa.regression.metrics import list_metrics, read_versions
from sfqa.shard_index import Shard, read_shards
from sfqa.watch import Watch

_PACKAGE = Path(__file__).parent
#: Minutes that a cluster is asked for at most.
_LONGEST_JOB = 24 * 60
_NO_SHARD = Shard(0, "")

#: What brackets every table: nothing known, nothing said, everything known.
_CONTROLS = {
    name: {"kind": "control", "group": "Controls"} for name in ("random", "constant", "oracle")
}


class _Metric(NamedTuple):
    """The wildcards of a metric's job."""

    metric: str


class Plan:
    """A complete configuration and the answers that the rules need of it.

    Cheap: reads the configuration, the registry, the header of an imported table and the small
    samples table; no video. Raises :class:`sfqa.errors.UserError` for any mistake.
    """

    def __init__(self, config: Mapping[str, Any], schema: Path, check_files: bool) -> None:
        self.config = complete(config, schema)
        self.dataset: str = self.config["dataset"]
        self.mode: str = self.config["mode"]
        self.results = Path("results") / self.dataset
        self.extractors: list[str] = (
            ["imported"]
            if self.mode == "import_features"
            else sorted(self.config.get("features", {}))
        )
        for name in self.extractors:
            if name != "imported":
                # An unknown extractor or option is an error now, not in an hour.
                entry = self.config["features"][name]
                entry["options"] = convert_texts(entry["options"], EXTRACTORS.options(name))
                base.check_entry(name, entry)
        self.methods: dict[str, registry.Method] = {}
        if self.mode != "import_features":
            self.known = registry.load_methods(Path(self.config["generation"]["registry"]))
            labels = self.config["generation"].get("methods", [])
            self.methods = {label: registry.get_method(self.known, label) for label in labels}
        self.scores = self._scores()
        self.watch = Watch(self.results)
        if check_files:
            self.watch.check_files()

    def _scores(self) -> str:
        if self.mode == "import_features":
            return "mos"
        source = self.config["ratings"]["source"]
        return "imported" if source in ("study", "table", "wide") else source

    def study_folder(self) -> str:
        """The folder of the rating study."""
        return self.config["ratings"].get("path") or f"results/{self.dataset}/ratings/study"

    def ratings_file(self) -> str:
        """The table of raw scores that is imported."""
        if self.config["ratings"]["source"] == "study":
            return f"{self.study_folder()}/{tables.SCORES.file_name}"
        return str(self.config["ratings"]["path"])

    def rater_inputs(self, wildcards: Any) -> dict[str, str]:
        """What else is known of the raters: what the screen measured, what checks should get."""
        found = {}
        if self.config["ratings"]["source"] == "study":
            found["details"] = f"{self.study_folder()}/{tables.SCORE_DETAILS.file_name}"
        if "answers" in self.config["ratings"]:
            found["answers"] = self.config["ratings"]["answers"]
        return found

    def tags_file(self) -> list[str]:
        """The table of further labels, where there is one."""
        return [t] if (t := self.config["ratings"].get("tags")) else []

    @cached_property
    def metrics(self) -> list[dict[str, Any]]:
        """The metrics of the configuration, imported columns expanded, controls first."""
        if self.scores == "none":
            return []
        columns: dict[str, Any] = dict.fromkeys(self.extractors)
        if self.mode == "import_features":
            from sfqa.features.columns import feature_columns

            columns = {"imported": feature_columns(self.import_source())}
        wanted = {**_CONTROLS, **self.config["regression"]["metrics"]}
        found = list_metrics(wanted, columns)
        for metric in found:
            metric["extractors"] = sorted({i.split(".", 1)[0] for i in metric["inputs"]})
        return found

    @property
    def metric_names(self) -> list[str]:
        """The metrics' names, in the order of the tables."""
        return [m["name"] for m in self.metrics]

    @property
    def main_protocol(self) -> str:
        """The protocol of the main table."""
        protocols = self.config["regression"]["protocols"]
        return str(self.config["correlation"].get("protocol") or protocols[0]["name"])

    def metric(self, name: str) -> dict[str, Any]:
        """Return one metric by its name."""
        return next(m for m in self.metrics if m["name"] == name)

    # Functions of wildcards, for the rules' params: each gives one job its slice.

    def metric_slice(self, wildcards: Any) -> dict[str, Any]:
        """The metric of a job, with the versions of all that makes its numbers."""
        metric = self.metric(wildcards.metric)
        used = {k: v for k, v in metric.items() if k != "published"}
        return {**used, "versions": read_versions(metric)}

    def cross_models(self, wildcards: Any) -> list[str]:
        """The model files of other datasets that a job's regressor is tested with, by protocol."""
        if self.metric(wildcards.metric)["kind"] != "regressor":
            return []
        found = []
        for protocol in self._crossed():
            folder = str(protocol["model"]).rstrip("/")
            found.append(f"{folder}/regression/{wildcards.metric}/model.sfqa")
            if not Path(found[-1]).is_file():
                raise UserError(
                    f"config, regression.protocols {protocol['name']!r}: there is no model "
                    f"{found[-1]}; make it with the configuration of that dataset: snakemake "
                    f"--cores 8 --configfile ... {found[-1]}"
                )
        return found

    def cross_slice(self) -> dict[str, Any]:
        """What else a test of other datasets' models depends on; empty where there is none."""
        if not self._crossed():
            return {}
        version = self.version("regression/model_files")
        return {"version": version, "conform": self.conform_form()}

    def conform_form(self) -> dict[str, Any] | None:
        """The common form of the videos, None where ready features were imported."""
        return None if self.mode == "import_features" else dict(self.config["conform"])

    def _crossed(self) -> list[dict[str, Any]]:
        protocols = self.config["regression"]["protocols"]
        return [p for p in protocols if p["kind"] == "cross_dataset"]

    def metric_gpus(self, wildcards: Any) -> int:
        """1 for a regressor, 0 for a metric that only looks scores up."""
        return int(self.metric(wildcards.metric)["kind"] == "regressor")

    def metric_label(self, wildcards: Any) -> dict[str, Any]:
        """What the tables and figures say of a job's metric."""
        metric = self.metric(wildcards.metric)
        keys = ("name", "group", "kind", "direction")
        return {**{k: metric[k] for k in keys}, "weights": self._weights(metric["extractors"])}

    def metric_labels(self) -> list[dict[str, Any]]:
        """The labels of all metrics, in the order of the tables."""
        return [self.metric_label(_Metric(name)) for name in self.metric_names]

    def _weights(self, extractors: list[str]) -> str:
        """Random where any of them is: an untrained part spoils the whole."""
        features = self.config.get("features", {})
        kinds = {features.get(name, {}).get("weights", "none") for name in extractors} - {"none"}
        return "none" if not kinds else "random" if "random" in kinds else "official"

    def extractor_spec(self, wildcards: Any) -> dict[str, Any]:
        """The configuration of a job's extractor."""
        spec: dict[str, Any] = self.config["features"][wildcards.extractor]
        return spec

    def extractor_version(self, wildcards: Any) -> int:
        """The VERSION of a job's extractor."""
        return base.extractor_version(wildcards.extractor)

    def method(self, wildcards: Any) -> dict[str, Any]:
        """A job's method as data, with the version of its adapter."""
        return registry.as_dict(self.methods[wildcards.method])

    def known_method(self, wildcards: Any) -> dict[str, Any] | None:
        """An imported video's method as data, None where the registry does not know its label."""
        known = self.known.get(wildcards.method)
        return registry.as_dict(known) if known else None

    def generator_manifest(self, wildcards: Any) -> list[str]:
        """What a job needs beside the samples: the manifest of an installed generator."""
        if not self.methods[wildcards.method].runs_command:
            return []
        return [f"{self.config['generation']['generators']}/{wildcards.method}/manifest.json"]

    def generator_source(self, wildcards: Any) -> dict[str, Any]:
        """Where a method of kind command comes from, as data."""
        method = self.methods[wildcards.method]
        if method.source is None:
            raise UserError(
                f"method {method.label}: there is nothing to fetch for kind {method.kind}; name a "
                "method of kind command"
            )
        return sources.as_dict(method.source)

    def ready_digest(self, wildcards: Any) -> str:
        """A digest of the names of ready videos, for a method of kind import; else ''."""
        if self.methods[wildcards.method].kind != "import":
            return ""
        from sfqa.generation import ready

        return ready.digest_ready(Path(self.config["generation"]["generators"]) / wildcards.method)

    def method_gpus(self, wildcards: Any) -> int:
        """1 for a method of kind command."""
        return int(self.methods[wildcards.method].runs_command)

    def method_memory_mb(self, wildcards: Any, attempt: int) -> int:
        """Memory of a generation job, more at every attempt."""
        return round(self.methods[wildcards.method].memory_gb * 1024) * attempt

    # Slices that are the same for all jobs of a rule.

    def pair_constraints(self) -> dict[str, Any]:
        """Return the constraints of the pairs: all keys but their number, ratio and kept table."""
        pairs = self.config["pairs"]
        return {k: v for k, v in pairs.items() if k not in ("count", "train_val_ratio", "keep")}

    def command_methods(self) -> list[str]:
        """Labels of the methods of kind command in use."""
        return [label for label, method in self.methods.items() if method.runs_command]

    def method_labels(self) -> list[str]:
        """Labels of the methods in use."""
        return list(self.methods)

    def methods_used(self) -> list[dict[str, Any]]:
        """The methods in use as data."""
        return [registry.as_dict(m) for m in self.methods.values()]

    def import_source(self) -> dict[str, Any]:
        """The import section, without keys that have no value."""
        return dict(self.config.get("import", {}))

    def folder_digest(self) -> str:
        """A digest of the names in an imported folder: one listing, no look at the files."""
        source = self.import_source()
        if "folder" not in source:
            return ""
        from sfqa.generation import importing

        return importing.digest_source(source)

    def sample_sources(self) -> list[str]:
        """What the samples are listed from."""
        if self.mode == "build":
            return [tables.table_path(name) for name in ("pairs", "images", "clips")]
        source = self.import_source()
        return [source[key] for key in ("sheet", "table") if key in source]

    def targets(self) -> list[str]:
        """Everything that a whole run makes, below the dataset's folder."""
        made = [tables.REJECTS.path, "report/rejects.html", "catalog.duckdb"]
        made += ["report/site", "ro-crate-metadata.json", "report/manifest.json"]
        if self.scores != "none":
            made += ["correlation/metrics.html", "correlation/leakage.html"]
            made += ["correlation/mos_by_label.svg", "correlation/metric_bars.svg"]
            if self.scores != "mos":
                made += [tables.RATER_REPORT.path]
            made += [
                f"correlation/scatter/{m['name']}.svg"
                for m in self.metrics
                if m["kind"] != "control"
            ]
        return made

    def stage_tables(self, wildcards: Any) -> dict[str, Any]:
        """The files of the tables whose rows may be not ok, by the table's name."""
        files: dict[str, Any] = {}
        if self.mode == "build":
            files |= self._files("images", "clips")
        if self.mode != "import_features":
            files["conformed"] = tables.merged_path("conformed", dataset=self.dataset)
        if self.scores != "none":
            files |= self._files("mos")
            files["predictions"] = [
                tables.table_path("predictions", dataset=self.dataset, metric=name)
                for name in self.metric_names
            ]
        if self.scores in ("simulated", "imported"):
            files |= self._files("rater_report", "reliability")
        return files

    def catalog_inputs(self) -> list[str]:
        """The tables that must be there before the catalogue."""
        names = ["rejects", "samples"]
        if self.scores != "none":
            names += ["correlation", "mos_by_label", "correlation_by_method", "significance"]
        return list(self._files(*names).values())

    def _files(self, *names: str) -> dict[str, str]:
        """The paths of this dataset's tables, by the table's name."""
        return {name: tables.table_path(name, dataset=self.dataset) for name in names}

    @staticmethod
    @cache
    def version(module: str) -> int:
        """The VERSION literal of a module of the package, e.g. ``conform/video``."""
        return read_version(_PACKAGE / f"{module}.py")

    def shards(self, samples: Path | str) -> list[tuple[str, str]]:
        """(method, shard) of all jobs, from the samples table."""
        return list(read_shards(samples))

    def shard_minutes(self, samples: Path | str, method: str, shard: str) -> int:
        """Most minutes that a shard's videos may take, a day at most: a next attempt goes on."""
        count = _shard(samples, method, shard).rows
        return max(10, min(_LONGEST_JOB, round(count * self.methods[method].minutes)))

    def shard_digest(self, samples: Path | str, method: str, shard: str) -> str:
        """Digest of the rows of one shard, as far as they make its videos."""
        return _shard(samples, method, shard).digest


def _shard(samples: Path | str, method: str, shard: str) -> Shard:
    return read_shards(samples).get((method, str(shard)), _NO_SHARD)
