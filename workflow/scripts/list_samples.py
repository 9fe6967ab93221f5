"""List the samples: pairs x methods, or imported videos or features."""

from sfqa import store, tables
from sfqa.features.importing import import_table
from sfqa.generation.importing import list_videos
from sfqa.job import run_job
from sfqa.pairs.samples import build_samples

with run_job(snakemake.log[0]) as log:
    params = snakemake.params
    if params.mode == "build":
        pairs, images, clips = (
            store.read(table, path)
            for table, path in zip(
                (tables.PAIRS, tables.IMAGES, tables.CLIPS), snakemake.input, strict=True
            )
        )
        rows = build_samples(pairs, images, clips, params.methods, params.shards)
    elif params.mode == "import_videos":
        rows = list_videos(params.source, params.shards)
    else:
        rows = import_table(params.source, params.shards).samples
    log.info("%d samples", len(rows))
    store.write(tables.SAMPLES, rows, snakemake.output.samples)
