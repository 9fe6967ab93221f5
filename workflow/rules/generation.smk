# Generate the videos: one job for each method and shard.
# REQUIRED INPUTS: samples.parquet and the masters it names (build) or the users' videos (import_videos).
# OUTPUTS: generation/{method}/{shard}.parquet; the videos are in generation/{method}/videos/, imported ones stay where they are.
# fetch_generator installs a generator in resources/generators/{method}/, or records an installed one. No other rule needs a network.
# samples.parquet is ancient, so that a new row does not re-run every shard: a shard is re-run when the digest of its own rows changes.
if MODE == "build":
    GENERATORS = PLAN.config["generation"]["generators"]

    localrules:
        fetch_generator,

    rule fetch_generator:
        output:
            manifest=f"{GENERATORS}/{{method}}/manifest.json",
        log:
            f"{GENERATORS}/{{method}}/fetch.log",
        conda:
            "../envs/fetch.yaml"
        params:
            source=PLAN.generator_source,
        script:
            "../scripts/fetch_generator.py"

    rule generate_videos:
        input:
            samples=ancient(table_path("samples")),
            manifest=PLAN.generator_manifest,
        output:
            videos=table_path("videos"),
        log:
            "results/{dataset}/logs/generation/{method}/{shard}.log",
        benchmark:
            "results/{dataset}/logs/generation/{method}/{shard}.benchmark.tsv"
        conda:
            "../envs/media.yaml"
        resources:
            mem_mb=PLAN.method_memory_mb,
            gpu=PLAN.method_gpus,
            runtime=shard_minutes,
        params:
            method=PLAN.method_data,
            generators=PLAN.config["generation"]["generators"],
            attempts=PLAN.config["generation"]["attempts"],
            require_gpu=PLAN.config["generation"]["require_gpu"],
            size=PLAN.config["generation"]["size"],
            fps=PLAN.config["generation"]["fps"],
            seed=PLAN.config["seed"],
            ready=PLAN.ready_digest,
            digest=shard_digest,
            edited=edit_digest("videos"),
        script:
            "../scripts/generate_videos.py"


if MODE == "import_videos":

    rule import_videos:
        input:
            samples=ancient(table_path("samples")),
        output:
            videos=table_path("videos"),
        log:
            "results/{dataset}/logs/generation/{method}/{shard}.log",
        conda:
            "../envs/media.yaml"
        resources:
            mem_mb=more_memory(1000),
        params:
            method=PLAN.known_method_data,
            version=PLAN.module_version("generation/check"),
            digest=shard_digest,
            edited=edit_digest("videos"),
        script:
            "../scripts/import_videos.py"
