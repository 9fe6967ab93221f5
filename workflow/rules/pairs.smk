# Draw the image/clip pairs, and list the samples: pairs x methods, or what is imported.
# REQUIRED INPUTS: materials/images.parquet and materials/clips.parquet (build), or the imported sheet, folder or table.
# OUTPUTS: pairs.parquet and its coverage pairs.txt (build), samples.parquet.
if MODE == "build":

    rule make_pairs:
        input:
            images=table_path("images"),
            clips=table_path("clips"),
            keep=PLAN.config["pairs"].get("keep", []),
        output:
            pairs=table_path("pairs"),
            report="results/{dataset}/pairs.txt",
        log:
            "results/{dataset}/logs/pairs/make_pairs.log",
        conda:
            "../envs/tables.yaml"
        params:
            number=PLAN.config["pairs"]["count"],
            ratio=PLAN.config["pairs"]["train_val_ratio"],
            constraints=PLAN.pair_constraints(),
            seed=PLAN.config["seed"],
            version=PLAN.module_version("pairs/sampler"),
        script:
            "../scripts/make_pairs.py"


# The only checkpoint: the samples, and therefore the shards, are known after it.
checkpoint list_samples:
    input:
        PLAN.sample_sources(),
    output:
        samples=table_path("samples"),
    log:
        "results/{dataset}/logs/pairs/list_samples.log",
    conda:
        "../envs/tables.yaml"
    params:
        mode=MODE,
        methods=PLAN.method_labels(),
        source=PLAN.import_source(),
        shards=PLAN.config["shards"],
        folder_digest=PLAN.folder_digest(),
    script:
        "../scripts/list_samples.py"
