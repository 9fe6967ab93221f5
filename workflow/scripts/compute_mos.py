"""Screen the raters and compute mean opinion scores."""

from sfqa import store, tables
from sfqa.job import run_job
from sfqa.ratings.mos import compute_mos

with run_job(snakemake.log[0]) as log:
    scores = store.read(tables.SCORES, snakemake.input.scores)
    mos, raters = compute_mos(scores, snakemake.params.scale, screening=snakemake.params.screening)
    for rater in raters:
        if rater["rejected"]:
            log.info("%s: rater %s rejected", rater["dimension"], rater["rater"])
    store.write(tables.RATERS, raters, snakemake.output.raters)
    store.write(tables.MOS, mos, snakemake.output.mos)
