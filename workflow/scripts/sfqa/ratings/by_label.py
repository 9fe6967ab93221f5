"""Mean opinion scores by method, image and music labels (Fig. 4 of the SFQA paper)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from sfqa.errors import UserError, hint
from sfqa.sheets import read_table

VERSION = 2
LABEL_KINDS = ("method", "image_source", "image_category", "style", "language")
COLUMNS = ("label_kind", "label", "dimension", "n", "mean", "sd", "ci95_low", "ci95_high")
#: What a table of tags may say its tags of.
TAG_KEYS = ("sample_id", "pair_id", "image_id", "clip_id")


def mos_by_label(
    mos: pd.DataFrame, samples: pd.DataFrame, extra: Sequence[str] = ()
) -> pd.DataFrame:
    """Return the mean MOS of every label of every kind, by dimension.

    ``mos`` has the columns of ``tables.MOS``; ``samples`` has ``sample_id`` and any of the columns
    ``LABEL_KINDS`` (a kind that is not there, and samples without a label of it, give no row).
    ``extra`` names further columns of labels, e.g. tags (:func:`with_tags`).
    ``n`` counts samples with a MOS, ``sd`` is over samples (ddof 1), the interval is the t-interval
    of the mean with the samples taken as independent; both are empty exactly where n is 1.
    The rows are sorted by kind in the order above, label and dimension. Raises
    :class:`UserError` for a MOS whose sample is unknown.

    >>> mos = pd.DataFrame({"sample_id": ["a", "b"], "dimension": "q", "mos": [40.0, 60.0]})
    >>> samples = pd.DataFrame({"sample_id": ["a", "b"], "method": "sharp"})
    >>> mos_by_label(mos, samples)[["label", "n", "mean"]].to_dict("records")
    [{'label': 'sharp', 'n': 2, 'mean': 50.0}]
    """
    known = labelled(mos, samples)
    for kind in extra:
        if kind not in known:
            raise UserError(
                f"ratings: the samples have no label {kind!r}; "
                f"{hint(kind, map(str, samples.columns))}"
            )
    rows: list[dict[str, Any]] = []
    for kind in (*LABEL_KINDS, *extra):
        if kind not in known:
            continue
        for (label, dimension), part in known.groupby([kind, "dimension"], sort=True):
            values = part["mos"].to_numpy(float)
            head = {"label_kind": kind, "label": label, "dimension": dimension}
            rows.append({**head, **_summary(values)})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def labelled(mos: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """Return the samples that have a MOS, with it, sorted by sample and dimension.

    Raises :class:`UserError` for a MOS whose sample is unknown.

    >>> mos = pd.DataFrame({"sample_id": ["a"], "dimension": "q", "mos": [None]})
    >>> len(labelled(mos, pd.DataFrame({"sample_id": ["a"]})))
    0
    """
    unknown = sorted(set(mos["sample_id"]) - set(samples["sample_id"]))
    if unknown:
        raise UserError(
            f"ratings: {len(unknown)} samples have a MOS but are not in the table of samples, "
            f"{unknown[0]!r} first; correct the names in the scores"
        )
    known = mos[mos["mos"].notna()].merge(samples, on="sample_id", suffixes=("", "_sample"))
    return known.sort_values(["sample_id", "dimension"], ignore_index=True)


def with_tags(samples: pd.DataFrame, tags: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the samples with the tags of another table as label columns, and their names.

    ``tags`` has one of the columns ``TAG_KEYS`` and one column per tag, e.g. ``image_id``,
    ``accessories`` (none, glasses, hat) and ``view`` (frontal, profile); a cell may be empty. Truth
    values become yes and no. Raises :class:`UserError` for names that are unknown or there twice.

    >>> samples = pd.DataFrame({"sample_id": ["a", "b"], "image_id": ["i", "j"]})
    >>> found, names = with_tags(samples, pd.DataFrame({"image_id": ["i"], "glasses": [True]}))
    >>> names, found["glasses"].tolist()[:1]
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
    twice = tags.loc[tags[key].duplicated(), key]
    if len(twice):
        raise UserError(f"tags: {key} {twice.iloc[0]!r} is there twice; keep one row")
    unknown = sorted(set(tags[key].astype(str)) - set(samples[key].dropna().astype(str)))
    if unknown:
        raise UserError(
            f"tags: {len(unknown)} names are no {key} of the samples, {unknown[0]!r} first; "
            "correct them"
        )
    made = samples.assign(**{key: samples[key].astype(object)})
    words = tags.astype(object).where(tags.notna(), None)
    for name in names:
        words[name] = [_word(value) for value in words[name]]
    words[key] = words[key].astype(str)
    return made.merge(words, on=key, how="left", validate="many_to_one"), names


def tagged(samples: pd.DataFrame, path: str | None) -> tuple[pd.DataFrame, list[str]]:
    """Return the samples with the tags of a table file, and the tags' names; as they are for None.

    Raises :class:`UserError` as :func:`with_tags` and :func:`sfqa.sheets.read_table` do.
    """
    return with_tags(samples, read_table(Path(path), "tags")) if path else (samples, [])


def _word(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    return str(value)


def _summary(values: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, Any]:
    n, mean = len(values), float(values.mean())
    sd = float(values.std(ddof=1)) if n > 1 else np.nan
    half = float(stats.t.ppf(0.975, n - 1)) * sd / n**0.5 if n > 1 else np.nan
    return {"n": n, "mean": mean, "sd": sd, "ci95_low": mean - half, "ci95_high": mean + half}
