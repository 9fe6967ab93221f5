"""Checks that metrics name columns that their extractors have, before the first job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sfqa.errors import UserError, hint
from sfqa.features import base
from sfqa.features.extractors import EXTRACTORS


def check_feature_columns(metrics: Sequence[Mapping[str, Any]]) -> None:
    """Check the inputs of metrics, those of :func:`sfqa.regression.metrics.list_metrics`.

    Extractors are imported, but not torch. Columns of imported tables are left out. Raises
    :class:`UserError` for an unknown column, for a column of texts, and for a zero-shot metric of a
    column that is not a scalar.
    """
    for metric in metrics:
        inputs = metric["inputs"]
        for text in inputs.values() if isinstance(inputs, Mapping) else inputs:
            extractor, _, column = text.partition(".")
            if extractor in EXTRACTORS:
                where = f"config, metrics.{metric['name']}.inputs"
                _check_column(where, extractor, column, is_score=metric["kind"] == "zero_shot")


def _check_column(where: str, extractor: str, column: str, is_score: bool) -> None:
    try:
        features = {feature.name: feature for feature in base.load_extractor(extractor).FEATURES}
    except ImportError:  # with --use-conda, only the environment of the jobs has the packages
        return
    if column and column not in features:
        raise UserError(f"{where}: {extractor} has no column {column!r}; {hint(column, features)}")
    texts = [name for name, feature in features.items() if feature.dtype == "string"]
    scalars = [n for n, feature in features.items() if not feature.axes and n not in texts]
    columns = [column] if column else [name for name in features if name not in texts]
    if column in texts:
        raise UserError(
            f"{where}: {extractor}.{column} holds texts; name a column of numbers: "
            f"{', '.join(name for name in features if name not in texts)}"
        )
    if is_score and (len(columns) != 1 or columns[0] not in scalars):
        name = f"{extractor}.{column}" if column else extractor
        choices = ", ".join(f"{extractor}.{scalar}" for scalar in scalars) or "none"
        raise UserError(
            f"{where}: {name} is not one scalar, which a zero-shot metric needs; the scalars are "
            f"{choices}"
        )
