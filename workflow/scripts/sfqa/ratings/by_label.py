"""Mean opinion scores by method, image and music labels (Fig. 4 of the SFQA paper)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from sfqa.errors import UserError, hint
from sfqa.user_tables import read_table

VERSION = 2
LABEL_KINDS = ("method", "image_source", "image_category", "style", "language")
COLUMNS = ("label_kind", "label", "dimension", "n", "mean", "sd", "ci95_low", "ci95_high")
#: Columns by which a table of tags can identify samples.
TAG_KEYS = ("sample_id", "pair_id", "image_id", "clip_id")


def average_by_label(
    mos: pd.DataFrame, samples: pd.DataFrame, extra: Sequence[str] = ()
) -> pd.DataFrame:
    """Return the mean MOS of every label of every kind, by dimension.

    ``mos`` has the columns of ``tables.MOS``; ``samples`` has ``sample_id`` and any of the columns
    ``LABEL_KINDS`` (missing columns and missing labels give no row). ``extra`` names further label
    columns, such as tags (:func:`add_tags`). ``n`` counts samples with a MOS, ``sd`` is over
    samples (ddof 1), and the interval is the t-interval of the mean, treating the samples as
    independent; both are empty if n is 1. The rows are sorted by kind in the order above, label
    and dimension. Raises :class:`UserError` for a MOS whose sample is unknown.

    >>> mos = pd.DataFrame({"sample_id": ["a", "b"], "dimension": "q", "mos": [40.0, 60.0]})
    >>> samples = pd.DataFrame({"sample_id": ["a", "b"], "method": "sharp"})
    >>> average_by_label(mos, samples)[["label", "n", "mean"]].to_dict("records")
    [{'label': 'sharp', 'n': 2, 'mean': 50.0}]
    """
    labelled = join_labels(mos, samples)
    for name in extra:
        if name not in labelled:
            raise UserError(
                f"ratings: the samples have no label {name!r}; "
                f"{hint(name, map(str, samples.columns))}"
            )
    rows: list[dict[str, Any]] = []
    for label_kind in (*LABEL_KINDS, *extra):
        if label_kind not in labelled:
            continue
        for (label, dimension), part in labelled.groupby([label_kind, "dimension"], sort=True):
            key = {"label_kind": label_kind, "label": label, "dimension": dimension}
            rows.append({**key, **_summarise(part["mos"].to_numpy(float))})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def join_labels(mos: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """Return the MOS that are not empty with the samples' columns, sorted by sample and dimension.

    Raises :class:`UserError` for a MOS whose sample is unknown.

    >>> mos = pd.DataFrame({"sample_id": ["a"], "dimension": "q", "mos": [None]})
    >>> len(join_labels(mos, pd.DataFrame({"sample_id": ["a"]})))
    0
    """
    unknown = sorted(set(mos["sample_id"]) - set(samples["sample_id"]))
    if unknown:
        raise UserError(
            f"ratings: {len(unknown)} samples have a MOS but are not in the table of samples, "
            f"{unknown[0]!r} first; correct the names in the scores"
        )
    joined = mos[mos["mos"].notna()].merge(samples, on="sample_id", suffixes=("", "_sample"))
    return joined.sort_values(["sample_id", "dimension"], ignore_index=True)


def add_tags(samples: pd.DataFrame, tags: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the samples with the tags of another table as label columns, and the columns' names.

    ``tags`` has one of the columns ``TAG_KEYS`` and one column per tag, e.g. ``image_id``,
    ``accessories`` (none, glasses, hat) and ``view`` (frontal, profile). A cell may be empty;
    booleans become yes and no. Raises :class:`UserError` for unknown and for repeated names.

    >>> samples = pd.DataFrame({"sample_id": ["a", "b"], "image_id": ["i", "j"]})
    >>> labelled, names = add_tags(samples, pd.DataFrame({"image_id": ["i"], "glasses": [True]}))
    >>> names, labelled["glasses"].tolist()[:1]
    (['glasses'], ['yes'])
    """
    keys = [key for key in TAG_KEYS if key in tags]
    if len(keys) != 1:
        raise UserError(f"tags: the table needs one of the columns {', '.join(TAG_KEYS)}")
    key = keys[0]
    names = [str(name) for name in tags.columns if name != key]
    for name in names:
        if name in samples:
            raise UserError(f"tags: the samples have a column {name!r} already; rename the tag")
    if key not in samples:
        raise UserError(f"tags: the samples have no {key}; tag another column")
    repeated = tags.loc[tags[key].duplicated(), key]
    if len(repeated):
        raise UserError(f"tags: {key} {repeated.iloc[0]!r} has two rows; keep one")
    unknown = sorted(set(tags[key].astype(str)) - set(samples[key].dropna().astype(str)))
    if unknown:
        raise UserError(
            f"tags: {len(unknown)} names are not a {key} of the samples, {unknown[0]!r} first; "
            "correct them"
        )
    labels = tags.astype(object).where(tags.notna(), None)
    for name in names:
        labels[name] = [_format_tag(value) for value in labels[name]]
    labels[key] = labels[key].astype(str)
    labelled = samples.assign(**{key: samples[key].astype(object)})
    return labelled.merge(labels, on=key, how="left", validate="many_to_one"), names


def read_tags(samples: pd.DataFrame, path: str | None) -> tuple[pd.DataFrame, list[str]]:
    """Return the samples with the tags of a table file, and the tags' names; unchanged for None.

    Raises :class:`UserError` as :func:`add_tags` and :func:`sfqa.user_tables.read_table` do.
    """
    if not path:
        return samples, []
    table = read_table(path, "tags")
    table.log_notes()
    return add_tags(samples, table.to_frame())


def _format_tag(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    return str(value)


def _summarise(values: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, Any]:
    n, mean = len(values), float(values.mean())
    sd = float(values.std(ddof=1)) if n > 1 else np.nan
    half = float(stats.t.ppf(0.975, n - 1)) * sd / n**0.5 if n > 1 else np.nan
    return {"n": n, "mean": mean, "sd": sd, "ci95_low": mean - half, "ci95_high": mean + half}
