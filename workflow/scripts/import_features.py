"""Import a table of ready features and MOS."""

from sfqa import store, tables
from sfqa.features.importing import import_table
from sfqa.job import run_job

with run_job(snakemake.log[0]) as log:
    imported = import_table(snakemake.params.source, snakemake.params.shards)
    log.info("%d samples, features %s", len(imported.samples), imported.features.schema.names)
    for note in imported.row_notes:
        log.warning("%s", note)
    for row in imported.columns:
        if row["detail"]:
            log.warning("%s, column %r: %s", snakemake.input.table, row["column"], row["detail"])
    weights = {"extractor": "imported", "weights": {"kind": "none", "identity": "imported"}}
    store.write_arrow(imported.features, snakemake.output.features, weights)
    store.write(tables.MOS, imported.mos, snakemake.output.mos)
    store.write(tables.IMPORTED_COLUMNS, imported.columns, snakemake.output.columns)
