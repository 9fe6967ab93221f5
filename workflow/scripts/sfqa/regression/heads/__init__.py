"""Heads: what turns a design into predictions. One file each; the name is the file's.

A head's module holds literals: ``VERSION``, an integer raised whenever the numbers change;
``OPTIONS``, a dictionary of all options with their defaults; ``SELECTS``, whether it needs
validation rows to choose a model (an option ``select: loo`` or ``none`` needs none). It may hold
``DESIGN`` ('pooled', a matrix, or 'blocks', a dictionary of them; default pooled),
``MULTI_OUTPUT`` (one model for all dimensions; default false), ``TOGETHER`` (how many problems a
call gets at most; default all of a metric) and one of two functions:

``fit_many(x, problems, options, work, device) -> Models``
    fits all problems (:mod:`sfqa.regression.problems`) over the rows they share, as one batch. Its
    module also has ``restore(states, options, device) -> Models`` for model files.
``fit_predict(x_train, y_train, x_val, y_val, x_all, options, seed, work, device)``
    fits one problem and returns float64 predictions (rows of x_all, dims). x is float32 (rows,
    features), y float64 (rows, dims) without NaN.

Neither sees a test MOS. ``work`` is a folder for checkpoints, ``device`` 'cpu' or 'cuda:N'. A head
with ``fit_on_validation: true`` among its options selects nothing on the validation rows and
trains on them too.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sfqa.errors import UserError, hint
from sfqa.regression import problems as many
from sfqa.regression.problems import Features, Floats, Matrix, Models, Problem

__all__ = ["Features", "Floats", "Head", "Matrix", "Models", "Problem"]

_FOLDER = Path(__file__).parent


_LITERALS = ("VERSION", "OPTIONS", "SELECTS", "DESIGN", "MULTI_OUTPUT", "TOGETHER")


class Head(Protocol):
    """The contract of a head's module, see above; it has one of the two functions."""

    VERSION: int
    OPTIONS: dict[str, Any]
    SELECTS: bool

    @staticmethod
    def fit_many(
        x: Features,
        problems: Sequence[Problem],
        options: Mapping[str, Any],
        work: Path,
        device: str,
    ) -> Models:
        """Fit all problems as one batch."""

    @staticmethod
    def restore(
        states: Sequence[Mapping[str, Any]], options: Mapping[str, Any], device: str
    ) -> Models:
        """Return the models of model files."""

    @staticmethod
    def fit_predict(
        x_train: Matrix,
        y_train: Floats,
        x_val: Matrix,
        y_val: Floats,
        x_all: Matrix,
        options: Mapping[str, Any],
        seed: int,
        work: Path,
        device: str,
    ) -> Floats:
        """Fit on train, select on validation, predict all."""


def names() -> list[str]:
    """Return the names of all heads.

    >>> {"mlp", "random_forest", "ridge"} <= set(names())
    True
    """
    files = _FOLDER.glob("[a-z]*.py")
    return sorted(p.stem for p in files if "\nOPTIONS" in p.read_text(encoding="utf-8"))


@cache
def _literals(name: str) -> dict[str, Any]:
    """The literals of a head, read without importing it: planning needs no torch."""
    if name not in names():
        raise UserError(f"no head is called {name!r}; {hint(name, names())}")
    found = {}
    for node in ast.parse((_FOLDER / f"{name}.py").read_text()).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and target.id in _LITERALS:
            found[target.id] = ast.literal_eval(value)  # type: ignore[arg-type]
    return found


def version(name: str) -> int:
    """Return a head's VERSION without importing it; raises :class:`UserError` for no head.

    >>> version("ridge") >= 1
    True
    """
    return int(_literals(name)["VERSION"])


def versions(name: str, options: Mapping[str, Any]) -> dict[str, int]:
    """Return the VERSION of a head, and of the heads that it is made of, by their names.

    >>> sorted(versions("blend", {"members": ["kernel", "boosting"]}))
    ['blend', 'boosting', 'kernel']
    """
    return {one: version(one) for one in (name, *options.get("members", ()))}


def selects(name: str, options: Mapping[str, Any] | None = None) -> bool:
    """Return whether a head needs validation rows; raises :class:`UserError` for no head.

    >>> selects("mlp"), selects("random_forest"), selects("kernel", {"select": "validation"})
    (True, False, True)
    """
    known = _literals(name)
    how = {**known["OPTIONS"], **(options or {})}.get("select")
    return bool(known["SELECTS"]) and how not in ("loo", "none")


def design(name: str) -> str:
    """Return what a head takes: 'pooled', one row of numbers per sample, or 'blocks'.

    >>> design("ridge")
    'pooled'
    """
    return str(_literals(name).get("DESIGN", "pooled"))


def multi_output(name: str) -> bool:
    """Return whether a head learns all dimensions together, in one model.

    >>> multi_output("ridge")
    False
    """
    return bool(_literals(name).get("MULTI_OUTPUT", False))


def together(name: str) -> int:
    """Return how many problems a head gets in one call at most, 0 for all there are."""
    return int(_literals(name).get("TOGETHER", 0))


def merged_options(name: str, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a head's defaults overlaid with the given options, types checked.

    Raises :class:`UserError` for options that the head does not have or of another type.

    >>> merged_options("random_forest", {"trees": 10})["trees"]
    10
    """
    defaults = dict(_literals(name)["OPTIONS"])
    for key, value in (options or {}).items():
        if key not in defaults:
            raise UserError(f"head {name}: no option {key!r}; {hint(key, defaults, 'it has')}")
        if not _fits(value, defaults[key]):
            how = " (write 1.0e-4: YAML takes 1e-4 for text)" if isinstance(value, str) else ""
            raise UserError(
                f"head {name}, option {key}: {value!r} is not like {defaults[key]!r}; "
                f"correct it{how}"
            )
    return defaults | dict(options or {})


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if default is None:  # a limit: none, or a whole number
        return value is None or isinstance(value, int)
    if isinstance(default, float):
        return isinstance(value, (int, float))
    if isinstance(default, list):
        inner = default[0] if default else 0.0
        return isinstance(value, list) and all(_fits(v, inner) for v in value)
    return isinstance(value, type(default))


def load(name: str) -> Head:
    """Import a head and return its module; raises :class:`UserError` for an unknown name."""
    _literals(name)
    return import_module(f"sfqa.regression.heads.{name}")  # type: ignore[return-value]


def predictions(
    name: str,
    x: Features,
    problems: Sequence[Problem],
    options: Mapping[str, Any],
    work: Path,
    device: str,
) -> tuple[Floats, list[str]]:
    """Return predictions (problems, rows of x, dims) of a head of either kind, and its reasons.

    Problems that a head cannot fit have a reason, 'word: sentence', and predict NaN.
    """
    module = load(name)
    if hasattr(module, "fit_many"):
        models = module.fit_many(x, problems, options, work, device)
        return models.predict(x), list(models.reasons)
    many.checked(x, problems)
    out = np.full((len(problems), many.count(x), problems[0].dims), np.nan)
    reasons = [many.why_not(p, selects(name, options)) for p in problems]
    matrix = many.blocks(x)["x"]
    for n, one in enumerate(problems):
        if reasons[n]:
            continue
        train, validation = (
            rows[np.isfinite(one.y[rows]).all(axis=1)] for rows in (one.train, one.validation)
        )
        out[n] = module.fit_predict(
            matrix[train], one.y[train], matrix[validation], one.y[validation], matrix,
            options, one.seed, work, device,
        )  # fmt: skip
    return out, reasons
