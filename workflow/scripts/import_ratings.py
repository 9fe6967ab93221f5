"""Import a table of raw scores. Fails for a score of a sample that is not in the dataset."""

from sfqa import store, tables
from sfqa.errors import UserError
from sfqa.job import run_job
from sfqa.ratings.importing import build_notes, describe_source, import_scores
from sfqa.ratings.sample_ids import describe_unknown_ids
from sfqa.ratings.scales import check_ends

with run_job(snakemake.log[0]) as log:
    ratings = snakemake.params.source
    path = snakemake.input.table
    notes: list[str] = []
    if ratings["source"] == "study":
        rows = store.to_records(store.read(tables.SCORES, path))
        check_ends(path, [(k, "score", row) for k, row in enumerate(rows, 1)], ratings["ends"])
    else:
        rows = import_scores(describe_source(ratings), notes)
        rows = [{**row, "synthetic": ratings.get("synthetic", False)} for row in rows]
        for note in notes:
            log.warning("%s", note)
    samples = set(store.read(tables.SAMPLES, snakemake.input.samples)["sample_id"])
    rated_ids = list(dict.fromkeys(row["sample_id"] for row in rows))
    unknown_ids = [name for name in rated_ids if name not in samples]
    if unknown_ids:
        raters = sorted({row["rater"] for row in rows})
        sentence = describe_unknown_ids(
            unknown_ids, len(rated_ids), samples, raters, ratings["source"]
        )
        raise UserError(f"{path}: {sentence}")
    log.info("%d scores of %d samples", len(rows), len(samples))
    store.write(tables.SCORES, rows, snakemake.output.scores)
    store.write(tables.RATING_NOTES, build_notes(path, notes), snakemake.output.notes)
