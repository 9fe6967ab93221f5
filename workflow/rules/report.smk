# Report the rows that are not ok, the catalogue of all tables, a site, and figures of all metrics.
# REQUIRED INPUTS: the tables of all stages; videos are only linked to.
# OUTPUTS: rejects.parquet, report/rejects.html, catalog.duckdb, report/site/, ro-crate-metadata.json, report/manifest.json,
# correlation/{metric_bars,metric_ranks,metric_matrix,failure_cases}.{svg,png}.
rule collect_rejects:
    input:
        unpack(PLAN.stage_tables),
        features=feature_files(),
    output:
        rejects=table_path("rejects"),
        page=report(
            "results/{dataset}/report/rejects.html",
            caption="../report/rejects.rst",
            category="Failed and flawed rows",
            labels={"table": "rows that are not ok"},
        ),
    log:
        "results/{dataset}/logs/report/collect_rejects.log",
    conda:
        "../envs/tables.yaml"
    params:
        version=PLAN.module_version("report/rejects"),
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
        version=PLAN.module_version("report/catalog"),
    script:
        "../scripts/build_catalog.py"


rule build_site:
    input:
        unpack(PLAN.stage_tables),
        # Tables of ratings and correlations, as far as this configuration has them.
        [
            table_path(name)
            for name, exists in (
                ("significance", PLAN.has_mos),
                ("correlation_by_method", PLAN.has_mos),
                ("scores", PLAN.has_scores),
                ("raters", PLAN.has_scores),
            )
            if exists
        ],
        correlation=table_path("correlation") if PLAN.has_mos else [],
        features=feature_files(),
        samples=table_path("samples"),
        rejects=table_path("rejects"),
    output:
        # A report in one HTML file cannot hold a folder, and Snakemake would fail: only a zip includes it.
        site=(
            report(
                directory("results/{dataset}/report/site"),
                htmlindex="index.html",
                caption="../report/site.rst",
                category="Site",
                labels={"page": "leaderboard, samples, provenance"},
            )
            if any(word.endswith(".zip") for word in sys.argv)
            else directory("results/{dataset}/report/site")
        ),
        crate="results/{dataset}/ro-crate-metadata.json",
    log:
        "results/{dataset}/logs/report/build_site.log",
    conda:
        "../envs/media.yaml"
    params:
        protocol=PLAN.main_protocol if PLAN.has_mos else None,
        pooling=PLAN.config.get("correlation", {}).get("pooling", "mean"),
        dimensions=PLAN.config.get("correlation", {}).get("dimensions", []),
        metrics=PLAN.metric_names,
        version=[
            PLAN.module_version("report/site"),
            PLAN.module_version("report/site_data"),
            PLAN.module_version("report/provenance"),
        ],
        registries=[
            PLAN.config["regression"]["registry"],
            PLAN.config["weights"]["registry"],
        ],
    script:
        "../scripts/build_site.py"


# No job depends on this one, so its params may be what no other rule's may: the complete configuration.
rule write_manifest:
    input:
        unpack(PLAN.stage_tables),
        [path for path in all_outputs() if not path.endswith("report/manifest.json")],
        [
            f"results/{DATASET}/correlation/{table}.{end}"
            for table in (
                "metrics",
                "metrics_pooled",
                "metrics_model_level",
                "paper",
                "leakage",
            )
            for end in ("csv", "md", "tex")
            if PLAN.has_mos
        ],
        PLAN.catalog_inputs(),
        features=feature_files(),
        pairs=[table_path("pairs")] if MODE == "build" else [],
    output:
        manifest="results/{dataset}/report/manifest.json",
    log:
        "results/{dataset}/logs/report/write_manifest.log",
    conda:
        "../envs/torch.yaml"
    params:
        config=PLAN.config,
        methods=PLAN.all_method_data(),
        generators=generator_manifests(),
        version=PLAN.module_version("report/manifest"),
    script:
        "../scripts/write_manifest.py"


if PLAN.has_mos:

    rule plot_metrics:
        input:
            **(
                {}
                if MODE == "import_features"
                else {"conformed": merged_path("conformed")}
            ),
            correlation=table_path("correlation"),
            significance=table_path("significance"),
            predictions=[
                table_path("predictions", metric=name) for name in PLAN.metric_names
            ],
            mos=table_path("mos"),
            samples=table_path("samples"),
        output:
            bars=report(
                "results/{dataset}/correlation/metric_bars.svg",
                caption="../report/metric_figures.rst",
                category="Correlation",
                labels={"table": "SRCC with intervals (figure)"},
            ),
            bars_png="results/{dataset}/correlation/metric_bars.png",
            ranks=report(
                "results/{dataset}/correlation/metric_ranks.svg",
                caption="../report/metric_figures.rst",
                category="Correlation",
                labels={"table": "ranks with groups (figure)"},
            ),
            ranks_png="results/{dataset}/correlation/metric_ranks.png",
            matrix=report(
                "results/{dataset}/correlation/metric_matrix.svg",
                caption="../report/metric_figures.rst",
                category="Correlation",
                labels={"table": "metric against metric (figure)"},
            ),
            matrix_png="results/{dataset}/correlation/metric_matrix.png",
            failures=report(
                "results/{dataset}/correlation/failure_cases.svg",
                caption="../report/metric_figures.rst",
                category="Correlation",
                labels={"table": "failure cases (figure)"},
            ),
            failures_png="results/{dataset}/correlation/failure_cases.png",
        log:
            "results/{dataset}/logs/report/plot_metrics.log",
        conda:
            "../envs/media.yaml"
        params:
            protocol=PLAN.main_protocol,
            dimensions=PLAN.config["correlation"]["dimensions"],
            metrics=PLAN.metric_labels(),
            mapping=PLAN.config["correlation"].get("mapping", "logistic4"),
            version=[
                PLAN.module_version("correlation/more_figures"),
                PLAN.module_version("correlation/rank_figure"),
                PLAN.module_version("correlation/figures"),
            ],
        script:
            "../scripts/plot_metrics.py"
