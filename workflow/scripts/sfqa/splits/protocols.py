"""Splits of the samples into train, validation and test rows, without leakage by default.

In k-fold and leave-one-method-out every row is a test row exactly once per repeat; protocols of the
other kinds draw each trial independently. The splits depend on the samples' names, their group
labels and the seed, never on the order of the rows or on which samples have a score.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sfqa.errors import UserError, hint
from sfqa.splits.drawing import Codes, Mask, draw_folds, draw_parts, draw_validation
from sfqa.splits.grouping import (
    assert_disjoint,
    choose_groups,
    encode_groups,
    encode_values,
    expand_keys,
    find_largest,
    get_group_values,
)
from sfqa.splits.official import find_parts, list_leaks

#: Version of the splits made here, in drawing.py and in grouping.py.
VERSION = 1

TRAIN, VALIDATION, TEST = "train", "validation", "test"
PARTS = (TRAIN, VALIDATION, TEST)
#: The kind without training: models of another dataset are tested on every row.
CROSS = "cross_dataset"
_KEYS = {
    "fixed": ("groups", "validation", "allow_shared", "test"),
    "group_kfold": ("groups", "k", "repeats", "validation"),
    "random_kfold": ("k", "repeats", "validation"),
    "leave_one_method_out": ("validation",),
    "leave_one_group_out": ("groups", "validation"),
    "group_trials": ("groups", "trials", "parts"),
    "random_trials": ("trials", "parts"),
    CROSS: ("model", "dimensions", "allow_shared"),
}
KINDS = tuple(_KEYS)
#: Defaults of ``parts`` (train : validation : test; UGVQ, section 6.1.1) and ``trials``.
_RATIO, _TRIALS = (7.0, 1.0, 2.0), 10
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
      image_source, image_category, style, language, and the keys of ``import.keys``; default: those
      of image, clip and prompt that have at least two values). A group nested in
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
    - ``cross_dataset``: one trial, every row is a test row of the models in the results folder of
      another dataset, ``model``. ``dimensions`` maps a dimension of this dataset to its name there.
      ``allow_shared`` also tests samples whose image, clip or prompt the models were trained on.

    ``repeats`` (default 1) repeats k-fold with new folds. ``validation`` (default 0.15) is the
    share of train rows used for model selection, grouped in the same way (for crossed groups only
    by the group with the most values, because all together would leave few train rows). With 0, or
    a 0 in ``parts``, there are none. Raises :class:`UserError` if the samples do not allow the
    protocol.
    """
    where = _name_protocol(protocol)
    protocol_kind, share = _check_protocol(protocol, where)
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
        CROSS: _split_cross_dataset,
    }[protocol_kind](rows, protocol, seed, where)
    ids = rows["sample_id"].to_numpy(object)
    splits = []
    for trial, train, test, validation, codes in trials:
        if validation is None:
            seeds = (seed, protocol_kind, "validation", trial)
            validation = draw_validation(train, codes, share, seeds, where)
        part = {
            **dict.fromkeys(ids[train & ~validation], TRAIN),
            **dict.fromkeys(ids[validation], VALIDATION),
            **dict.fromkeys(ids[test], TEST),
        }
        splits.append(Split(str(protocol["name"]), trial, part))
    return splits


def validation_share(protocol: Mapping[str, Any]) -> float:
    """Return the share of rows to select models on: of train rows, or of all with ``parts``.

    Raises :class:`UserError` for an invalid protocol.

    >>> validation_share({"name": "t", "kind": "random_trials", "parts": [7, 1, 2]})
    0.1
    """
    return _check_protocol(protocol, _name_protocol(protocol))[1]


class _Trial(NamedTuple):
    """The rows of one trial.

    If ``validation`` is None, validation rows are drawn from train in groups of equal ``codes``.
    """

    number: int
    train: Mask
    test: Mask
    validation: Mask | None
    codes: Codes


def _name_protocol(protocol: Mapping[str, Any]) -> str:
    """Return where a protocol is in the configuration, for the beginning of a message."""
    return f"config, regression.protocols {protocol.get('name')!r}"


def _check_protocol(protocol: Mapping[str, Any], where: str) -> tuple[str, float]:
    """Return the kind and the share of validation rows of a protocol, all keys checked."""
    protocol_kind = protocol.get("kind")
    if protocol_kind not in _KEYS:
        raise UserError(f"{where}: no kind {protocol_kind!r}; {hint(str(protocol_kind), KINDS)}")
    for key in protocol:
        if key not in ("name", "kind", *_KEYS[protocol_kind]):
            raise UserError(
                f"{where}: unknown key {key!r}; kind {protocol_kind} has "
                f"{', '.join(_KEYS[protocol_kind])}"
            )
    if protocol_kind == CROSS:
        _check_cross(protocol, where)
    share = protocol.get("validation", 0.0 if protocol_kind == CROSS else 0.15)
    if not isinstance(share, (int, float)) or not 0 <= share < 1:
        raise UserError(f"{where}, validation: {share!r}; write a share from 0 to below 1")
    for key, minimum in (("k", 2), ("repeats", 1), ("trials", 1)):
        value = protocol.get(key, minimum)
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            raise UserError(f"{where}, {key}: {value!r}; write a whole number, {minimum} or more")
    if "parts" in _KEYS[protocol_kind]:
        shares = _read_ratio(protocol, where)
        share = shares[PARTS.index(VALIDATION)] / sum(shares)
    return str(protocol_kind), float(share)


