# Score every sample with every metric: regressors trained on the features, single features, controls.
# REQUIRED INPUTS: the feature files of the metric's extractors, ratings/mos.parquet, samples.parquet; for protocols of
# kind cross_dataset the model files of the other dataset.
# OUTPUTS: regression/{metric}/predictions.parquet; finished trials and checkpoints are in regression/{metric}/trials/.
# One job scores with all metrics that are not trained; each regressor is a job. A regressor with `jobs: n` in its entry
# is fitted by n jobs train_part side by side: their fits are in trials/, and predict reads them. The files
# regression/{metric}/parts/{part}.json name the fits.
# Only on request: regression/{metric}/model.sfqa, the model file for sfqa score and for other datasets;
# regression/{metric}/learning.parquet, the regressor trained on shares of the training groups of the main protocol.
PART_FILE = "results/{dataset}/regression/{metric}/parts/{part}.json"

if PLAN.has_mos:

    rule score_metrics:
        input:
            features=feature_files(
                sorted({e for m in PLAN.untrained_metrics for e in m["extractors"]})
            ),
            mos=table_path("mos"),
            samples=table_path("samples"),
            trial_lists=PLAN.trial_list_files(),
        output:
            [
                table_path("predictions", metric=metric["name"])
                for metric in PLAN.untrained_metrics
            ],
        log:
            "results/{dataset}/logs/regression/score_metrics.log",
        conda:
            "../envs/tables.yaml"
        resources:
            mem_mb=more_memory(3000),
        params:
            metrics=[PLAN.slice_metric(metric) for metric in PLAN.untrained_metrics],
            protocols=PLAN.untrained_protocols,
            seed=PLAN.config["seed"],
        script:
            "../scripts/score_metrics.py"

    rule train_part:
        input:
            features=metric_features,
            weights=metric_manifests,
            mos=table_path("mos"),
            samples=table_path("samples"),
            trial_lists=PLAN.trial_list_files(),
        output:
            fits=PART_FILE,
        log:
            "results/{dataset}/logs/regression/parts/{metric}_{part}.log",
        wildcard_constraints:
            metric=PLAN.match_regressors(),
            part=r"\d+",
        conda:
            "../envs/torch.yaml"
        threads: metric_processes
        resources:
            gpu=metric_gpus,
            require_gpu=require_gpu("regression"),
            tensorboard=metric_tensorboard,
            processes=metric_processes,
            mem_mb=training_memory,
        params:
            metric=PLAN.metric_slice,
            protocols=PLAN.config["regression"]["protocols"],
            seed=PLAN.config["seed"],
            jobs=metric_jobs,
        script:
            "../scripts/train_part.py"

    rule predict:
        input:
            features=metric_features,
            weights=metric_manifests,
            mos=table_path("mos"),
            samples=table_path("samples"),
            models=PLAN.cross_dataset_models,
            trial_lists=PLAN.trial_list_files(),
            parts=metric_parts,
        output:
            predictions=table_path("predictions"),
        log:
            "results/{dataset}/logs/regression/{metric}.log",
        wildcard_constraints:
            metric=PLAN.match_regressors(),
        conda:
            "../envs/torch.yaml"
        threads: metric_processes
        resources:
            gpu=metric_gpus,
            require_gpu=require_gpu("regression"),
            tensorboard=metric_tensorboard,
            processes=metric_processes,
            mem_mb=training_memory,
        params:
            metric=PLAN.metric_slice,
            protocols=PLAN.config["regression"]["protocols"],
            seed=PLAN.config["seed"],
            cross=PLAN.cross_dataset_slice(),
        script:
            "../scripts/predict.py"

    rule fit_model:
        input:
            features=metric_features,
            weights=metric_manifests,
            mos=table_path("mos"),
            samples=table_path("samples"),
        output:
            model="results/{dataset}/regression/{metric}/model.sfqa",
        log:
            "results/{dataset}/logs/regression/model/{metric}.log",
        conda:
            "../envs/torch.yaml"
        threads: metric_processes
        resources:
            gpu=metric_gpus,
            require_gpu=require_gpu("regression"),
            tensorboard=metric_tensorboard,
            processes=metric_processes,
            mem_mb=training_memory,
        params:
            metric=PLAN.metric_slice,
            seed=PLAN.config["seed"],
            conform=PLAN.conform_settings(),
            version=PLAN.module_version("regression/model_files"),
        script:
            "../scripts/fit_model.py"

    rule learning_curve:
        input:
            features=metric_features,
            weights=metric_manifests,
            mos=table_path("mos"),
            samples=table_path("samples"),
            # Its finished fits in trials/ are reused for the share 1.
            predictions=table_path("predictions"),
            trial_lists=PLAN.trial_list_files(),
        output:
            learning=table_path("learning"),
        log:
            "results/{dataset}/logs/regression/learning/{metric}.log",
        conda:
            "../envs/torch.yaml"
        threads: metric_processes
        resources:
            gpu=metric_gpus,
            require_gpu=require_gpu("regression"),
            tensorboard=metric_tensorboard,
            processes=metric_processes,
            mem_mb=training_memory,
        params:
            metric=PLAN.metric_slice,
            label=PLAN.metric_label,
            protocol=next(
                (
                    p
                    for p in PLAN.config["regression"]["protocols"]
                    if p["name"] == PLAN.main_protocol
                ),
                None,  # without a regressor: all rated videos
            ),
            mapping=PLAN.config["correlation"].get("mapping", "logistic4"),
            seed=PLAN.config["seed"],
            version=[
                PLAN.module_version("regression/learning"),
                PLAN.module_version("correlation/summarise"),
            ],
        script:
            "../scripts/learning_curve.py"
