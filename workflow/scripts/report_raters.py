"""Report every rater's habits, how far the scores can be trusted, and two figures of both."""

from sfqa import store, tables
from sfqa.job import run_job
from sfqa.ratings import figures
from sfqa.ratings.rater_report import rater_report
from sfqa.ratings.reliability import reliability_table, sos_matrices
from sfqa.sheets import read_table

with run_job(snakemake.log[0]):
    given, made, ends = snakemake.input, snakemake.output, tuple(snakemake.params.ends)
    scores = store.read(tables.SCORES, given.scores)
    details, answers = given.get("details"), given.get("answers")
    report = rater_report(
        scores,
        store.read(tables.RATERS, given.raters),
        store.read(tables.SCORE_DETAILS, details) if details else None,
        read_table(answers, "answers") if answers else None,
        ends,
    )
    synthetic = bool(scores["synthetic"].any())
    figures.drawn_or_said(
        lambda files: figures.raters(report, files, synthetic), [made.raters, made.raters_png]
    )
    figures.drawn_or_said(
        lambda files: figures.sos(sos_matrices(scores, ends), ends, files, synthetic),
        [made.sos, made.sos_png],
    )
    store.write(
        tables.RELIABILITY, reliability_table(scores, ends, snakemake.params.seed), made.reliability
    )
    store.write(tables.RATER_REPORT, report, made.report)
