"""Heads, one file each: from features to predicted MOS. The name of a head is that of its file.

A file declares constants at its top, which are read without importing it:

``VERSION``
    a whole number, raised whenever the predictions change;
``OPTIONS``
    all options (:mod:`sfqa.options`); a network adds those of training with
    ``**training_options(...)`` (:mod:`sfqa.regression.training_options`);
``SELECTS``
    whether validation rows are needed to choose a model (default true); the option ``select: loo``
    or ``select: none`` needs none;
``DESIGN``
    what it reads: ``"pooled"``, one row of numbers per sample (default), or ``"blocks"``, a tensor
    per input;
``INPUTS``
    for blocks, which inputs it reads (:mod:`sfqa.regression.head_inputs`), so that a wrong one is
    an error before the first job (default: not checked);
``GPU``
    whether it can use a GPU (default true); a job of another head requests none;
``MULTI_OUTPUT``
    whether one model predicts all dimensions (default false: one model for each);
``PROBLEMS_PER_CALL``
    how many problems are fitted in one call at most; work lost when a run is killed is less than
    one call (default 0: all problems of a metric).

Below stands the class ``Head``, derived from one of three bases (:mod:`sfqa.regression.head`). A
head with the option ``fit_on_validation`` learns from the validation rows too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

import sfqa.training
from sfqa import plugins
from sfqa.arrays import Floats
from sfqa.plugins import PluginPackage
from sfqa.regression.head import ModelHead, RefittedHead
from sfqa.regression.problems import (
    Features,
    Problem,
    check_problems,
    count_rows,
    find_reason,
    get_blocks,
)
from sfqa.regression.training_options import TRAINING, drop_display_options

#: Key of the version of a network's training among the versions of heads.
TRAINING_VERSION = "training"
_TRAINER = Path(sfqa.training.__path__[0]) / "trainer.py"
#: All heads, by the names of their files.
HEADS = PluginPackage(
    __name__,
    Path(__file__).parent,
    "head",
    declaring=("sfqa.regression.training_options", "sfqa.regression.stage_options"),
)


def list_heads() -> list[str]:
    """Return the names of all heads.

    >>> {"mlp", "random_forest", "ridge"} <= set(list_heads())
    True
    """
    return HEADS.names()


def read_version(name: str) -> int:
    """Return a head's VERSION without importing it; raises :class:`UserError` for no head.

    >>> read_version("ridge") >= 1
    True
    """
    return HEADS.version(name)


def read_versions(name: str, options: Mapping[str, Any]) -> dict[str, int]:
    """Return the VERSION of a head, of the heads that it is made of, and of a network's training.

    >>> sorted(read_versions("blend", {"members": ["kernel", "boosting"]}))
    ['blend', 'boosting', 'kernel']
    >>> sorted(read_versions("mlp", {}))
    ['mlp', 'training']
    """
    versions = {head: read_version(head) for head in (name, *options.get("members", ()))}
    if is_network(name):
        versions[TRAINING_VERSION] = plugins.read_version(_TRAINER)
    return versions


def is_network(name: str) -> bool:
    """Return whether a head is a network: whether it has the options of training.

    >>> is_network("ugvq"), is_network("boosting")
    (True, False)
    """
    return HEADS.options(name).keys() >= TRAINING.keys()


def needs_validation(name: str, options: Mapping[str, Any] | None = None) -> bool:
    """Return whether a head needs validation rows; raises :class:`UserError` for no head.

    >>> needs_validation("mlp"), needs_validation("random_forest")
    (True, False)
    >>> needs_validation("kernel"), needs_validation("kernel", {"select": "validation"})
    (False, True)
    """
    select = merge_options(name, {}) | dict(options or {})
    return bool(HEADS.read(name, "SELECTS", True)) and select.get("select") not in ("loo", "none")


def read_design(name: str) -> str:
    """Return what a head reads: 'pooled', one row of numbers per sample, or 'blocks'.

    >>> read_design("ridge")
    'pooled'
    """
    return str(HEADS.read(name, "DESIGN", "pooled"))


def uses_gpu(name: str, options: Mapping[str, Any]) -> bool:
    """Return whether a head, or one of the heads that it is made of, can use a GPU.

    >>> uses_gpu("mlp", {}), uses_gpu("svr", {}), uses_gpu("blend", {"members": ["boosting"]})
    (True, False, False)
    """
    members = options.get("members") or merge_options(name, {}).get("members")
    return any(bool(HEADS.read(head, "GPU", True)) for head in members or [name])


def is_multi_output(name: str) -> bool:
    """Return whether one model of a head predicts all dimensions.

    >>> is_multi_output("ridge")
    False
    """
    return bool(HEADS.read(name, "MULTI_OUTPUT", False))


def read_problems_per_call(name: str) -> int:
    """Return how many problems a head gets in one call at most, 0 for all of a metric."""
    return int(HEADS.read(name, "PROBLEMS_PER_CALL", 0))


def merge_options(name: str, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return all options of a head: the given ones, else the defaults.

    Raises :class:`UserError` for no head, an unknown option and a value that is not allowed.

    >>> merge_options("random_forest", {"trees": 10})["trees"]
    10
    """
    return HEADS.merge_options(name, options or {}, f"head {name}, options")


def merge_number_options(name: str, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the options of :func:`merge_options` that the numbers of a head depend on."""
    return drop_display_options(merge_options(name, options))


def load_head(name: str) -> ModelHead | RefittedHead:
    """Import a head and return it; raises :class:`UserError` for an unknown name."""
    module = HEADS.load(name)
    return cast(ModelHead | RefittedHead, module.Head(name, module.VERSION))


def fit_and_predict(
    name: str,
    x: Features,
    problems: Sequence[Problem],
    options: Mapping[str, Any],
    work: Path,
    device: str,
) -> tuple[Floats, list[str]]:
    """Fit a head and return its predictions (problems, rows of x, dims) and its reasons.

    A problem that cannot be fitted has a reason, 'word: sentence', and NaN as its predictions.
    """
    head = load_head(name)
    if isinstance(head, ModelHead):
        models = head.fit(x, problems, options, work, device)
        return models.predict(x), list(models.reasons)
    check_problems(x, problems)
    predictions = np.full((len(problems), count_rows(x), problems[0].dims), np.nan)
    reasons = [find_reason(problem, needs_validation(name, options)) for problem in problems]
    matrix = get_blocks(x)["x"]
    for number, problem in enumerate(problems):
        if reasons[number]:
            continue
        train, validation = (
            rows[np.isfinite(problem.y[rows]).all(axis=1)]
            for rows in (problem.train, problem.validation)
        )
        groups = problem.groups
        if groups is not None:
            groups = groups[np.concatenate([train, validation])]
        predictions[number] = head.fit_predict(
            matrix[train], problem.y[train], matrix[validation], problem.y[validation], matrix,
            options, problem.seed, groups,
        )  # fmt: skip
    return predictions, reasons
