"""How samples are split into train, validation and test: nothing leaks by default.

In k-fold and leave-one-method-out every row is a test row exactly once per repeat; the trials of
other kinds are drawn anew each time. The splits depend on the samples' names and labels and the
seed, never on the order of the rows or on who could be scored.
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
from sfqa.splits.drawing import Codes, Mask, carve, folds, portions
from sfqa.splits.grouping import assert_apart, chosen, largest, numbered, units, values

#: Version of the splits, with drawing.py and grouping.py.
VERSION = 1

TRAIN, VALIDATION, TEST = "train", "validation", "test"
PARTS = (TRAIN, VALIDATION, TEST)
#: The kind that trains nothing here: models of another dataset, tested on every row.
CROSS = "cross_dataset"
_KEYS = {
    "fixed": ("groups", "validation", "allow_shared"),
    "group_kfold": ("groups", "k", "repeats", "validation"),
    "random_kfold": ("k", "repeats", "validation"),
    "leave_one_method_out": ("validation",),
    "group_trials": ("groups", "trials", "parts"),
    "random_trials": ("trials", "parts"),
    CROSS: ("model", "dimensions", "allow_shared"),
}
KINDS = tuple(_KEYS)
#: The ratio of train, validation and test rows (UGVQ, section 6.1.1), and the trials drawn by it.
_RATIO, _TRIALS = (7.0, 1.0, 2.0), 10
#: Crossed groups may leave a small part without a row by bad luck: so often is it drawn again.
_DRAWS = 50


@dataclass(frozen=True)
class Split:
    """One trial of a protocol: the part of every sample that takes part in it."""

    protocol: str
    trial: int
    part: dict[str, str]


def make_splits(samples: pd.DataFrame, protocol: Mapping[str, Any], seed: int) -> list[Split]:
    """Return the trials of a protocol over samples (columns of tables.SAMPLES).

    Keys of ``protocol``: ``name``, ``kind`` and

    - ``fixed``: the dataset's own split, its ``val`` being our test; one trial. ``allow_shared``
      accepts a published split whose sides share an image, clip or prompt.
    - ``group_kfold``: ``k`` folds (5) of the ``groups`` (image, clip, prompt, method; default: all
      of image, clip, prompt that tell samples apart). A group nested in another (each image with
      clips of its own) needs no folds of its own. For g crossed groups there are k**g trials, one
      per cell of folds; rows that share a value with the test cell are left out of train.
    - ``random_kfold``: ``k`` folds of rows, the field's optimistic protocol.
    - ``leave_one_method_out``: one trial per method.
    - ``group_trials``: ``trials`` (10) partitions, each drawn anew, of the values of the ``groups``
      (as above) into ``parts``, the ratio train : validation : test of their rows ([7, 1, 2]). For
      crossed groups each is dealt out by itself, and a row belongs to a part when all its values
      do; the others are left out, so that a part of share p keeps about p**g of the rows.
    - ``random_trials``: the same with single rows, e.g. 100 trials of 80 : 20 (parts [8, 0, 2]).
    - ``cross_dataset``: one trial, every row a test row of the models below ``model``, the results
      folder of another dataset; ``dimensions`` maps a dimension of this one to that one's name,
      ``allow_shared`` tests samples whose image, clip or prompt the models have learnt from too.

    ``repeats`` (1) repeats k-fold with new folds. ``validation`` (.15) is the share of train rows
    carved out for model selection, by the same grouping (for crossed groups by the group of most
    values alone, else little would be left); 0 is none, as is a 0 in ``parts``. Raises
    :class:`UserError` where the samples do not allow the protocol.
    """
    where = _where(protocol)
    kind, share = _checked(protocol, where)
    if samples["sample_id"].duplicated().any():
        twice = samples.loc[samples["sample_id"].duplicated(), "sample_id"].iloc[0]
        raise UserError(f"{where}: the sample {twice!r} is there twice; keep one")
    rows = samples.sort_values("sample_id", ignore_index=True)
    if rows.empty:
        raise UserError(f"{where}: there are no samples to split")
    trials = {
        "fixed": _fixed,
        "group_kfold": _group_kfold,
        "random_kfold": _random_kfold,
        "leave_one_method_out": _leave_one_method_out,
        "group_trials": _group_trials,
        "random_trials": _random_trials,
        CROSS: _cross_dataset,
    }[kind](rows, protocol, seed, where)
    ids = rows["sample_id"].to_numpy(object)
    splits = []
    for trial, train, test, validation, unit in trials:
        if validation is None:
            seeds = (seed, kind, "validation", trial)
            validation = carve(train, unit, share, seeds, where)
        part = {
            **dict.fromkeys(ids[train & ~validation], TRAIN),
            **dict.fromkeys(ids[validation], VALIDATION),
            **dict.fromkeys(ids[test], TEST),
        }
        splits.append(Split(str(protocol["name"]), trial, part))
    return splits


def validation_share(protocol: Mapping[str, Any]) -> float:
    """Return the share of rows to select models on: of train, or of all where parts are given.

    Raises :class:`UserError` for a protocol that is none.

    >>> validation_share({"name": "t", "kind": "random_trials", "parts": [7, 1, 2]})
    0.1
    """
    return _checked(protocol, _where(protocol))[1]


class _Trial(NamedTuple):
    """The rows of one trial; without ``validation``, it is carved out of train by ``unit``."""

    number: int
    train: Mask
    test: Mask
    validation: Mask | None
    unit: Codes


def _where(protocol: Mapping[str, Any]) -> str:
    return f"config, regression.protocols {protocol.get('name')!r}"


def _checked(protocol: Mapping[str, Any], where: str) -> tuple[str, float]:
    kind = protocol.get("kind")
    if kind not in _KEYS:
        raise UserError(f"{where}: no kind {kind!r}; {hint(kind, KINDS)}")
    for key in protocol:
        if key not in ("name", "kind", *_KEYS[kind]):
            raise UserError(
                f"{where}: unknown key {key!r}; kind {kind} has {', '.join(_KEYS[kind])}"
            )
    if kind == CROSS:
        _check_cross(protocol, where)
    share = protocol.get("validation", 0.0 if kind == CROSS else 0.15)
    if not isinstance(share, (int, float)) or not 0 <= share < 1:
        raise UserError(f"{where}, validation: {share!r}; write a share from 0 to below 1")
    for key, least in (("k", 2), ("repeats", 1), ("trials", 1)):
        value = protocol.get(key, least)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise UserError(f"{where}, {key}: {value!r}; write a whole number, {least} or more")
    if "parts" in _KEYS[kind]:
        shares = _shares(protocol, where)
        share = shares[PARTS.index(VALIDATION)] / sum(shares)
    return str(kind), float(share)


def _check_cross(protocol: Mapping[str, Any], where: str) -> None:
    model, names = protocol.get("model"), protocol.get("dimensions", {})
    if not isinstance(model, str) or not model:
        raise UserError(
            f"{where}, model: {model!r}; write the results folder of the dataset whose models are "
            "tested here, as results/thqa"
        )
    if not isinstance(names, Mapping) or not all(isinstance(v, str) for v in names.values()):
        raise UserError(
            f"{where}, dimensions: {names!r}; write what each dimension is called there, as "
            "{visual_quality: quality}"
        )


def _shares(protocol: Mapping[str, Any], where: str) -> tuple[float, ...]:
    """The ratio train : validation : test."""
    given = protocol.get("parts", _RATIO)
    fine = isinstance(given, (list, tuple)) and len(given) == len(PARTS)
    fine = fine and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in given)
    if not fine or not all(math.isfinite(v) and v >= 0 for v in given):
        raise UserError(
            f"{where}, parts: {given!r}; write three numbers, 0 or more, for train, validation "
            "and test, as [7, 1, 2]"
        )
    if not given[0] or not given[2]:
        raise UserError(f"{where}, parts: {list(given)!r}; only the second, validation, may be 0")
    return tuple(float(v) for v in given)


def _fixed(
    rows: pd.DataFrame, protocol: Mapping[str, Any], seed: int, where: str
) -> Iterator[_Trial]:
    side = rows["split"] if "split" in rows else pd.Series([None] * len(rows))
    train, test = (side == "train").to_numpy(bool), (side == "val").to_numpy(bool)
    if not train.any() or not test.any():
        raise UserError(
            f"{where}: {int(train.sum())} samples have the split 'train' and {int(test.sum())} "
            "'val'; both are needed: fill the column split, or use kind group_kfold"
        )
    groups = chosen(rows, protocol, where)
    if not protocol.get("allow_shared", False):
        for group in groups:
            column = values(rows, group)
            both = sorted(set(column[train].dropna()) & set(column[test].dropna()))
            if both:
                raise UserError(
                    f"{where}: the {group} {both[0]!r} ({len(both)} in all) is in train and in "
                    "val; use kind group_kfold, or say allow_shared: true to keep this split"
                )
    codes = units(rows, groups, where)
    yield _Trial(0, train, test, None, largest(codes) if codes else np.arange(len(rows)))


def _group_kfold(
    rows: pd.DataFrame, protocol: Mapping[str, Any], seed: int, where: str
) -> Iterator[_Trial]:
    groups, codes = _grouped(rows, protocol, where, "random_kfold")
    k = int(protocol.get("k", 5))
    for name, code in codes.items():
        if code.max() + 1 < k:
            raise UserError(
                f"{where}: {int(code.max()) + 1} different values of {name} are too few for "
                f"{k} folds; choose a smaller k or other groups"
            )
    cells = list(itertools.product(range(k), repeat=len(codes)))
    for repeat in range(int(protocol.get("repeats", 1))):
        drawn = np.stack(
            [folds(code, k, (seed, "group_kfold", n, repeat)) for n, code in codes.items()]
        )
        for number, cell in enumerate(cells):
            same = drawn == np.array(cell)[:, None]
            train, test = ~same.any(axis=0), same.all(axis=0)
            if not test.any():
                continue  # in a sparse design no row may have this pair of folds
            if not train.any():
                raise UserError(
                    f"{where}: trial {number} is left without train rows; choose a larger k, "
                    "or fewer groups"
                )
            assert_apart(rows, groups, train, test)
            yield _Trial(repeat * len(cells) + number, train, test, None, largest(codes))


def _random_kfold(
    rows: pd.DataFrame, protocol: Mapping[str, Any], seed: int, where: str
) -> Iterator[_Trial]:
    k, unit = int(protocol.get("k", 5)), np.arange(len(rows))
    if len(rows) < k:
        raise UserError(f"{where}: {len(rows)} samples are too few for {k} folds; lower k")
    for repeat in range(int(protocol.get("repeats", 1))):
        drawn = folds(unit, k, (seed, "random_kfold", repeat))
        for fold in range(k):
            yield _Trial(repeat * k + fold, drawn != fold, drawn == fold, None, unit)


def _leave_one_method_out(
    rows: pd.DataFrame, protocol: Mapping[str, Any], seed: int, where: str
) -> Iterator[_Trial]:
    unit, names = numbered(rows["method"])
    if len(names) < 3:
        raise UserError(
            f"{where}: {len(names)} methods are too few, one each is needed for train, validation "
            "and test; add methods or leave this protocol out"
        )
    for number in range(len(names)):
        yield _Trial(number, unit != number, unit == number, None, unit)


def _group_trials(
    rows: pd.DataFrame, protocol: Mapping[str, Any], seed: int, where: str
) -> Iterator[_Trial]:
    groups, codes = _grouped(rows, protocol, where, "random_trials")
    shares = _shares(protocol, where)
    wanted = [n for n, share in enumerate(shares) if share > 0]
    for name, code in codes.items():
        if code.max() + 1 < len(wanted):
            raise UserError(
                f"{where}: {int(code.max()) + 1} different values of {name} are too few for "
                f"{len(wanted)} parts; choose other groups"
            )
    for trial in range(int(protocol.get("trials", _TRIALS))):
        for draw in range(_DRAWS):
            drawn = np.stack(
                [
                    portions(code, shares, (seed, "group_trials", name, trial, draw))
                    for name, code in codes.items()
                ]
            )
            train, validation, test = masks = [(drawn == n).all(axis=0) for n in range(len(PARTS))]
            empty = [PARTS[n] for n in wanted if not masks[n].any()]
            if not empty:
                break
        else:
            raise UserError(
                f"{where}: trial {trial} is left without {empty[0]} rows, in {_DRAWS} draws; "
                "choose fewer groups, or larger parts"
            )
        for one, other in itertools.combinations(masks, 2):
            assert_apart(rows, groups, one, other)
        yield _Trial(trial, train, test, validation, largest(codes))


def _random_trials(
    rows: pd.DataFrame, protocol: Mapping[str, Any], seed: int, where: str
) -> Iterator[_Trial]:
    shares, unit = _shares(protocol, where), np.arange(len(rows))
    parts = sum(share > 0 for share in shares)
    if len(rows) < parts:
        raise UserError(f"{where}: {len(rows)} samples are too few for {parts} parts; add some")
    for trial in range(int(protocol.get("trials", _TRIALS))):
        drawn = portions(unit, shares, (seed, "random_trials", trial))
        train, validation, test = (drawn == n for n in range(len(PARTS)))
        yield _Trial(trial, train, test, validation, unit)


def _cross_dataset(
    rows: pd.DataFrame, protocol: Mapping[str, Any], seed: int, where: str
) -> Iterator[_Trial]:
    none, unit = np.zeros(len(rows), bool), np.arange(len(rows))
    yield _Trial(0, none, ~none, none, unit)


def _grouped(
    rows: pd.DataFrame, protocol: Mapping[str, Any], where: str, other: str
) -> tuple[list[str], dict[str, Codes]]:
    """The groups and their codes; ``other`` is the kind that needs no groups."""
    groups = chosen(rows, protocol, where)
    if not groups:
        raise UserError(
            f"{where}: the samples have no image, clip or prompt to group by; fill these columns, "
            f"or use kind {other}"
        )
    return groups, units(rows, groups, where)
