"""Import a table of raw scores; every score must belong to a sample."""

from sfqa import store, tables
from sfqa.errors import UserError
from sfqa.job import run_job
from sfqa.ratings.importing import import_scores

with run_job(snakemake.log[0]) as log:
    given = snakemake.params.source
    path = snakemake.input.table
    if given["source"] == "study":
        rows = store.to_records(store.read(tables.SCORES, path))
    else:
        source = {**given.get("columns", {}), given["source"]: path}
        if "dimension_name" in given:
            source["dimension_name"] = given["dimension_name"]
        if "rescale" in given:
            source |= {"scale": given["rescale"], "to": given["ends"]}
        rows = import_scores(source)
    samples = set(store.read(tables.SAMPLES, snakemake.input.samples)["sample_id"])
    strange = sorted({row["sample_id"] for row in rows} - samples)
    if strange:
        raise UserError(
            f"{path}: {len(strange)} rated samples are not in the dataset, the first is "
            f"{strange[0]!r}; correct the ids or the import"
        )
    log.info("%d scores of %d samples", len(rows), len(samples))
    store.write(tables.SCORES, rows, snakemake.output.scores)
