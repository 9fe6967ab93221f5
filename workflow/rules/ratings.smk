# Compute mean opinion scores from raw scores, or import published ones.
# REQUIRED INPUTS: conform/videos.parquet (simulated raters), a table of scores, or the label files of a published dataset.
# OUTPUTS: ratings/scores.parquet, ratings/{mos,raters,rater_report,reliability,mos_by_label,label_differences}.parquet.
# A study with people is planned and served outside the workflow (sfqa plan, sfqa rate); import_ratings imports its exported scores.
if PLAN.score_source == "simulated":

    rule simulate_ratings:
        input:
            videos=merged_path("conformed"),
            samples=table_path("samples"),
        output:
            scores=table_path("scores"),
        log:
            "results/{dataset}/logs/ratings/simulate_ratings.log",
        conda:
            "../envs/tables.yaml"
        params:
            methods=PLAN.all_method_data(),
            raters=PLAN.config["ratings"]["raters"],
            careless=PLAN.config["ratings"]["careless"],
            per_sample=PLAN.config["ratings"].get("per_sample"),
            seed=PLAN.config["seed"],
            version=PLAN.module_version("ratings/simulate"),
        script:
            "../scripts/simulate_ratings.py"


if PLAN.score_source == "imported":

    rule import_ratings:
        input:
            table=PLAN.ratings_file(),
            samples=table_path("samples"),
        output:
            scores=table_path("scores"),
            notes=table_path("rating_notes"),
        log:
            "results/{dataset}/logs/ratings/import_ratings.log",
        # Compares the rated ids with the samples: before the jobs of hours.
        priority: 1
        conda:
            "../envs/tables.yaml"
        params:
            source=PLAN.config["ratings"],
            version=[
                PLAN.module_version("ratings/importing"),
            ],
        script:
            "../scripts/import_ratings.py"


if PLAN.score_source == "ratings":

    rule import_label_ratings:
        input:
            files=PLAN.label_files(),
            samples=table_path("samples"),
        output:
            scores=table_path("scores"),
        log:
            "results/{dataset}/logs/ratings/import_label_ratings.log",
        conda:
            "../envs/tables.yaml"
        params:
            source=PLAN.import_source(),
            version=[
                PLAN.module_version("labels/joining"),
                PLAN.module_version("labels/scores"),
            ],
        script:
            "../scripts/import_label_ratings.py"


if PLAN.score_source == "labels":

    rule import_mos:
        input:
            files=PLAN.label_files(),
            samples=table_path("samples"),
        output:
            mos=table_path("mos"),
        log:
            "results/{dataset}/logs/ratings/import_mos.log",
        conda:
            "../envs/tables.yaml"
        params:
            source=PLAN.import_source(),
            version=[
                PLAN.module_version("labels/joining"),
                PLAN.module_version("labels/scores"),
            ],
        script:
            "../scripts/import_mos.py"


if PLAN.has_scores:

    rule compute_mos:
        input:
            scores=table_path("scores"),
        output:
            mos=table_path("mos"),
            raters=table_path("raters"),
        log:
            "results/{dataset}/logs/ratings/compute_mos.log",
        conda:
            "../envs/tables.yaml"
        params:
            scale=PLAN.config["ratings"]["scale"],
            screening=PLAN.config["ratings"]["screening"],
            version=[
                PLAN.module_version(f"ratings/{name}")
                for name in ("mos", "treatments", "screening", "subjective_models")
            ],
        script:
            "../scripts/compute_mos.py"

    rule report_raters:
        input:
            unpack(PLAN.rater_inputs),
            scores=table_path("scores"),
            raters=table_path("raters"),
        output:
            report=table_path("rater_report"),
            reliability=table_path("reliability"),
            raters=report(
                "results/{dataset}/ratings/raters.svg",
                caption="../report/raters.rst",
                category="Raters",
                labels={"figure": "bias, inconsistency, agreement"},
            ),
            raters_png="results/{dataset}/ratings/raters.png",
            sos=report(
                "results/{dataset}/ratings/sos.svg",
                caption="../report/sos.rst",
                category="Raters",
                labels={"figure": "SOS hypothesis"},
            ),
            sos_png="results/{dataset}/ratings/sos.png",
        log:
            "results/{dataset}/logs/ratings/report_raters.log",
        conda:
            "../envs/tables.yaml"
        params:
            ends=PLAN.config["ratings"]["ends"],
            seed=PLAN.config["seed"],
            version=[
                PLAN.module_version(f"ratings/{name}")
                for name in ("rater_report", "reliability", "figures")
            ],
        script:
            "../scripts/report_raters.py"


if PLAN.has_mos:

    rule label_mos:
        input:
            PLAN.tags_file(),
            mos=table_path("mos"),
            samples=table_path("samples"),
        output:
            table=table_path("mos_by_label"),
            differences=table_path("label_differences"),
        log:
            "results/{dataset}/logs/ratings/label_mos.log",
        conda:
            "../envs/tables.yaml"
        params:
            tags=PLAN.config["ratings"].get("tags"),
            version=[
                PLAN.module_version(f"ratings/{name}")
                for name in ("by_label", "significance")
            ],
        script:
            "../scripts/label_mos.py"
