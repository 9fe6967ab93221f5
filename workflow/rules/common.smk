# Functions that the rules share; what each job needs and makes stands in the other files.
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import ExecMode

sys.path.insert(0, str(Path(workflow.basedir) / "workflow/scripts"))

from sfqa import plan
from sfqa.errors import UserError

try:
    PLAN = plan.Plan(
        config,
        schema=Path(workflow.basedir) / "workflow/schemas/config.schema.yaml",
        # Only the scheduling process looks at the files; its jobs read what it noted.
        sweep=workflow.exec_mode == ExecMode.DEFAULT,
    )
except UserError as error:
    raise WorkflowError(str(error)) from None

config = PLAN.config
DATASET = PLAN.dataset
DOOR = PLAN.door
EXTRACTORS = PLAN.extractors
METRICS = PLAN.metrics


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
