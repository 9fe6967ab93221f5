# Scores of every metric on every sample: regressors trained on the cached features, single features, controls.
# REQUIRED INPUTS: the feature files of the metric's extractors, ratings/mos.parquet, samples.parquet.
# OUTPUTS: regression/{metric}/predictions.parquet; finished trials and checkpoints lie in regression/{metric}/trials/.
if PLAN.scores != "none":

    rule predict:
        input:
            features=metric_features,
            mos="results/{dataset}/ratings/mos.parquet",
            samples="results/{dataset}/samples.parquet",
        output:
            predictions="results/{dataset}/regression/{metric}/predictions.parquet",
        log:
            "results/{dataset}/logs/regression/{metric}.log",
        conda:
            "../envs/torch.yaml"
        threads: 1
        resources:
            gpu=PLAN.metric_gpus,
            mem_mb=more_memory(3000),
        params:
            metric=PLAN.metric_slice,
            protocols=PLAN.config["regression"]["protocols"],
            seed=PLAN.config["seed"],
        script:
            "../scripts/predict.py"
