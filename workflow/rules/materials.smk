# Images and clips to masters.
# REQUIRED INPUTS: an image sheet and a clip sheet, or nothing (synthetic materials).
# OUTPUTS: materials/images.parquet, materials/clips.parquet; the masters lie beside them.
if MODE == "build":

    rule draw_portraits:
        output:
            sheet="results/{dataset}/materials/synthetic/images.csv",
        log:
            "results/{dataset}/logs/materials/draw_portraits.log",
        conda:
            "../envs/media.yaml"
        params:
            number=PLAN.config["materials"]["synthetic"]["images"],
            size=PLAN.config["materials"]["image_px"],
            seed=PLAN.config["seed"],
            version=PLAN.version("materials/portraits"),
        script:
            "../scripts/draw_portraits.py"

    rule sing_clips:
        output:
            sheet="results/{dataset}/materials/synthetic/clips.csv",
        log:
            "results/{dataset}/logs/materials/sing_clips.log",
        conda:
            "../envs/media.yaml"
        params:
            number=PLAN.config["materials"]["synthetic"]["clips"],
            sample_rate=PLAN.config["materials"]["sample_rate"],
            seed=PLAN.config["seed"],
            version=PLAN.version("materials/singer"),
        script:
            "../scripts/sing_clips.py"

    rule prepare_images:
        input:
            sheet=PLAN.sheet("images"),
        output:
            images=table_path("images"),
        log:
            "results/{dataset}/logs/materials/prepare_images.log",
        conda:
            "../envs/media.yaml"
        resources:
            mem_mb=more_memory(1000),
        params:
            size=PLAN.config["materials"]["image_px"],
            vocabulary=PLAN.config["materials"]["vocabulary"],
            max_failed=PLAN.config["max_failed"],
            version=PLAN.version("materials/images"),
            edited=edited("images"),
        script:
            "../scripts/prepare_images.py"

    rule prepare_clips:
        input:
            sheet=PLAN.sheet("clips"),
        output:
            clips=table_path("clips"),
        log:
            "results/{dataset}/logs/materials/prepare_clips.log",
        conda:
            "../envs/media.yaml"
        resources:
            mem_mb=more_memory(1000),
        params:
            sample_rate=PLAN.config["materials"]["sample_rate"],
            clip_sec=PLAN.config["materials"]["clip_sec"],
            vocabulary=PLAN.config["materials"]["vocabulary"],
            max_failed=PLAN.config["max_failed"],
            version=PLAN.version("materials/clips"),
            edited=edited("clips"),
        script:
            "../scripts/prepare_clips.py"
