"""Import a table of ready features and MOS."""

from sfqa import store, tables
from sfqa.features.importing import import_table
from sfqa.job import run_job

with run_job(snakemake.log[0]) as log:
    found = import_table(snakemake.params.source, snakemake.params.shards)
    log.info("%d samples, features %s", len(found.samples), found.features.schema.names)
    weights = {"extractor": "imported", "weights": {"kind": "none", "identity": "imported"}}
    store.write_arrow(found.features, snakemake.output.features, weights)
    store.write(tables.MOS, found.mos, snakemake.output.mos)