def _check_cross(protocol: Mapping[str, Any], where: str) -> None:
    model, names = protocol.get("model"), protocol.get("dimensions", {})
    if not isinstance(model, str) or not model:
        raise UserError(
            f"{where}, model: {model!r}; write the results folder of the dataset whose models are "
            "tested here, such as results/thqa"
        )
    if not isinstance(names, Mapping) or not all(isinstance(v, str) for v in names.values()):
        raise UserError(
            f"{where}, dimensions: {names!r}; write the name of each dimension there, such as "
            "{visual_quality: quality}"
        )


def _read_ratio(protocol: Mapping[str, Any], where: str) -> tuple[float, ...]:
    """Return the ratio train : validation : test of a protocol, checked."""
    ratio = protocol.get("parts", _RATIO)
    valid = isinstance(ratio, (list, tuple)) and len(ratio) == len(PARTS)
    valid = valid and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in ratio)
    if not valid or not all(math.isfinite(v) and v >= 0 for v in ratio):
        raise UserError(
            f"{where}, parts: {ratio!r}; write three numbers, 0 or more, for train, validation "
            "and test, such as [7, 1, 2]"
        )
    if not ratio[0] or not ratio[2]:
        raise UserError(f"{where}, parts: {list(ratio)!r}; only the second, validation, may be 0")
    return tuple(float(v) for v in ratio)


def _split_fixed(
    rows: pd.DataFrame, protocol: Mapping[str, Any], seed: int, where: str
) -> Iterator[_Trial]:
    train, validation, test = find_parts(rows, protocol, where)
    groups = choose_groups(rows, protocol, where)
    if not protocol.get("allow_shared", False):
        parts = {"train": train, "validation": validation, "test": test}
        present_parts = {name: mask for name, mask in parts.items() if mask is not None}
        for group, first, second, shared in list_leaks(rows, groups, present_parts):
            raise UserError(
                f"{where}: the {group} {shared[0]!r} ({len(shared)} in all) is in {first} and in "
                f"{second}; use kind group_kfold, or write allow_shared: true to use this split"
            )
    codes_of = encode_groups(rows, groups, where)
    codes = find_largest(codes_of) if codes_of else np.arange(len(rows))
    yield _Trial(0, train, test, validation, codes)


def _split_group_kfold(
    rows: pd.DataFrame, protocol: Mapping[str, Any], seed: int, where: str
) -> Iterator[_Trial]:
    groups, codes_of = _encode_required_groups(rows, protocol, where, "random_kfold")
    k = int(protocol.get("k", 5))
    for name, codes in codes_of.items():
        if codes.max() + 1 < k:
            raise UserError(
                f"{where}: {int(codes.max()) + 1} different values of {name} are too few for "
                f"{k} folds; choose a smaller k or other groups"
            )
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
    if len(rows) < k:
        raise UserError(f"{where}: {len(rows)} samples are too few for {k} folds; lower k")
    for repeat in range(int(protocol.get("repeats", 1))):
        fold_of = draw_folds(codes, k, (seed, "random_kfold", repeat))
        for fold in range(k):
            yield _Trial(repeat * k + fold, fold_of != fold, fold_of == fold, None, codes)


def _split_leave_one_method_out(
    rows: pd.DataFrame, protocol: Mapping[str, Any], seed: int, where: str
) -> Iterator[_Trial]:
    codes, names = encode_values(rows["method"])
    if len(names) < 3:
        raise UserError(
            f"{where}: {len(names)} methods are too few: train, validation and test need one "
            "each; add methods, or leave this protocol out"
        )
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
    if len(names) < 3:
        raise UserError(
            f"{where}: {len(names)} different values of {groups[0]} are too few: train, validation "
            "and test need one each; choose another group"
        )
    for number in range(len(names)):
        yield _Trial(number, codes != number, codes == number, None, codes)


def _split_group_trials(
    rows: pd.DataFrame, protocol: Mapping[str, Any], seed: int, where: str
) -> Iterator[_Trial]:
    groups, codes_of = _encode_required_groups(rows, protocol, where, "random_trials")
    shares = _read_ratio(protocol, where)
    used_parts = [n for n, share in enumerate(shares) if share > 0]
    for name, codes in codes_of.items():
        if codes.max() + 1 < len(used_parts):
            raise UserError(
                f"{where}: {int(codes.max()) + 1} different values of {name} are too few for "
                f"{len(used_parts)} parts; choose other groups"
            )
    for trial in range(int(protocol.get("trials", _TRIALS))):
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
    shares, codes = _read_ratio(protocol, where), np.arange(len(rows))
    parts = sum(share > 0 for share in shares)
    if len(rows) < parts:
        raise UserError(f"{where}: {len(rows)} samples are too few for {parts} parts; add some")
    for trial in range(int(protocol.get("trials", _TRIALS))):
        part_of = draw_parts(codes, shares, (seed, "random_trials", trial))
        train, validation, test = (part_of == n for n in range(len(PARTS)))
        yield _Trial(trial, train, test, validation, codes)


def _split_cross_dataset(
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
