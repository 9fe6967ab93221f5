# Crop the images and cut the clips to masters of one size and rate.
# REQUIRED INPUTS: an image sheet and a clip sheet.
# OUTPUTS: materials/images.parquet, materials/clips.parquet; the masters are next to them.
if MODE == "build":

    rule prepare_images:
        input:
            sheet=PLAN.config["materials"]["images"],
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
            version=PLAN.module_version("materials/images"),
            edited=edit_digest("images"),
        script:
            "../scripts/prepare_images.py"

    rule prepare_clips:
        input:
            sheet=PLAN.config["materials"]["clips"],
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
            version=PLAN.module_version("materials/clips"),
            edited=edit_digest("clips"),
        script:
            "../scripts/prepare_clips.py"
