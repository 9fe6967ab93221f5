"""Import a table of raw scores. Fails for a score of a sample that is not in the dataset."""

from sfqa import store, tables
from sfqa.errors import UserError
from sfqa.job import run_job
from sfqa.ratings.importing import import_scores

with run_job(snakemake.log[0]) as log:
    ratings = snakemake.params.source
    path = snakemake.input.table
    if ratings["source"] == "study":
        rows = store.to_records(store.read(tables.SCORES, path))
    else:
        source = {**ratings.get("columns", {}), ratings["source"]: path}
        if "dimension_name" in ratings:
            source["dimension_name"] = ratings["dimension_name"]
        if "rescale" in ratings:
            source |= {"scale": ratings["rescale"], "to": ratings["ends"]}
        rows = import_scores(source)
    samples = set(store.read(tables.SAMPLES, snakemake.input.samples)["sample_id"])
    unknown_ids = sorted({row["sample_id"] for row in rows} - samples)
    if unknown_ids:
        raise UserError(
            f"{path}: {len(unknown_ids)} rated samples are not in the dataset, the first is "
            f"{unknown_ids[0]!r}; correct the ids or the import"
        )
    log.info("%d scores of %d samples", len(rows), len(samples))
    store.write(tables.SCORES, rows, snakemake.output.scores)
