"""Splits of the samples into train, validation and test rows, without leakage by default.

In k-fold and leave-one-method-out every row is a test row exactly once per repeat; protocols of the
other kinds draw each trial independently. The splits depend on the samples' names, their group
labels and the seed, never on the order of the rows or on which samples have a score.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from sfqa.errors import UserError
from sfqa.splits.drawing import Codes, Mask, draw_folds, draw_parts, draw_validation
from sfqa.splits.group_counts import (
    require_folds,
    require_left_out_values,
    require_methods,
    require_parts,
    require_samples,
)
from sfqa.splits.grouping import (
    assert_disjoint,
    choose_groups,
    encode_groups,
    encode_values,
    expand_keys,
    find_largest,
    get_group_values,
)
from sfqa.splits.official import find_listed_trials, find_parts, list_leaks
from sfqa.splits.protocol_options import (
    ALL,
    ALL_SAMPLES,
    CROSS,
    PARTS,
    TEST,
    TRAIN,
    TRIALS,
    VALIDATION,
    check_protocol,
    name_protocol,
    read_ratio,
    validation_share,
)

__all__ = [
    "ALL", "ALL_SAMPLES", "CROSS", "PARTS", "TEST", "TRAIN", "VALIDATION", "VERSION", "Split",
    "make_splits", "validation_share",
]  # fmt: skip

#: Version of the splits made here, in drawing.py, grouping.py, official.py and trial_lists.py.
VERSION = 3

#: Crossed groups can leave a small part empty by chance; a trial is redrawn up to this often.
_DRAWS = 50


@dataclass(frozen=True)
class Split:
    """One trial of a protocol: the part of every sample in it (others are left out)."""

    protocol: str
    trial: int
    part: dict[str, str]


def make_splits(samples: pd.DataFrame, protocol: Mapping[str, Any], seed: int) -> list[Split]:
    """Return the trials of a protocol over samples (columns of tables.SAMPLES).

    Keys of ``protocol``: ``name``, ``kind`` and

    - ``fixed``: one trial, the dataset's own split. Its test rows are those of the part ``test``
      (``test: test_1080p`` names another one), and ``val`` rows are validation rows; in a dataset
      without a test part, ``val`` rows are test rows. ``allow_shared`` accepts a published split
      whose parts share an image, clip or prompt.
    - ``group_kfold``: ``k`` folds (default 5) of the ``groups`` (image, clip, prompt, method,
      image_source, image_category, style, language, video for files that are in several samples,
      and the keys of ``import.keys``; default: those of image, clip, prompt and video that have at
      least two values). A group nested in
      another (each image has its own clips) is merged with it. For g crossed groups there are k**g
      trials, one per combination of folds; train excludes rows that share a value with the test
      rows.
    - ``random_kfold``: ``k`` folds of rows, the field's optimistic protocol.
    - ``leave_one_method_out``: one trial per method.
    - ``leave_one_group_out``: one trial per value of the one group that ``groups`` names.
    - ``group_trials``: ``trials`` (default 10) independent random partitions of the values of the
      ``groups`` (as above) into ``parts``, the ratio train : validation : test of the rows (default
      [7, 1, 2]). Crossed groups are partitioned one by one. A row belongs to a part if all its
      values do, and is left out otherwise: a part of share p keeps about p**g of the rows.
    - ``random_trials``: the same with single rows, e.g. 100 trials of 80 : 20 (parts [8, 0, 2]).
      With ``stratify: method`` (or another group) the rows of each method are partitioned apart, so
      that every part keeps the shares of the methods.
    - ``listed_trials``: the published trials of ``lists``
      (:func:`sfqa.splits.trial_lists.read_trial_lists`), exactly. Samples in no list are left out.
      A trial without validation rows gets some from train, as in the other kinds.
      ``allow_shared`` as for ``fixed``.
    - ``cross_dataset``: one trial, every row is a test row of the models in the results folder of
      another dataset, ``model``. ``dimensions`` maps a dimension of this dataset to its name there.
      ``allow_shared`` also tests samples whose image, clip or prompt the models were trained on.
    - ``all`` (:data:`ALL_SAMPLES`): one trial, every row is a test row. Only for metrics that learn
      nothing; a configuration cannot have it.

    ``repeats`` (default 1) repeats k-fold with new folds. ``validation`` (default 0.15) is the
    share of train rows used for model selection, grouped in the same way (for crossed groups only
    by the group with the most values, because all together would leave few train rows). With 0, or
    a 0 in ``parts``, there are none. Raises :class:`UserError` if the samples do not allow the
    protocol.
    """
    splits = []
    for number, ids, parts in _draw_splits(samples, protocol, seed):
        part: dict[str, str] = {}
        for name, mask in parts.items():
            part |= dict.fromkeys(ids[mask], name)
        splits.append(Split(str(protocol["name"]), number, part))
    return splits


def check_splits(
    samples: pd.DataFrame, protocol: Mapping[str, Any], seed: int, trials: int | None = None
) -> None:
    """Raise :class:`UserError` as :func:`make_splits` does if samples do not allow a protocol.

    ``trials`` is the largest number of trials that are drawn, by default all.
    """
    for _ in itertools.islice(_draw_splits(samples, protocol, seed), trials):
        pass


def _draw_splits(
    samples: pd.DataFrame, protocol: Mapping[str, Any], seed: int
) -> Iterator[tuple[int, npt.NDArray[Any], dict[str, Mask]]]:
    """Yield the number of each trial, the sample ids, and the rows of train, validation, test."""
    where = name_protocol(protocol)
    protocol_kind, share = check_protocol(protocol, where)
    if samples["sample_id"].duplicated().any():
        duplicate = samples.loc[samples["sample_id"].duplicated(), "sample_id"].iloc[0]
        raise UserError(f"{where}: the sample {duplicate!r} occurs twice; keep one row of it")
    rows = expand_keys(samples.sort_values("sample_id", ignore_index=True))
    if rows.empty:
        raise UserError(f"{where}: there are no samples to split")
    trials = {
        "fixed": _split_fixed,
        "group_kfold": _split_group_kfold,
        "random_kfold": _split_random_kfold,
        "leave_one_method_out": _split_leave_one_method_out,
        "leave_one_group_out": _split_leave_one_group_out,
        "group_trials": _split_group_trials,
        "random_trials": _split_random_trials,
        "listed_trials": _split_listed_trials,
        CROSS: _test_all_rows,
        ALL: _test_all_rows,
    }[protocol_kind](rows, protocol, seed, where)
    ids = rows["sample_id"].to_numpy(object)
    for trial, train, test, validation, codes in trials:
        if validation is None:
            seeds = (seed, protocol_kind, "validation", trial)
            validation = draw_validation(train, codes, share, seeds, where)
        yield trial, ids, {TRAIN: train & ~validation, VALIDATION: validation, TEST: test}


class _Trial(NamedTuple):
    """The rows of one trial.

    If ``validation`` is None, validation rows are drawn from train in groups of equal ``codes``.
    """

    number: int
    train: Mask
    test: Mask
    validation: Mask | None
    codes: Codes


def _split_fixed(
    rows: pd.DataFrame, protocol: Mapping[str, Any], seed: int, where: str
) -> Iterator[_Trial]:
    train, validation, test = find_parts(rows, protocol, where)
    yield _make_published_trial(rows, protocol, where, 0, (train, validation, test))


def _split_listed_trials(
    rows: pd.DataFrame, protocol: Mapping[str, Any], seed: int, where: str
) -> Iterator[_Trial]:
    for number, parts in find_listed_trials(rows, protocol, where).items():
        yield _make_published_trial(rows, protocol, f"{where}, trial {number}", number, parts)


def _make_published_trial(
    rows: pd.DataFrame,
    protocol: Mapping[str, Any],
    where: str,
    number: int,
    parts: tuple[Mask, Mask | None, Mask],
) -> _Trial:
    """Return a trial with the given train, validation and test rows.

    Raises :class:`UserError` if they share a group, unless the protocol has ``allow_shared``.
    """
    train, validation, test = parts
    groups = choose_groups(rows, protocol, where)
    if not protocol.get("allow_shared", False):
        present_parts = {
            name: mask for name, mask in zip(PARTS, parts, strict=True) if mask is not None
        }
        for group, first, second, shared in list_leaks(rows, groups, present_parts):
            raise UserError(
                f"{where}: the {group} {shared[0]!r} ({len(shared)} in all) is in {first} and in "
                f"{second}; use kind group_kfold, or write allow_shared: true to use this split"
            )
    codes_of = encode_groups(rows, groups, where)
    codes = find_largest(codes_of) if codes_of else np.arange(len(rows))
    return _Trial(number, train, test, validation, codes)


def _split_group_kfold(
    rows: pd.DataFrame, protocol: Mapping[str, Any], seed: int, where: str
) -> Iterator[_Trial]:
    groups, codes_of = _encode_required_groups(rows, protocol, where, "random_kfold")
    k = int(protocol.get("k", 5))
    for name, codes in codes_of.items():
        require_folds(int(codes.max()) + 1, name, k, where)
    cells = list(itertools.product(range(k), repeat=len(codes_of)))
    for repeat in range(int(protocol.get("repeats", 1))):
        fold_of = np.stack(
            [
                draw_folds(codes, k, (seed, "group_kfold", n, repeat))
                for n, codes in codes_of.items()
            ]
        )
        for number, cell in enumerate(cells):
            same = fold_of == np.array(cell)[:, None]
            train, test = ~same.any(axis=0), same.all(axis=0)
            if not test.any():
                continue  # few samples: no row has this combination of folds
            if not train.any():
                raise UserError(
                    f"{where}: trial {number} is left without train rows; choose a larger k "
                    "or fewer groups"
                )
            assert_disjoint(rows, groups, train, test)
            yield _Trial(repeat * len(cells) + number, train, test, None, find_largest(codes_of))


def _split_random_kfold(
    rows: pd.DataFrame, protocol: Mapping[str, Any], seed: int, where: str
) -> Iterator[_Trial]:
    k, codes = int(protocol.get("k", 5)), np.arange(len(rows))
    require_samples(len(rows), k, where)
    for repeat in range(int(protocol.get("repeats", 1))):
        fold_of = draw_folds(codes, k, (seed, "random_kfold", repeat))
        for fold in range(k):
            yield _Trial(repeat * k + fold, fold_of != fold, fold_of == fold, None, codes)


def _split_leave_one_method_out(
    rows: pd.DataFrame, protocol: Mapping[str, Any], seed: int, where: str
) -> Iterator[_Trial]:
    codes, names = encode_values(rows["method"])
    require_methods(len(names), where)
    for number in range(len(names)):
        yield _Trial(number, codes != number, codes == number, None, codes)


def _split_leave_one_group_out(
    rows: pd.DataFrame, protocol: Mapping[str, Any], seed: int, where: str
) -> Iterator[_Trial]:
    groups = choose_groups(rows, protocol, where)
    if len(groups) != 1:
        raise UserError(f"{where}, groups: {groups!r}; name the one group that is left out")
    codes, names = encode_values(get_group_values(rows, groups[0]))
    empty = np.flatnonzero(codes < 0)
    if len(empty):
        raise UserError(
            f"{where}: the sample {rows['sample_id'].iloc[empty[0]]!r} ({len(empty)} in all) has "
            f"no {groups[0]}, so it cannot be left out by it; fill it, or use kind group_kfold"
        )
    require_left_out_values(len(names), groups[0], where)
    for number in range(len(names)):
        yield _Trial(number, codes != number, codes == number, None, codes)


def _split_group_trials(
    rows: pd.DataFrame, protocol: Mapping[str, Any], seed: int, where: str
) -> Iterator[_Trial]:
    groups, codes_of = _encode_required_groups(rows, protocol, where, "random_trials")
    shares = read_ratio(protocol, where)
    used_parts = [n for n, share in enumerate(shares) if share > 0]
    for name, codes in codes_of.items():
        require_parts(int(codes.max()) + 1, name, len(used_parts), where)
    for trial in range(int(protocol.get("trials", TRIALS))):
        for draw in range(_DRAWS):
            part_of = np.stack(
                [
                    draw_parts(codes, shares, (seed, "group_trials", name, trial, draw))
                    for name, codes in codes_of.items()
                ]
            )
            train, validation, test = masks = [
                (part_of == n).all(axis=0) for n in range(len(PARTS))
            ]
            empty = [PARTS[n] for n in used_parts if not masks[n].any()]
            if not empty:
                break
        else:
            raise UserError(
                f"{where}: trial {trial} is left without {empty[0]} rows, in {_DRAWS} draws; "
                "choose fewer groups or larger parts"
            )
        for first, second in itertools.combinations(masks, 2):
            assert_disjoint(rows, groups, first, second)
        yield _Trial(trial, train, test, validation, find_largest(codes_of))


def _split_random_trials(
    rows: pd.DataFrame, protocol: Mapping[str, Any], seed: int, where: str
) -> Iterator[_Trial]:
    shares, codes = read_ratio(protocol, where), np.arange(len(rows))
    parts = sum(share > 0 for share in shares)
    if len(rows) < parts:
        raise UserError(f"{where}: {len(rows)} samples are too few for {parts} parts; add some")
    strata = [codes]
    if "stratify" in protocol:
        name = str(protocol["stratify"])
        stratum_of = encode_groups(rows, [name], where)[name]
        strata = [np.flatnonzero(stratum_of == stratum) for stratum in np.unique(stratum_of)]
        if min(map(len, strata)) < parts:
            raise UserError(
                f"{where}, stratify: a {name} has {min(map(len, strata))} samples, too few for "
                f"{parts} parts; leave stratify out, or leave out the {name}"
            )
    for trial in range(int(protocol.get("trials", TRIALS))):
        part_of = np.empty_like(codes)
        for number, members in enumerate(strata):
            seeds: list[str | int] = [seed, "random_trials", trial]
            if "stratify" in protocol:
                seeds.append(number)
            part_of[members] = draw_parts(np.arange(len(members)), shares, seeds)
        train, validation, test = (part_of == n for n in range(len(PARTS)))
        yield _Trial(trial, train, test, validation, codes)


def _test_all_rows(
    rows: pd.DataFrame, protocol: Mapping[str, Any], seed: int, where: str
) -> Iterator[_Trial]:
    no_rows, codes = np.zeros(len(rows), bool), np.arange(len(rows))
    yield _Trial(0, no_rows, ~no_rows, no_rows, codes)


def _encode_required_groups(
    rows: pd.DataFrame, protocol: Mapping[str, Any], where: str, ungrouped_kind: str
) -> tuple[list[str], dict[str, Codes]]:
    """Return the groups and their codes; raises :class:`UserError` if there are no groups.

    ``ungrouped_kind`` is the kind of protocol that the message recommends instead.
    """
    groups = choose_groups(rows, protocol, where)
    if not groups:
        raise UserError(
            f"{where}: the samples have no image, clip or prompt to group by; fill these columns, "
            f"or use kind {ungrouped_kind}"
        )
    return groups, encode_groups(rows, groups, where)
