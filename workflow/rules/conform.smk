# Convert the videos to one size, frame rate and audio format, then probe and check them.
# REQUIRED INPUTS: generation/{method}/{shard}.parquet
# OUTPUTS: conform/{method}/{shard}.parquet, conform/videos.parquet; the videos are in conform/{method}/videos/.
if MODE != "import_features":

    rule conform_videos:
        input:
            videos=table_path("videos"),
        output:
            conformed=table_path("conformed"),
        log:
            "results/{dataset}/logs/conform/{method}/{shard}.log",
        benchmark:
            "results/{dataset}/logs/conform/{method}/{shard}.benchmark.tsv"
        conda:
            "../envs/media.yaml"
        resources:
            mem_mb=more_memory(1500),
        params:
            form=PLAN.config["conform"],
            version=PLAN.module_version("conform/video"),
            edited=edit_digest("conformed"),
        script:
            "../scripts/conform_videos.py"

    rule check_videos:
        input:
            conformed=shard_files("conformed"),
        output:
            videos=merged_path("conformed"),
        log:
            "results/{dataset}/logs/conform/check_videos.log",
        conda:
            "../envs/tables.yaml"
        params:
            max_failed=PLAN.config["max_failed"],
        script:
            "../scripts/check_videos.py"
