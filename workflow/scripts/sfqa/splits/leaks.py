"""Sentences on what the parts of a protocol share, for the captions of tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sfqa.splits.grouping import CONTENTS, expand_keys, get_group_values, list_keys
from sfqa.splits.official import find_listed_trials, find_parts, list_leaks
from sfqa.splits.protocols import CROSS, PARTS, TEST, make_splits


def describe_leaks(samples: pd.DataFrame, protocol: Mapping[str, Any], seed: int) -> str:
    """Return sentences on what train and test rows of a protocol share, '' if there are none.

    A published split may share images, clips, prompts and videos (``allow_shared``). Keys of
    ``import.keys``, and videos that are in several samples, may be shared in any protocol that does
    not group by them: for those, the number of shared values is that of the trial that shares the
    most.
    """
    if protocol.get("kind") == CROSS:
        return ""
    rows = expand_keys(samples.sort_values("sample_id", ignore_index=True))
    sentences = []
    if protocol.get("kind") in ("fixed", "listed_trials"):
        sentences += _describe_published(rows, protocol)
    elif _list_described_groups(rows):
        sentences.append(_describe_shared_values(rows, protocol, seed))
    sentences.append(_describe_empty_keys(rows, protocol))
    return " ".join(filter(None, sentences))


def _describe_published(rows: pd.DataFrame, protocol: Mapping[str, Any]) -> list[str]:
    where, name = f"config, regression.protocols {protocol['name']!r}", protocol["name"]
    is_listed = protocol["kind"] == "listed_trials"
    trials = (
        list(find_listed_trials(rows, protocol, where).values())
        if is_listed
        else [find_parts(rows, protocol, where)]
    )
    contents = CONTENTS if protocol.get("allow_shared") else ()
    most: dict[tuple[str, str, str], int] = {}
    for masks in trials:
        parts = {n: mask for n, mask in zip(PARTS, masks, strict=True) if mask is not None}
        for group, first, second, values in list_leaks(
            rows, [*contents, *_list_varied_keys(rows)], parts
        ):
            key = (group, first, second)
            most[key] = max(most.get(key, 0), len(values))
    sentences = []
    if most:
        up_to = "up to " if len(trials) > 1 else ""
        shared = ", ".join(
            f"{up_to}{_count_values(group, count)} in {first} and {second}"
            for (group, first, second), count in most.items()
        )
        subject = "trials of" if is_listed else "split"
        verb = "are" if is_listed else "is"
        sentences.append(f"The published {subject} {name!r} {verb} not disjoint: {shared}.")
    if is_listed:
        used = np.any([mask for masks in trials for mask in masks if mask is not None], axis=0)
        if not used.all():
            sentences.append(
                f"Samples in no trial of {name!r}: {int((~used).sum())} of {len(rows)}."
            )
    return sentences


def _count_values(group: str, count: int) -> str:
    """Return a number of values in words.

    >>> _count_values("image", 2), _count_values("scene", 1)
    ('2 images', '1 value of scene')
    """
    plural = "s" if count > 1 else ""
    return f"{count} {group}{plural}" if group in CONTENTS else f"{count} value{plural} of {group}"


def _list_described_groups(rows: pd.DataFrame) -> list[str]:
    shared_videos = get_group_values(rows, "video").notna().any()
    return [*_list_varied_keys(rows), *(["video"] if shared_videos else [])]


def _list_varied_keys(rows: pd.DataFrame) -> list[str]:
    """Return the keys with at least two values: one that all samples share says nothing."""
    return [key for key in list_keys(rows) if get_group_values(rows, key).nunique() > 1]


def _describe_shared_values(rows: pd.DataFrame, protocol: Mapping[str, Any], seed: int) -> str:
    splits = make_splits(rows, protocol, seed)
    up_to = "up to " if len(splits) > 1 else ""
    counts = []
    for group in _list_described_groups(rows):
        column = get_group_values(rows, group)
        most = max(_count_shared(rows["sample_id"], column, split.part) for split in splits)
        number = f"{up_to}{most} of {column.nunique()}"
        if group == "video":
            counts.append(f"{number} videos that are in several samples" if most else "no video")
        else:
            counts.append(f"{number} values of {group}" if most else f"no value of {group}")
    return f"Protocol {protocol['name']!r}: train and test share {_join_words(counts)}."


def _count_shared(ids: pd.Series[Any], column: pd.Series[Any], part: Mapping[str, str]) -> int:
    """Return how many values are in the test part of a trial and in another part of it."""
    part_of = ids.map(part)
    is_test = part_of == TEST
    train_values = set(column[part_of.notna() & ~is_test].dropna())
    return len(train_values & set(column[is_test].dropna()))


def _describe_empty_keys(rows: pd.DataFrame, protocol: Mapping[str, Any]) -> str:
    sentences = []
    for group in protocol.get("groups") or ():
        if group in list_keys(rows):
            count = int(get_group_values(rows, group).isna().sum())
            if count:
                sentences.append(f"Samples without a {group}: {count}, each a group of its own.")
    return " ".join(sentences)


def _join_words(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
