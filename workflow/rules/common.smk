# Functions that the rules share; what each job needs and makes stands in the other files.
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "workflow/scripts"))

from sfqa import snakemake_tuning

PLAN = snakemake_tuning.make_plan(workflow, config)
config = PLAN.config
DATASET = PLAN.dataset
MODE = PLAN.mode
EXTRACTORS = PLAN.extractors
METRICS = PLAN.metrics


def check_space():
    """Stop before any job starts where the run would fill the disk."""
    from sfqa import estimate

    with snakemake_tuning.errors_for_snakemake():
        estimate.check_space(PLAN)


def checkpointed_samples():
    return checkpoints.list_samples.get(dataset=DATASET).output.samples


def shard_digest(wildcards):
    return PLAN.shard_digest(checkpointed_samples(), wildcards.method, wildcards.shard)


def shard_minutes(wildcards):
    return PLAN.shard_minutes(checkpointed_samples(), wildcards.method, wildcards.shard)


def shard_files(pattern):
    """All (method, shard) files of a pattern, known once the samples are listed."""

    def files(wildcards):
        shards = PLAN.shards(checkpointed_samples())
        return [
            pattern.format(dataset=DATASET, method=method, shard=shard)
            for method, shard in shards
        ]

    return files


def feature_files(extractors=None):
    """Feature files of some extractors (all by default)."""

    def files(wildcards):
        found = []
        for extractor in EXTRACTORS if extractors is None else extractors:
            if extractor == "imported":
                found.append(f"results/{DATASET}/features/imported/all/0.parquet")
                continue
            pattern = (
                f"results/{{dataset}}/features/{extractor}/{{method}}/{{shard}}.parquet"
            )
            found += shard_files(pattern)(wildcards)
        return found

    return files


def metric_features(wildcards):
    return feature_files(PLAN.metric(wildcards.metric)["extractors"])(wildcards)


def all_outputs():
    return [f"results/{DATASET}/{path}" for path in PLAN.targets()]


def every_table(wildcards):
    """The tables in the middle of a whole run.

    A job that fails takes its old output along, and the engine overlooks a missing file for as
    long as there is what was made of the old one. The rule `all` asks for each, so that the next
    run goes on where that job failed.
    """
    folder = f"results/{DATASET}"
    found = PLAN.catalog_inputs()
    for paths in PLAN.stage_tables(wildcards).values():
        found += [paths] if isinstance(paths, str) else paths
    if MODE == "build":
        found.append(f"{folder}/pairs.parquet")
    if PLAN.scores in ("simulated", "imported"):
        found.append(f"{folder}/ratings/scores.parquet")
    if MODE != "import_features":
        for stage in ("generation", "conform"):
            found += shard_files(f"{folder}/{stage}/{{method}}/{{shard}}.parquet")(
                wildcards
            )
    return found + feature_files()(wildcards)


def generator_manifests():
    folder = PLAN.config.get("generation", {}).get("generators")
    return [f"{folder}/{label}/manifest.json" for label in PLAN.command_methods()]


def edited(table):
    """A digest that changes when files of this table were changed by hand, else ''."""

    def look(wildcards):
        return PLAN.watch.edited(table.format(**wildcards))

    return look


def more_memory(base_mb):
    """Ask for more memory at every attempt."""

    def memory(wildcards, attempt):
        return base_mb * attempt

    return memory
