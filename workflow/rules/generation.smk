# Videos of the generation methods, one shard of one method a job.
# REQUIRED INPUTS: samples.parquet and the masters it names (build) or the users' videos (import_videos).
# OUTPUTS: generation/{method}/{shard}.parquet; the videos lie in generation/{method}/videos/ or where the user has them.
# samples.parquet is ancient: a new row must not re-run every shard. The digest of the shard's own rows re-runs this one.
if DOOR == "build":

    rule generate_videos:
        input:
            samples=ancient("results/{dataset}/samples.parquet"),
        output:
            videos="results/{dataset}/generation/{method}/{shard}.parquet",
        log:
            "results/{dataset}/logs/generation/{method}/{shard}.log",
        benchmark:
            "results/{dataset}/logs/generation/{method}/{shard}.benchmark.tsv"
        conda:
            "../envs/media.yaml"
        resources:
            mem_mb=more_memory(1500),
        params:
            method=PLAN.method,
            size=PLAN.config["generation"]["size"],
            fps=PLAN.config["generation"]["fps"],
            seed=PLAN.config["seed"],
            digest=shard_digest,
            edited=edited("generation/{method}/{shard}.parquet"),
        script:
            "../scripts/generate_videos.py"


if DOOR == "import_videos":

    rule import_videos:
        input:
            samples=ancient("results/{dataset}/samples.parquet"),
        output:
            videos="results/{dataset}/generation/{method}/{shard}.parquet",
        log:
            "results/{dataset}/logs/generation/{method}/{shard}.log",
        conda:
            "../envs/media.yaml"
        resources:
            mem_mb=more_memory(1000),
        params:
            digest=shard_digest,
            edited=edited("generation/{method}/{shard}.parquet"),
        script:
            "../scripts/import_videos.py"
