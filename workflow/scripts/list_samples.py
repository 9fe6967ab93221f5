"""List the samples: pairs x methods, or imported videos or features."""

from sfqa import store, tables
from sfqa.features.importing import import_table
from sfqa.generation.importing import list_videos
from sfqa.job import run_job
from sfqa.pairs.samples import build_samples, read_prompts

with run_job(snakemake.log[0]) as log:
    params = snakemake.params
    if params.mode == "build":
        schemas = (tables.PAIRS, tables.IMAGES, tables.CLIPS)
        pairs, images, clips, *kept_pairs = snakemake.input
        read_tables = map(store.read, schemas, (pairs, images, clips))
        prompts = read_prompts(kept_pairs[0]) if kept_pairs else {}
        rows = build_samples(*read_tables, params.methods, params.shards, prompts)
    elif params.mode == "import_videos":
        rows = list_videos(params.source, params.shards)
    else:
        rows = import_table(params.source, params.shards).samples
    log.info("%d samples", len(rows))
    store.write(tables.SAMPLES, rows, snakemake.output.samples)
