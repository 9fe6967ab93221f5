"""Write the report on each rater and the reliability of the scores, with two figures."""

from sfqa import store, tables
from sfqa.job import run_job
from sfqa.ratings import figures
from sfqa.ratings.rater_report import read_answers, report_raters
from sfqa.ratings.reliability import compute_reliability, select_sos_ratings

with run_job(snakemake.log[0]):
    inputs, outputs, scale = snakemake.input, snakemake.output, tuple(snakemake.params.ends)
    scores = store.read(tables.SCORES, inputs.scores)
    details, answers = inputs.get("details"), inputs.get("answers")
    report = report_raters(
        scores,
        store.read(tables.RATERS, inputs.raters),
        store.read(tables.SCORE_DETAILS, details) if details else None,
        read_answers(answers) if answers else None,
        scale,
    )
    synthetic = bool(scores["synthetic"].any())
    figures.plot_or_explain(
        lambda files: figures.plot_raters(report, files, synthetic),
        [outputs.raters, outputs.raters_png],
    )
    figures.plot_or_explain(
        lambda files: figures.plot_sos(select_sos_ratings(scores, scale), scale, files, synthetic),
        [outputs.sos, outputs.sos_png],
    )
    reliability = compute_reliability(scores, scale, snakemake.params.seed)
    store.write(tables.RELIABILITY, reliability, outputs.reliability)
    store.write(tables.RATER_REPORT, report, outputs.report)
