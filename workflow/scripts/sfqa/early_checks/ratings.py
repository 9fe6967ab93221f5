"""Compare a table of ratings with the samples of its dataset, before the first job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sfqa import identity
from sfqa.early_checks.known_samples import KnownSamples, find_possible_ids, list_ids
from sfqa.errors import UserError
from sfqa.ratings.importing import read_rating_names
from sfqa.ratings.sample_ids import describe_unknown_ids

#: Raised when tables of ratings are checked in another way.
_VERSION = 1


def check_rating_table(samples: KnownSamples, ratings: Mapping[str, Any], path: str) -> list[str]:
    """Return the rated dimensions of a table of ratings; it is read again only if it changes.

    ``ratings`` is that section of the configuration, ``path`` its table. Raises
    :class:`UserError` for a mistake in the table, and for rated samples that are not in the
    dataset.
    """
    key = identity.digest([_VERSION, samples.key, dict(ratings), path, identity.read_stamp(path)])
    stored = samples.memory.recall("ratings", key)
    if stored is not None:
        return list(stored)
    names = read_rating_names(ratings, path)
    possible_ids = set(find_possible_ids(samples, names.samples))
    unknown_ids = [name for name in names.samples if name not in possible_ids]
    if unknown_ids:
        ids = list_ids(samples, unknown_ids[0])
        sentence = describe_unknown_ids(
            unknown_ids, len(names.samples), ids, names.raters, ratings["source"]
        )
        raise UserError(f"{path}: {sentence}")
    dimensions = list(names.dimensions)
    samples.memory.remember("ratings", key, dimensions)
    return dimensions
