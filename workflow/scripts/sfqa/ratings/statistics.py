"""The statistics of ratings in one place: screening, models of raters, mean opinion scores."""

from sfqa.ratings.mos import mean_opinion_scores
from sfqa.ratings.screening import Screening, bt500, outliers, rescaled, zscores
from sfqa.ratings.subjective_models import annex_e, remove_bias

__all__ = [
    "Screening",
    "annex_e",
    "bt500",
    "mean_opinion_scores",
    "outliers",
    "remove_bias",
    "rescaled",
    "zscores",
]
