"""Heads: what turns a design matrix into predictions. One file each; the name is the file's.

A head's module holds ``VERSION``, a literal integer raised whenever the numbers change;
``OPTIONS``, a literal dictionary of all options with their defaults; ``SELECTS``, whether it needs
validation rows to choose a model; and

``fit_predict(x_train, y_train, x_val, y_val, x_all, options, seed, work, device)``

which returns float64 predictions of shape (rows of x_all, dims). x is float32 (rows, features)
without NaN, y float64 (rows, dims). It sees test rows in x_all only. ``work`` is a folder for
its checkpoints, ``device`` 'cpu' or 'cuda:N'. A head with ``fit_on_validation: true`` among its
options selects nothing on the validation rows and trains on them too.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sfqa.errors import UserError, hint

Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]

_FOLDER = Path(__file__).parent


class Head(Protocol):
    """The contract of a head's module, see above."""

    VERSION: int
    OPTIONS: dict[str, Any]
    SELECTS: bool

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

    >>> names()
    ['mlp', 'random_forest', 'ridge']
    """
    return sorted(p.stem for p in _FOLDER.glob("[a-z]*.py"))


@cache
def _literals(name: str) -> dict[str, Any]:
    """VERSION, OPTIONS, SELECTS of a head, read without importing it: planning needs no torch."""
    if name not in names():
        raise UserError(f"no head is called {name!r}; {hint(name, names())}")
    found = {}
    for node in ast.parse((_FOLDER / f"{name}.py").read_text()).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and target.id in ("VERSION", "OPTIONS", "SELECTS"):
            found[target.id] = ast.literal_eval(value)  # type: ignore[arg-type]
    return found


def version(name: str) -> int:
    """Return a head's VERSION without importing it; raises :class:`UserError` for no head.

    >>> version("ridge") >= 1
    True
    """
    return int(_literals(name)["VERSION"])


def selects(name: str) -> bool:
    """Return whether a head needs validation rows; raises :class:`UserError` for no head.

    >>> selects("mlp"), selects("random_forest")
    (True, False)
    """
    return bool(_literals(name)["SELECTS"])


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
