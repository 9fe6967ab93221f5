# Extract features of the conformed videos: one job for each extractor and shard.
# REQUIRED INPUTS: conform/{method}/{shard}.parquet, weights files named by the configuration.
# fetch_weights_file finds an official weights file on this machine or downloads it, and pins its digest. fetch_model installs the repository of a model of kind command. Only these two need a network.
# OUTPUTS: weights/{weights}.json; features/{extractor}/{method}/{shard}.parquet and the costs of its rows; of an imported table features/imported_columns.parquet. Rows are cached by content in features/{extractor}/cache/.
if MODE == "import_features":

    rule import_features:
        input:
            table=PLAN.config["import"]["table"],
        output:
            features=IMPORTED_FEATURES,
            mos=table_path("mos"),
            columns=table_path("imported_columns"),
        log:
            "results/{dataset}/logs/features/import_features.log",
        conda:
            "../envs/tables.yaml"
        params:
            source=PLAN.import_source(),
            shards=PLAN.config["shards"],
            version=PLAN.module_version("features/importing"),
        script:
            "../scripts/import_features.py"

else:

    localrules:
        fetch_weights_file,
        fetch_model,

    rule fetch_weights_file:
        output:
            manifest="results/{dataset}/weights/{weights}.json",
        log:
            "results/{dataset}/logs/weights/{weights}.log",
        conda:
            "../envs/fetch.yaml"
        params:
            source=PLAN.weights.get_source,
        message:
            "weights {wildcards.weights}: licence: {params.source[entry][licence]}"
        script:
            "../scripts/fetch_weights_file.py"

    rule fetch_model:
        output:
            manifest=f"{PLAN.weights.commands.folder}/{{model}}/manifest.json",
        log:
            f"{PLAN.weights.commands.folder}/{{model}}/fetch.log",
        conda:
            "../envs/fetch.yaml"
        params:
            source=PLAN.model_source,
        script:
            "../scripts/fetch_model.py"

    rule extract_features:
        input:
            conformed=table_path("conformed"),
            weights=PLAN.weights.list_manifests,
        output:
            features=table_path("features"),
            costs=table_path("costs"),
        log:
            "results/{dataset}/logs/features/{extractor}/{method}/{shard}.log",
        benchmark:
            "results/{dataset}/logs/features/{extractor}/{method}/{shard}.benchmark.tsv"
        conda:
            extraction_environment("../envs/torch.yaml")
        threads: extraction_threads
        resources:
            gpu=extraction_gpus,
            require_gpu=require_gpu("features"),
            mem_mb=extraction_memory,
            runtime=extraction_minutes,
        params:
            spec=PLAN.extractor_spec,
            version=PLAN.extractor_version,
        script:
            "../scripts/extract_features.py"
