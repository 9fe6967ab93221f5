"""Datasets that are published as videos beside label files with mean opinion scores.

:mod:`sfqa.labels.files` reads the label files, :mod:`sfqa.labels.joining` finds the video of every
label, :mod:`sfqa.labels.scores` makes the rows of ``tables.MOS``.
"""
