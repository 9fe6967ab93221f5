# Functions that the rules share. The other files hold the rules of one stage each.
import importlib.util
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

# Not workflow.basedir, which is the folder of another Snakefile if this one is a module.
RULES = Path(workflow.current_basedir.get_path_or_uri(secret_free=True))
# In a checkout the package lies beside the rules. Rules that are read from a repository, by a
# module, use the installed package.
if (RULES.parent / "scripts" / "sfqa").is_dir():
    sys.path.insert(0, str(RULES.parent / "scripts"))
elif importlib.util.find_spec("sfqa") is None:
    raise WorkflowError(
        "the Python package sfqa is not installed beside Snakemake; run: pip install "
        "'sfqa[workflow] @ git+ADDRESS@TAG', with the address and the tag of the module"
    )

from sfqa import job_requests, snakemake_events, snakemake_tuning
from sfqa.features import base
from sfqa.regression import first_weights
from sfqa.tables import TABLES, merged_path, table_path

PLAN = snakemake_tuning.make_plan(workflow, config)
config = PLAN.config
DATASET = PLAN.dataset
MODE = PLAN.mode
EXTRACTORS = PLAN.extractors
METRICS = PLAN.metrics
with snakemake_tuning.errors_for_snakemake():
    THREADS = job_requests.plan_threads(workflow)
RUN = snakemake_events.RunFollower(workflow, PLAN.results)


def lock_results():
    """Stop before the first job if another workflow works on these results."""
    with snakemake_tuning.errors_for_snakemake():
        RUN.lock_results()


def check_space():
    """Stop before the first job if the run would fill the disk."""
    from sfqa import estimate

    if not PLAN.needs_data:
        return
    with snakemake_tuning.errors_for_snakemake():
        estimate.check_space(PLAN)


def check_ffmpeg():
    """Say before the first job which ffmpeg is used if that on the PATH cannot be."""
    if MODE != "import_features":
        snakemake_tuning.check_ffmpeg()


def check_weights():
    """Stop before the first job if an official weights file has other bytes than published."""
    with snakemake_tuning.errors_for_snakemake():
        PLAN.weights.check_files()


def check_packages():
    """Stop before the first job if an extractor needs a package that is not installed."""
    if PLAN.needs_data:
        snakemake_tuning.check_packages(workflow, PLAN.config.get("features", {}))


def check_gpus():
    """Say before the first job why PyTorch can use no GPU; stop if the configuration requires one."""
    gpu_extractors = sum(map(extractor_gpus, EXTRACTORS))
    gpu_metrics = sum(job_requests.count_metric_gpus(PLAN, m["name"]) for m in METRICS)
    snakemake_tuning.check_gpus(workflow, PLAN, gpu_extractors, gpu_metrics)


def checkpointed_samples():
    """The table of samples, once the checkpoint that writes it has run."""
    return checkpoints.list_samples.get(dataset=DATASET).output.samples


def shard_digest(wildcards):
    return PLAN.shard_digest(checkpointed_samples(), wildcards.method, wildcards.shard)


def shard_minutes(wildcards):
    return PLAN.shard_minutes(checkpointed_samples(), wildcards.method, wildcards.shard)


def shard_files(table, **fixed):
    """Files of a table, one for each (method, shard), known once the samples are listed."""

    pattern = table_path(table, dataset=DATASET, **fixed)

    def files(wildcards):
        return [
            pattern.format(method=method, shard=shard)
            for method, shard in PLAN.list_shards(checkpointed_samples())
        ]

    return files


IMPORTED_FEATURES = table_path(
    "features", extractor="imported", method="all", shard="0"
)


def feature_files(extractors=None):
    """Feature files of some extractors, of all extractors by default."""

    def files(wildcards):
        paths = []
        for extractor in EXTRACTORS if extractors is None else extractors:
            if extractor == "imported":
                paths.append(IMPORTED_FEATURES.format(dataset=DATASET))
            else:
                paths += shard_files("features", extractor=extractor)(wildcards)
        return paths

    return files


def metric_features(wildcards):
    return feature_files(PLAN.get_metric(wildcards.metric)["extractors"])(wildcards)


