# SFQA: build and benchmark quality datasets of AI-generated singing and talking faces.
#
# The paths of the outputs, all below results/{dataset}/ :
#   materials/{images,clips}.parquet         masters of the images and clips
#   pairs.parquet  samples.parquet           image/clip pairs; pairs x methods, or imported samples
#   generation/{method}/{shard}.parquet      videos as the methods generated them
#   conform/{method}/{shard}.parquet         videos in one format; conform/videos.parquet: all rows
#   features/{extractor}/{method}/{shard}.parquet
#   ratings/{scores,mos,raters,mos_by_label}.parquet
#   regression/{metric}/predictions.parquet
#   correlation/correlation.parquet  correlation/{table}.{csv,md,tex,html}  correlation/{figure}.{svg,png}
#   rejects.parquet  catalog.duckdb  report/  logs/
from snakemake.utils import min_version

min_version("9.0")

if "mode" not in config and "door" not in config:

    configfile: workflow.source_path("config/config.yaml")


include: "workflow/rules/common.smk"


# An image with all packages, for `--sdm apptainer`: docs/containers.md.
if "container" in PLAN.config:

    container: PLAN.config["container"]


include: "workflow/rules/materials.smk"
include: "workflow/rules/pairs.smk"
include: "workflow/rules/generation.smk"
include: "workflow/rules/conform.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/ratings.smk"
include: "workflow/rules/regression.smk"
include: "workflow/rules/correlation.smk"
include: "workflow/rules/report.smk"


report: "workflow/report/workflow.rst"


onstart:
    check_space()
    check_ffmpeg()
    check_packages()
    check_weights()
    check_gpus()
    RUN.start()


onsuccess:
    RUN.report_success()


onerror:
    RUN.report_failure()


wildcard_constraints:
    dataset=DATASET,
    method=r"[A-Za-z0-9_.+-]+",
    shard=r"\d+",
    extractor="|".join(EXTRACTORS) or "none",
    metric=r"[A-Za-z0-9_.+-]+",
    weights=r"[A-Za-z0-9_.-]+",
    model=r"[A-Za-z0-9_.+-]+",


rule all:
    default_target: True
    input:
        all_outputs(),
        every_table,


rule dataset:
    input:
        merged_path("conformed", dataset=DATASET),


rule fetch_generators:
    input:
        generator_manifests(),


rule fetch_weights:
    input:
        PLAN.weights.list_file_manifests(),


rule fetch_models:
    input:
        PLAN.weights.commands.list_manifests(),


rule features:
    input:
        PLAN.weights.list_manifests(),
        feature_files(),
