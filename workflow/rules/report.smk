# What was left out and why, and one database over everything.
# REQUIRED INPUTS: the tables of all stages.
# OUTPUTS: rejects.parquet, report/rejects.html, catalog.duckdb.
rule collect_rejects:
    input:
        unpack(PLAN.stage_tables),
        features=feature_files(),
    output:
        rejects="results/{dataset}/rejects.parquet",
        page=report(
            "results/{dataset}/report/rejects.html",
            caption="../report/rejects.rst",
            category="Rejects",
            labels={"table": "rows that are not ok"},
        ),
    log:
        "results/{dataset}/logs/report/collect_rejects.log",
    conda:
        "../envs/tables.yaml"
    params:
        version=PLAN.version("report/rejects"),
    script:
        "../scripts/collect_rejects.py"


rule build_catalog:
    input:
        PLAN.catalog_inputs(),
    output:
        catalog="results/{dataset}/catalog.duckdb",
    log:
        "results/{dataset}/logs/report/build_catalog.log",
    conda:
        "../envs/tables.yaml"
    params:
        version=PLAN.version("report/catalog"),
    script:
        "../scripts/build_catalog.py"