def metric_manifests(wildcards):
    return first_weights.list_manifests(PLAN.get_metric(wildcards.metric), PLAN.weights)


def all_outputs():
    paths = [f"results/{DATASET}/{path}" for path in PLAN.target_paths()]
    # Asked for here, because the feature jobs are only planned once the samples are listed.
    return paths + PLAN.weights.list_manifests()


def every_table(wildcards):
    """Intermediate tables of a complete run.

    When a job fails, Snakemake deletes its old output, but does not ask for that file again as long
    as the files made from it exist. The rule `all` asks for each table, so that the next run resumes
    with the job that failed.
    """
    with snakemake_tuning.errors_for_snakemake():
        # Here and not for every target: the models of two datasets may be tested on each other.
        PLAN.check_model_files()
    paths = PLAN.catalog_inputs()
    for files in PLAN.stage_tables(wildcards).values():
        paths += [files] if isinstance(files, str) else files
    if MODE == "build":
        paths.append(table_path("pairs", dataset=DATASET))
    if PLAN.has_scores:
        paths.append(table_path("scores", dataset=DATASET))
    if MODE != "import_features":
        for table in ("videos", "conformed"):
            paths += shard_files(table)(wildcards)
    return paths + feature_files()(wildcards)


def generator_manifests():
    folder = PLAN.config.get("generation", {}).get("generators")
    return [f"{folder}/{label}/manifest.json" for label in PLAN.command_methods()]


def edit_digest(table):
    """A parameter that changes when a file of this table is edited by hand."""

    def digest_of_edits(wildcards):
        return PLAN.watch.edit_digest(TABLES[table].path.format(**wildcards))

    return digest_of_edits


def extractor_gpus(extractor):
    return (
        0 if extractor == "imported" else job_requests.count_extractor_gpus(extractor)
    )


def extraction_environment(default):
    """The environment file of an extractor: the default, or the one that its file names."""

    def environment(wildcards):
        name = base.read_environment(wildcards.extractor)
        return str(Path(default).with_stem(name))

    return environment


def extraction_gpus(wildcards):
    return extractor_gpus(wildcards.extractor)


def extraction_threads(wildcards):
    uses_gpu = extractor_gpus(wildcards.extractor)
    return THREADS.with_gpu if uses_gpu else THREADS.without_gpu


def extraction_memory(wildcards, threads, attempt):
    command = PLAN.weights.commands.by_extractor.get(wildcards.extractor)
    return job_requests.estimate_memory_mb(
        wildcards.extractor, threads, attempt, command
    )


def extraction_minutes(wildcards, attempt):
    return job_requests.estimate_minutes(
        PLAN,
        checkpointed_samples(),
        wildcards.extractor,
        wildcards.method,
        wildcards.shard,
        attempt,
        PLAN.weights.commands.by_extractor.get(wildcards.extractor),
    )


def metric_jobs(wildcards):
    return PLAN.get_metric(wildcards.metric)["jobs"]


def metric_parts(wildcards):
    """A file for each job that fits a part of a regressor; none if the rule predict fits it alone."""
    jobs = metric_jobs(wildcards)
    return [PART_FILE.format(part=n, **wildcards) for n in range(jobs) if jobs > 1]


def metric_tensorboard(wildcards):
    """1 if a metric writes event files for TensorBoard; tells the job, re-runs none."""
    return int(PLAN.get_metric(wildcards.metric)["options"].get("tensorboard", False))


def metric_processes(wildcards):
    """Processes that train each network of a metric together; tells the job, re-runs none."""
    return job_requests.count_metric_processes(PLAN, wildcards.metric)


def metric_gpus(wildcards):
    return job_requests.count_metric_gpus(PLAN, wildcards.metric)


def require_gpu(stage):
    """1 if the configuration lets the jobs of a stage run on a GPU only; tells the job, re-runs none."""
    return int(PLAN.config["require_gpu"][stage])


def training_memory(wildcards, attempt):
    """Request memory for a job and each of its processes, more at every attempt."""
    return job_requests.estimate_training_memory_mb(PLAN, wildcards.metric, attempt)


def more_memory(base_mb):
    """Request more memory at every attempt."""

    def memory(wildcards, attempt):
        return base_mb * attempt

    return memory
