"""Checks of the user's data before the first job: samples, protocols, ratings, files, weights."""
