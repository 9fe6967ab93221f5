"""Parameters of which the fast tiers try some and the thorough tier tries all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest


def mark_others_thorough(values: Sequence[Any], every: int) -> list[Any]:
    """Return the values, one or a tuple for each call, as parameters; all but every ``every``-th are marked ``thorough``.

    >>> [type(value).__name__ for value in mark_others_thorough("abcd", 3)]
    ['str', 'ParameterSet', 'ParameterSet', 'str']
    """
    parameters: list[Any] = []
    for number, value in enumerate(values):
        if number % every:
            parts = value if isinstance(value, tuple) else (value,)
            value = pytest.param(*parts, marks=pytest.mark.thorough)
        parameters.append(value)
    return parameters
