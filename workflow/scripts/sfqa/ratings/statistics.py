"""The statistics of ratings in one place: screening, z-scores and mean opinion scores."""

from sfqa.ratings.mos import mean_opinion_scores
from sfqa.ratings.screening import Screening, bt500, rescaled, zscores

__all__ = ["Screening", "bt500", "mean_opinion_scores", "rescaled", "zscores"]
