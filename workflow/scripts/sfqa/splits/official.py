"""The split that a dataset was published with: its parts, and what they share.

A change of the numbers here raises VERSION in protocols.py.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sfqa.errors import UserError, hint
from sfqa.splits.drawing import Mask
from sfqa.splits.grouping import get_group_values
from sfqa.splits.trial_lists import find_listed_parts, read_trial_lists

TRAIN, VALIDATION, TEST = "train", "val", "test"
#: What a sample's ``split`` may be: a dataset may have several test parts.
_NAME = re.compile(r"train|val|test(_[A-Za-z0-9]+)?")


def check_split_name(name: str, where: str) -> None:
    """Raise :class:`UserError` unless a name is train, val, test or test_NAME.

    >>> check_split_name("test_1080p", "")
    """
    if not _NAME.fullmatch(name):
        nearest = hint(name, (TRAIN, VALIDATION, TEST))
        raise UserError(
            f"{where}: split {name!r}; {nearest} (another test part is test_NAME); correct it, "
            "or rename it under import.names beside labels"
        )


def find_parts(
    rows: pd.DataFrame, protocol: Mapping[str, Any], where: str
) -> tuple[Mask, Mask | None, Mask]:
    """Return the train, validation and test rows of a published split.

    ``protocol["test"]`` names the test part; by default it is ``test``, or ``val`` in a dataset
    without a test part. The rows ``val`` are validation rows if they are not the test part; without
    any, None is returned for them. Rows of other test parts are in no part. Raises
    :class:`UserError` if there are no train or no test rows.
    """
    labels = rows["split"] if "split" in rows else pd.Series([None] * len(rows))
    default_name = TEST if (labels == TEST).any() else VALIDATION
    test_name = str(protocol.get("test", default_name))
    train, test = (labels == TRAIN).to_numpy(bool), (labels == test_name).to_numpy(bool)
    if not train.any() or not test.any():
        raise UserError(
            f"{where}: {int(train.sum())} samples have the split {TRAIN!r} and {int(test.sum())} "
            f"{test_name!r}; both are needed: fill the column split, or use kind group_kfold"
        )
    validation = (labels == VALIDATION).to_numpy(bool)
    if test_name == VALIDATION or not validation.any():
        return train, None, test
    return train, validation, test


def find_listed_trials(
    rows: pd.DataFrame, protocol: Mapping[str, Any], where: str
) -> dict[int, tuple[Mask, Mask | None, Mask]]:
    """Return the train, validation and test rows of each published trial, by its number.

    None stands for the validation rows of a trial without any. Raises :class:`UserError` as
    :func:`sfqa.splits.trial_lists.read_trial_lists` and
    :func:`sfqa.splits.trial_lists.find_listed_parts`.
    """
    listed = read_trial_lists(protocol["lists"], where)
    trials = {}
    for number, part_of in find_listed_parts(listed, rows, where).items():
        part = rows["sample_id"].map(part_of)
        train, validation, test = (
            (part == name).to_numpy(bool) for name in ("train", "validation", "test")
        )
        trials[number] = (train, validation if validation.any() else None, test)
    return trials


def list_leaks(
    rows: pd.DataFrame, groups: Sequence[str], parts: Mapping[str, Mask]
) -> list[tuple[str, str, str, list[str]]]:
    """Return what two parts share: group, names of the two parts, values in both.

    >>> rows = pd.DataFrame({"sample_id": ["a", "b"], "image_id": ["face", "face"]})
    >>> train, test = rows["sample_id"] == "a", rows["sample_id"] == "b"
    >>> list_leaks(rows, ["image"], {"train": train.to_numpy(), "test": test.to_numpy()})
    [('image', 'train', 'test', ['face'])]
    """
    leaks = []
    for group in groups:
        column = get_group_values(rows, group)
        values_of = {name: set(column[mask].dropna()) for name, mask in parts.items()}
        for first, second in itertools.combinations(parts, 2):
            shared = sorted(values_of[first] & values_of[second])
            if shared:
                leaks.append((group, first, second, shared))
    return leaks
