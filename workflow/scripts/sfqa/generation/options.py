"""The options that an adapter understands: range, default, meaning; and their check."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sfqa.errors import UserError
from sfqa.generation.words import suggest


@dataclass(frozen=True)
class Option:
    """One numeric option: its default (the neutral value), its range and what it does."""

    default: float
    low: float
    high: float
    meaning: str
    whole: bool = False


def checked(
    given: Mapping[str, object], known: Mapping[str, Option], where: str
) -> dict[str, float]:
    """Return the given options as floats, sorted by name.

    ``where`` names the place for messages. Raises :class:`UserError` for unknown names, values
    that are no numbers, values out of range and broken numbers where whole ones are needed.

    >>> checked({"blur": 2}, {"blur": Option(0, 0, 9, "blur")}, "m.yaml, sharp")
    {'blur': 2.0}
    """
    result = {}
    for name in sorted(given, key=str):
        value = given[name]
        if name not in known:
            raise UserError(f"{where}: unknown option {name!r}; {suggest(name, known)}")
        option = known[name]
        bad = isinstance(value, bool) or not isinstance(value, (int, float))
        if bad or not math.isfinite(float(value)):  # type: ignore[arg-type]
            raise UserError(f"{where}: option {name} is {value!r}; give a number")
        number = float(value)  # type: ignore[arg-type]
        if not option.low <= number <= option.high:
            raise UserError(
                f"{where}: option {name} is {value}; give a number from {option.low:g} to "
                f"{option.high:g} ({option.meaning})"
            )
        if option.whole and number != round(number):
            raise UserError(f"{where}: option {name} is {value}; give a whole number")
        result[str(name)] = number
    return result


def complete(given: Mapping[str, float], known: Mapping[str, Option]) -> dict[str, float]:
    """Return a value for every known option: the given one, else the default.

    >>> complete({}, {"blur": Option(0, 0, 9, "blur")})
    {'blur': 0}
    """
    return {name: given.get(name, option.default) for name, option in known.items()}
