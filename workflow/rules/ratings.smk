# Raw scores to mean opinion scores.
# REQUIRED INPUTS: conform/videos.parquet (simulated raters) or a table of scores.
# OUTPUTS: ratings/scores.parquet, ratings/mos.parquet, ratings/raters.parquet, ratings/mos_by_label.parquet.
if PLAN.scores == "simulated":

    rule simulate_ratings:
        input:
            videos="results/{dataset}/conform/videos.parquet",
            samples="results/{dataset}/samples.parquet",
        output:
            scores="results/{dataset}/ratings/scores.parquet",
        log:
            "results/{dataset}/logs/ratings/simulate_ratings.log",
        conda:
            "../envs/tables.yaml"
        params:
            methods=PLAN.methods_used(),
            raters=PLAN.config["ratings"]["raters"],
            careless=PLAN.config["ratings"]["careless"],
            per_sample=PLAN.config["ratings"].get("per_sample"),
            seed=PLAN.config["seed"],
            version=PLAN.version("ratings/simulate"),
        script:
            "../scripts/simulate_ratings.py"


if PLAN.scores == "imported":

    rule import_ratings:
        input:
            table=PLAN.config["ratings"]["path"],
            samples="results/{dataset}/samples.parquet",
        output:
            scores="results/{dataset}/ratings/scores.parquet",
        log:
            "results/{dataset}/logs/ratings/import_ratings.log",
        conda:
            "../envs/tables.yaml"
        params:
            source=PLAN.config["ratings"],
        script:
            "../scripts/import_ratings.py"


if PLAN.scores in ("simulated", "imported"):

    rule compute_mos:
        input:
            scores="results/{dataset}/ratings/scores.parquet",
        output:
            mos="results/{dataset}/ratings/mos.parquet",
            raters="results/{dataset}/ratings/raters.parquet",
        log:
            "results/{dataset}/logs/ratings/compute_mos.log",
        conda:
            "../envs/tables.yaml"
        params:
            scale=PLAN.config["ratings"]["scale"],
            version=PLAN.version("ratings/mos"),
        script:
            "../scripts/compute_mos.py"


if PLAN.scores != "none":

    rule label_mos:
        input:
            mos="results/{dataset}/ratings/mos.parquet",
            samples="results/{dataset}/samples.parquet",
        output:
            table="results/{dataset}/ratings/mos_by_label.parquet",
        log:
            "results/{dataset}/logs/ratings/label_mos.log",
        conda:
            "../envs/tables.yaml"
        script:
            "../scripts/label_mos.py"
