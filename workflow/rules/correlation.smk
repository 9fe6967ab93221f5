# Correlate every metric with the MOS; tables and figures.
# REQUIRED INPUTS: regression/{metric}/predictions.parquet of all metrics, ratings/mos.parquet, samples.parquet.
# OUTPUTS: correlation/{correlation,by_method,significance}.parquet, correlation/{table}.{csv,md,tex,html}, correlation/{figure}.{svg,png}.
# Fits of earlier runs, by content, are in correlation/cache/, so that one more metric costs its own fits.
# One job draws the scatter plots of all metrics; copies of them by content are in correlation/scatter/cache/.
# Only on request: correlation/learning_curves.{svg,png}, from regression/{metric}/learning.parquet of all regressors.
if PLAN.has_mos:

    rule correlate:
        input:
            predictions=[
                table_path("predictions", metric=name) for name in PLAN.metric_names
            ],
            mos=table_path("mos"),
            samples=table_path("samples"),
        output:
            correlation=table_path("correlation"),
            by_method=table_path("correlation_by_method"),
            significance=table_path("significance"),
        log:
            "results/{dataset}/logs/correlation/correlate.log",
        conda:
            "../envs/tables.yaml"
        threads: 4
        resources:
            mem_mb=more_memory(3000),
        params:
            metrics=PLAN.metric_labels(),
            protocols=PLAN.untrained_protocols,
            settings={
                "mapping": PLAN.config["correlation"].get("mapping", "logistic4"),
                "bootstrap": PLAN.config["correlation"].get("bootstrap", 1000),
                "interval": PLAN.config["correlation"].get("interval", "percentile"),
                "seed": PLAN.config.get("seed", 0),
            },
            version=[
                PLAN.module_version("correlation/summarise"),
                PLAN.module_version("correlation/levels"),
                PLAN.module_version("correlation/significance"),
            ],
        script:
            "../scripts/correlate.py"

    rule make_tables:
        input:
            correlation=table_path("correlation"),
            samples=table_path("samples"),
            trial_lists=PLAN.trial_list_files(),
        output:
            multiext("results/{dataset}/correlation/metrics", ".csv", ".md", ".tex"),
            multiext(
                "results/{dataset}/correlation/metrics_pooled",
                ".csv",
                ".md",
                ".tex",
                ".html",
            ),
            multiext(
                "results/{dataset}/correlation/metrics_model_level",
                ".csv",
                ".md",
                ".tex",
                ".html",
            ),
            multiext("results/{dataset}/correlation/paper", ".csv", ".md", ".tex"),
            multiext("results/{dataset}/correlation/leakage", ".csv", ".md", ".tex"),
            metrics=report(
                "results/{dataset}/correlation/metrics.html",
                caption="../report/correlation_table.rst",
                category="Correlation",
                labels={"table": "metrics against MOS"},
            ),
            paper=report(
                "results/{dataset}/correlation/paper.html",
                caption="../report/paper_table.rst",
                category="Correlation",
                labels={"table": "as papers print it"},
            ),
            leakage=report(
                "results/{dataset}/correlation/leakage.html",
                caption="../report/leakage.rst",
                category="Correlation",
                labels={"table": "leakage panel"},
            ),
        log:
            "results/{dataset}/logs/correlation/make_tables.log",
        conda:
            "../envs/tables.yaml"
        params:
            dataset=DATASET,
            protocol=PLAN.main_protocol,
            pooling=PLAN.config["correlation"]["pooling"],
            protocols=PLAN.config["regression"]["protocols"],
            seed=PLAN.config["seed"],
            order=PLAN.metric_names,
            dimensions=PLAN.config["correlation"]["dimensions"],
            paper_rows=PLAN.paper_rows,
            version=[
                PLAN.module_version("correlation/layout"),
                PLAN.module_version("correlation/paper_layout"),
            ],
        script:
            "../scripts/make_tables.py"

    rule plot_mos:
        input:
            PLAN.tags_file(),
            table=table_path("mos_by_label"),
            differences=table_path("label_differences"),
            mos=table_path("mos"),
            samples=table_path("samples"),
        output:
            svg=report(
                "results/{dataset}/correlation/mos_by_label.svg",
                caption="../report/mos_by_label.rst",
                category="MOS",
                labels={"figure": "MOS by method, category, style"},
            ),
            png="results/{dataset}/correlation/mos_by_label.png",
            distributions=report(
                "results/{dataset}/correlation/mos_distributions.svg",
                caption="../report/mos_by_label.rst",
                category="MOS",
                labels={"figure": "distributions"},
            ),
            distributions_png="results/{dataset}/correlation/mos_distributions.png",
            differences=report(
                "results/{dataset}/correlation/mos_differences.svg",
                caption="../report/mos_differences.rst",
                category="MOS",
                labels={"figure": "differences between methods"},
            ),
            differences_png="results/{dataset}/correlation/mos_differences.png",
        log:
            "results/{dataset}/logs/correlation/plot_mos.log",
        conda:
            "../envs/tables.yaml"
        params:
            dimensions=PLAN.config["correlation"]["dimensions"],
            tags=PLAN.config["ratings"].get("tags"),
            version=[
                PLAN.module_version("correlation/figures"),
                PLAN.module_version("ratings/figures"),
            ],
        script:
            "../scripts/plot_mos.py"

    rule plot_learning:
        input:
            [
                table_path("learning", metric=metric["name"])
                for metric in PLAN.metrics
                if metric["kind"] == "regressor"
            ],
        output:
            svg=report(
                "results/{dataset}/correlation/learning_curves.svg",
                caption="../report/learning.rst",
                category="Correlation",
                labels={"table": "learning curves (figure)"},
            ),
            png="results/{dataset}/correlation/learning_curves.png",
        log:
            "results/{dataset}/logs/correlation/plot_learning.log",
        conda:
            "../envs/tables.yaml"
        params:
            protocol=PLAN.main_protocol,
            metrics=[m["name"] for m in PLAN.metrics if m["kind"] == "regressor"],
            dimensions=PLAN.config["correlation"]["dimensions"],
            version=[
                PLAN.module_version("correlation/learning_figure"),
                PLAN.module_version("correlation/figures"),
            ],
        script:
            "../scripts/plot_learning.py"


if PLAN.scored_metrics:

    rule plot_scatter:
        input:
            predictions=[
                table_path("predictions", metric=metric["name"])
                for metric in PLAN.scored_metrics
            ],
            mos=table_path("mos"),
            samples=table_path("samples"),
        output:
            svg=[
                report(
                    f"results/{{dataset}}/correlation/scatter/{metric['name']}.svg",
                    caption="../report/scatter.rst",
                    category="Scatter plots",
                    labels={"metric": metric["name"]},
                )
                for metric in PLAN.scored_metrics
            ],
            png=[
                f"results/{{dataset}}/correlation/scatter/{metric['name']}.png"
                for metric in PLAN.scored_metrics
            ],
        log:
            "results/{dataset}/logs/correlation/plot_scatter.log",
        conda:
            "../envs/tables.yaml"
        threads: 4
        params:
            protocol=PLAN.main_protocol,
            metrics=[PLAN.label_metric(metric) for metric in PLAN.scored_metrics],
            dimensions=PLAN.config["correlation"]["dimensions"],
            mapping=PLAN.config["correlation"].get("mapping", "logistic4"),
            version=PLAN.module_version("correlation/figures"),
        script:
            "../scripts/plot_scatter.py"
