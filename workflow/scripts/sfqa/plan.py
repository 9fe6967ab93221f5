"""The plan of a run: what the rules need from a configuration, such as paths, slices, versions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from sfqa import tables
from sfqa.configuration import complete_config
from sfqa.early_checks.data_checks import check_sheets, complete_protocols
from sfqa.early_checks.known_samples import KnownSamples
from sfqa.early_checks.memory import PlanMemory
from sfqa.early_checks.protocols import check_protocols
from sfqa.early_checks.ratings import check_rating_table
from sfqa.early_checks.weight_files import check_weight_files
from sfqa.errors import UserError
from sfqa.features import base
from sfqa.features.extractors import EXTRACTORS
from sfqa.features.weights_plan import WeightsPlan
from sfqa.generation import registry
from sfqa.metric_plan import MetricPlan
from sfqa.options import convert_texts
from sfqa.pairs.samples import read_prompts
from sfqa.plugins import read_version
from sfqa.rating_files import RatingFiles
from sfqa.regression.dimension_inputs import check_rated_dimensions
from sfqa.regression.model_metrics import expand_models
from sfqa.repositories import sources
from sfqa.shard_index import Shard, read_shards
from sfqa.trial_files import TrialFiles
from sfqa.watch import Watch

_PACKAGE = Path(__file__).parent
#: Longest time limit that a cluster is asked for, in minutes.
_MAX_JOB_MINUTES = 24 * 60
_EMPTY_SHARD = Shard(0, "")


class Plan(MetricPlan, RatingFiles, TrialFiles):
    """A complete configuration, and what the rules derive from it.

    Reads the configuration, the registry of methods, the header of an imported table and the table
    of samples, but no video. With ``check_files``, the user's data are checked
    (:mod:`sfqa.early_checks`) and files edited by hand are looked for.
    Without ``needs_data`` the user's own files may be missing, such as sheets and scores. ``notes``
    are sentences for the start of a run. Raises
    :class:`sfqa.errors.UserError` for any mistake in the configuration.
    """

    def __init__(
        self, config: Mapping[str, Any], schema: Path, check_files: bool, needs_data: bool = True
    ) -> None:
        self.config = expand_models(complete_config(config, schema, needs_data))
        self.needs_data = needs_data
        self.dataset: str = self.config["dataset"]
        self.mode: str = self.config["mode"]
        self.results = Path("results") / self.dataset
        self.extractors: list[str] = (
            ["imported"]
            if self.mode == "import_features"
            else sorted(self.config.get("features", {}))
        )
        # Read once: the parameters of every shard of every extractor have it.
        self.extractor_versions: dict[str, int] = {}
        for name in self.extractors:
            if name != "imported":
                # An unknown extractor or option is an error before any job runs.
                entry = self.config["features"][name]
                entry["options"] = convert_texts(entry["options"], EXTRACTORS.options(name))
                base.check_entry(name, entry)
                self.extractor_versions[name] = base.read_extractor_version(name)
        self.weights = WeightsPlan(self.config, self.results)
        self.methods: dict[str, registry.Method] = {}
        if self.mode != "import_features":
            self.known_methods = registry.load_methods(Path(self.config["generation"]["registry"]))
            labels = self.config["generation"].get("methods", [])
            self.methods = {
                label: registry.get_method(self.known_methods, label) for label in labels
            }
        self.score_source = self._find_score_source()
        #: Sentences that the start of a run says once.
        self.notes: list[str] = []
        self._folder_digest: str | None = None
        self.samples = KnownSamples(self.config, PlanMemory(self.results), self.folder_digest)
        self.has_own_protocols = bool(self.config["regression"]["protocols"])
        protocols, sentence = complete_protocols(
            self.config, self.samples, self.has_mos, needs_data
        )
        self.config["regression"]["protocols"] = protocols
        self.notes += filter(None, [sentence])
        self.watch = Watch(self.results)
        self.trial_list_files()  # a missing file is an error before any job runs
        self.check_metrics()
        if check_files and needs_data:
            self._check_data()
            self.watch.check_files()

    def _find_score_source(self) -> str:
        """Return where the MOS come from: simulated, imported, ratings, mos, labels or none.

        Simulated, imported and ratings (of label files) are raw scores; mos (of a table of
        features) and labels (files beside the videos) are published MOS.
        """
        if self.mode == "import_features":
            return "mos"
        source = self.config["ratings"]["source"]
        if source == "labels":
            from sfqa.labels.joining import has_ratings

            return "ratings" if has_ratings(self.import_source()) else "labels"
        return "imported" if source in ("study", "table", "wide") else source

    def _check_data(self) -> None:
        """Check the user's data; raises :class:`UserError` for what would stop a job later."""
        self.notes += check_sheets(self.config, self.samples)
        check_weight_files(self.config.get("features", {}), self.results / "weights")
        if self.has_mos or self.has_own_protocols:
            protocols, seed = self.config["regression"]["protocols"], self.config["seed"]
            check_protocols(self.samples, protocols, seed, self.trial_list_files())
        if self.score_source == "imported":
            ratings = self.config["ratings"]
            dimensions = check_rating_table(self.samples, ratings, self.ratings_file())
            check_rated_dimensions(self.metrics, dimensions)

    @property
    def has_scores(self) -> bool:
        """Whether the MOS are computed from raw scores."""
        return self.score_source in ("simulated", "imported", "ratings")

    # Functions of wildcards: each returns the slice of the configuration that one job depends on.

    def model_source(self, wildcards: Any) -> dict[str, Any]:
        """Return where the program of a model of kind command is fetched from, as data."""
        return self.weights.commands.get_source(wildcards.model)

    def extractor_spec(self, wildcards: Any) -> dict[str, Any]:
        """Return the configuration of the extractor of a job."""
        spec: dict[str, Any] = self.config["features"][wildcards.extractor]
        return self.weights.add_official(spec, wildcards.extractor)

    def extractor_version(self, wildcards: Any) -> int:
        """Return the VERSION of the extractor of a job."""
        return self.extractor_versions[wildcards.extractor]

    def method_data(self, wildcards: Any) -> dict[str, Any]:
        """Return the method of a job as data, with the VERSION of its adapter."""
        return registry.as_dict(self.methods[wildcards.method])

    def known_method_data(self, wildcards: Any) -> dict[str, Any] | None:
        """Return the method of an imported video as data, None if its label is not registered."""
        method = self.known_methods.get(wildcards.method)
        return registry.as_dict(method) if method else None

    def generator_manifest(self, wildcards: Any) -> list[str]:
        """Return the manifest of the installed generator of a job, in a list: empty without one."""
        if not self.methods[wildcards.method].runs_command:
            return []
        return [f"{self.config['generation']['generators']}/{wildcards.method}/manifest.json"]

    def generator_source(self, wildcards: Any) -> dict[str, Any]:
        """Return where the generator of a method of kind command is fetched from, as data."""
        method = self.methods[wildcards.method]
        if method.source is None:
            raise UserError(
                f"method {method.label}: there is nothing to fetch for kind {method.kind}; name a "
                "method of kind command"
            )
        return sources.as_dict(method.source)

    def ready_digest(self, wildcards: Any) -> str:
        """Return a digest of the names of ready videos for a method of kind import, else ''."""
        if self.methods[wildcards.method].kind != "import":
            return ""
        from sfqa.generation import ready

        return ready.digest_ready(Path(self.config["generation"]["generators"]) / wildcards.method)

    def method_gpus(self, wildcards: Any) -> int:
        """Return 1 for a method of kind command, else 0."""
        return int(self.methods[wildcards.method].runs_command)

    def method_memory_mb(self, wildcards: Any, attempt: int) -> int:
        """Return the memory of a generation job in MB, more at every attempt."""
        return round(self.methods[wildcards.method].memory_gb * 1024) * attempt

    # Slices that all jobs of a rule share.

    def pair_constraints(self) -> dict[str, Any]:
        """Return the constraints of the pairs: all keys but their number, ratio and kept table."""
        pairs = self.config["pairs"]
        return {k: v for k, v in pairs.items() if k not in ("count", "train_val_ratio", "keep")}

    def command_methods(self) -> list[str]:
        """Return the labels of the configured methods of kind command."""
        return [label for label, method in self.methods.items() if method.runs_command]

    def method_labels(self) -> list[str]:
        """Return the labels of the configured methods."""
        return list(self.methods)

    def all_method_data(self) -> list[dict[str, Any]]:
        """Return the configured methods as data."""
        return [registry.as_dict(m) for m in self.methods.values()]

    def import_source(self) -> dict[str, Any]:
        """Return the section ``import`` of the configuration, empty if there is none."""
        return dict(self.config.get("import", {}))

    def folder_digest(self) -> str:
        """Return a digest of the file names in an imported folder, '' if none is imported.

        The folder is listed once.
        """
        if self._folder_digest is None:
            source = self.import_source()
            self._folder_digest = ""
            if "folder" in source:
                from sfqa.generation import importing

                self._folder_digest = importing.digest_source(source)
        return self._folder_digest

    def sample_sources(self) -> list[str]:
        """Return the files that the samples are listed from."""
        if self.mode == "build":
            sources = [tables.table_path(name) for name in ("pairs", "images", "clips")]
            kept_pairs = self.config["pairs"].get("keep")
            # Only where it matters, so that other tables of pairs list the same samples.
            return sources + ([kept_pairs] if kept_pairs and read_prompts(kept_pairs) else [])
        source = self.import_source()
        if "labels" in source:
            return self.label_files()
        return [source[key] for key in ("sheet", "table") if key in source]

    def label_files(self) -> list[str]:
        """Return the label files; raises :class:`UserError` for a missing one."""
        from sfqa.labels.joining import list_all_files

        paths = list_all_files(self.import_source())
        for path in paths:
            if not path.is_file():
                raise UserError(
                    f"config, import.labels: there is no label file {path}; correct 'files' (paths "
                    "start at import.folder)"
                )
        return [str(path) for path in paths]

    def target_paths(self) -> list[str]:
        """Return the outputs of a complete run, as paths below the dataset's folder."""
        paths = [tables.REJECTS.path, "report/rejects.html", "catalog.duckdb"]
        paths += ["report/site", "ro-crate-metadata.json", "report/manifest.json"]
        if self.has_mos:
            paths += ["correlation/metrics.html", "correlation/leakage.html"]
            paths += ["correlation/mos_by_label.svg", "correlation/metric_bars.svg"]
            if self.has_scores:
                paths += [tables.RATER_REPORT.path]
            paths += [f"correlation/scatter/{m['name']}.svg" for m in self.scored_metrics]
        return paths

    def stage_tables(self, wildcards: Any) -> dict[str, Any]:
        """Return the paths of the tables whose rows may be not ok, by the table's name."""
        files: dict[str, Any] = {}
        if self.mode == "build":
            files |= self._table_paths("images", "clips")
        if self.mode == "import_features":
            files |= self._table_paths("imported_columns")
        else:
            files["conformed"] = tables.merged_path("conformed", dataset=self.dataset)
        if self.has_mos:
            files |= self._table_paths("mos")
            files["predictions"] = [
                tables.table_path("predictions", dataset=self.dataset, metric=name)
                for name in self.metric_names
            ]
        if self.has_scores:
            files |= self._table_paths("rater_report", "reliability")
        if self.score_source == "imported":
            files |= self._table_paths("rating_notes")
        return files

    def catalog_inputs(self) -> list[str]:
        """Return the paths of the tables that the catalogue waits for."""
        names = ["rejects", "samples"]
        if self.has_mos:
            names += ["correlation", "mos_by_label", "correlation_by_method", "significance"]
        return list(self._table_paths(*names).values())

    def _table_paths(self, *names: str) -> dict[str, str]:
        """Return the paths of this dataset's tables, by the table's name."""
        return {name: tables.table_path(name, dataset=self.dataset) for name in names}

    @staticmethod
    @cache
    def module_version(module: str) -> int:
        """Return the VERSION of a module of the package, e.g. ``conform/video``."""
        return read_version(_PACKAGE / f"{module}.py")

    def list_shards(self, samples: Path | str) -> list[tuple[str, str]]:
        """Return (method, shard) of all shards of a table of samples."""
        return list(read_shards(samples))

    def shard_minutes(self, samples: Path | str, method: str, shard: str) -> int:
        """Return the time limit of the generation of a shard, in minutes.

        It is a day at most: the next attempt resumes where a job was stopped.
        """
        count = _find_shard(samples, method, shard).rows
        return max(10, min(_MAX_JOB_MINUTES, round(count * self.methods[method].minutes)))

    def shard_digest(self, samples: Path | str, method: str, shard: str) -> str:
        """Return the digest of what determines the videos of a shard in the table of samples."""
        return _find_shard(samples, method, shard).digest


def _find_shard(samples: Path | str, method: str, shard: str) -> Shard:
    return read_shards(samples).get((method, str(shard)), _EMPTY_SHARD)
