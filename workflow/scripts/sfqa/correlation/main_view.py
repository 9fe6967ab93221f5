"""Which protocol and pooling tables, figures and the site show first: one that has numbers."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from sfqa.correlation.metric_statistics import MODEL, POOLED, VIDEO
from sfqa.correlation.points import KINDS
from sfqa.splits.protocol_options import ALL

#: The first kind of metric is a reference point and is not ranked.
_CONTROL = KINDS[0]


@dataclass(frozen=True)
class MainView:
    """A protocol and a pooling of the correlation table."""

    protocol: str
    pooling: str


def has_numbers(rows: pd.DataFrame) -> bool:
    """Return whether a metric other than a control has an SRCC in any row.

    >>> has_numbers(pd.DataFrame({"kind": ["control", "regressor"], "srcc": [1.0, None]}))
    False
    """
    return bool(rows.loc[rows["kind"] != _CONTROL, "srcc"].notna().any())


def choose_view(rows: pd.DataFrame, configured: MainView, level: str = VIDEO) -> MainView:
    """Return the view to show first: the configured one, or else one in which metrics have numbers.

    ``rows``: the correlation table. If the configured view has no number, because its trials test
    too few samples, the choice is the same protocol with all test samples at once, then all rated
    samples (:data:`sfqa.splits.protocol_options.ALL`). At level ``model`` everything is pooled.
    """
    poolings = [POOLED] if level == MODEL else [configured.pooling, POOLED]
    views = [
        *(MainView(configured.protocol, pooling) for pooling in poolings),
        MainView(ALL, poolings[0]),
    ]
    for view in views:
        if has_numbers(select_view(rows, view, level)):
            return view
    return views[0]


def select_view(rows: pd.DataFrame, view: MainView, level: str = VIDEO) -> pd.DataFrame:
    """Return the rows of a view at one level, none if it is not in the table."""
    return rows[
        (rows["protocol"] == view.protocol)
        & (rows["level"] == level)
        & (rows["pooling"] == view.pooling)
    ]
