"""What the option ``loss`` of a head may say: names of losses, and weighted sums of them.

Imports no torch, so that a misspelt loss is found while planning.
"""

from __future__ import annotations

import re

from sfqa.errors import UserError, hint

#: The names of the losses of :mod:`sfqa.regression.losses`.
LOSS_NAMES = (
    "mae", "l1", "mse", "plcc", "plcc_fastvqa", "rank_fastvqa", "rank_simplevqa", "rank_aigcvqa",
    "fidelity",
)  # fmt: skip
_TERM = re.compile(
    r"(?:(?P<weight>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*\*?\s*)?(?P<name>[a-z]\w*)"
)
# A plus between two losses, not that of an exponent such as 1e+2.
_PLUS = re.compile(r"(?<![0-9.][eE])\+")


def read_loss_terms(text: str) -> dict[str, float]:
    """Return the weight of every loss in a text such as 'mae + 0.5 plcc'.

    Raises :class:`UserError` for a text that is not a sum of known losses.

    >>> read_loss_terms("mae + 0.5*plcc")
    {'mae': 1.0, 'plcc': 0.5}
    """
    weights: dict[str, float] = {}
    for part in _PLUS.split(text):
        term = _TERM.fullmatch(part.strip())
        if term is None:
            raise UserError(
                f"loss {text!r}: {part.strip()!r} is no loss with a weight; write it as "
                f"'mae + 0.5 plcc'; the losses are {', '.join(LOSS_NAMES)}"
            )
        name = term["name"]
        check_loss_name(name)
        weights[name] = weights.get(name, 0.0) + float(term["weight"] or 1)
    return weights


def check_loss_name(name: str) -> None:
    """Raise :class:`UserError` for the name of no loss, with the nearest one."""
    if name not in LOSS_NAMES:
        raise UserError(f"no loss is called {name!r}; {hint(name, LOSS_NAMES)}")
