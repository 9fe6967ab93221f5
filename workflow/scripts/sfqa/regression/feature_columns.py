"""Checks that metrics name columns that their extractors and heads have, before the first job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sfqa.errors import UserError, hint
from sfqa.features import base, view_columns
from sfqa.features.extractors import EXTRACTORS
from sfqa.regression import heads
from sfqa.regression.head_inputs import assign_shapes, check_shape


def check_feature_columns(
    metrics: Sequence[Mapping[str, Any]], features: Mapping[str, Mapping[str, Any]] | None = None
) -> None:
    """Check the inputs of metrics, those of :func:`sfqa.regression.metrics.list_metrics`.

    ``features`` is that section of the configuration. Extractors are imported, but not torch.
    Columns of imported tables are left out. Raises :class:`UserError` for an unknown column, for
    one of texts, for one that is empty with the extractor's options, for a zero-shot metric of a
    column that is not a scalar, and for inputs whose number or axes the head cannot read.
    """
    for metric in metrics:
        where, shapes = f"config, regression.metrics.{metric['name']}.inputs", []
        inputs = metric["inputs"]
        if metric["kind"] == "regressor":
            options = heads.merge_options(str(metric["head"]), metric.get("options") or {})
            try:
                shapes = assign_shapes(str(metric["head"]), options, metric["inputs"])
            except UserError as error:
                raise UserError(f"{where}: {error}") from None
        for number, text in enumerate(inputs.values() if isinstance(inputs, Mapping) else inputs):
            extractor, _, column = text.partition(".")
            if extractor not in EXTRACTORS:
                continue
            _check_column(where, extractor, column, is_score=metric["kind"] == "zero_shot")
            spec = (features or {}).get(extractor)
            if spec is not None:
                _check_column_needs(where, extractor, column, spec.get("options") or {})
                _check_view(where, extractor, column, spec.get("options") or {})
            if shapes:
                is_block = heads.read_design(str(metric["head"])) == "blocks"
                _check_axes(where, text, shapes[number], is_block)


def _check_column_needs(
    where: str, extractor: str, column: str, options: Mapping[str, Any]
) -> None:
    """Raise :class:`UserError` for a column that is empty with these options of its extractor."""
    needs: Mapping[str, Mapping[str, Any]] = EXTRACTORS.read(extractor, "COLUMN_NEEDS", {})
    merged = EXTRACTORS.merge_options(extractor, options, f"config, features.{extractor}.options")
    for option, values in needs.get(column, {}).items():
        if merged[option] not in values:
            allowed = " or ".join(_format_value(value) for value in values)
            raise UserError(
                f"{where}: {extractor}.{column} is empty with the option {option}: "
                f"{_format_value(merged[option])}; write {option}: {allowed} in "
                f"features.{extractor}.options, or name another column"
            )


def _check_view(where: str, extractor: str, column: str, options: Mapping[str, Any]) -> None:
    """Raise :class:`UserError` for a view that the table does not have with these options."""
    try:
        features = base.load_extractor(extractor).FEATURES
    except ImportError:
        return
    merged = EXTRACTORS.merge_options(extractor, options, f"config, features.{extractor}.options")
    names = {feature.name for feature in view_columns.select_columns(features, merged)}
    if column and column not in names:
        raise UserError(
            f"{where}: {extractor}.{column} is kept only with the option views; write views: 1 in "
            f"features.{extractor}.options, or more draws, or name another column"
        )


def _format_value(value: Any) -> str:
    """Return a value as a configuration has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_axes(where: str, text: str, shape: str, is_block: bool) -> None:
    """Raise :class:`UserError` for a column whose axes the head cannot read."""
    extractor, _, column = text.partition(".")
    try:
        numeric = [
            feature
            for feature in base.load_extractor(extractor).FEATURES
            if feature.dtype != "string"
            and column in ("", feature.name)
            and (column or feature.dtype != view_columns.DTYPE)
        ]
    except ImportError:
        return
    if is_block and len(numeric) > 1 and any(feature.axes for feature in numeric):
        names = ", ".join(f"{extractor}.{feature.name}" for feature in numeric)
        raise UserError(f"{where}: {text} has several columns; name one of {names}")
    try:
        check_shape(text, shape, numeric)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _check_column(where: str, extractor: str, column: str, is_score: bool) -> None:
    try:
        features = {feature.name: feature for feature in base.load_extractor(extractor).FEATURES}
    except ImportError:  # with --use-conda, only the environment of the jobs has the packages
        return
    if column and column not in features:
        raise UserError(f"{where}: {extractor} has no column {column!r}; {hint(column, features)}")
    texts = [name for name, feature in features.items() if feature.dtype == "string"]
    scalars = [n for n, feature in features.items() if not feature.axes and n not in texts]
    views = [n for n, feature in features.items() if feature.dtype == view_columns.DTYPE]
    columns = [column] if column else [n for n in features if n not in texts and n not in views]
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
