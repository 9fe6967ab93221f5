# Videos of the generation methods, one shard of one method a job.
# REQUIRED INPUTS: samples.parquet and the masters it names (build) or the users' videos (import_videos).
# OUTPUTS: generation/{method}/{shard}.parquet; the videos lie in generation/{method}/videos/ or where the user has them.
# fetch_generator fills resources/generators/{method}/, or takes what lies there; the only rule here that needs a network.
# samples.parquet is ancient: a new row must not re-run every shard. The digest of the shard's own rows re-runs this one.
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
            method=PLAN.method,
            generators=PLAN.config["generation"]["generators"],
            attempts=PLAN.config["generation"]["attempts"],
            require_gpu=PLAN.config["generation"]["require_gpu"],
            size=PLAN.config["generation"]["size"],
            fps=PLAN.config["generation"]["fps"],
            seed=PLAN.config["seed"],
            ready=PLAN.ready_digest,
            digest=shard_digest,
            edited=edited("videos"),
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
            method=PLAN.known_method,
            digest=shard_digest,
            edited=edited("videos"),
        script:
            "../scripts/import_videos.py"
