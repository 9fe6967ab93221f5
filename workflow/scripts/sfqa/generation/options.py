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

    def read(self, value: object, where: str) -> float:
        """Return a given value as a float; raise :class:`UserError` where it is none of these."""
        bad = isinstance(value, bool) or not isinstance(value, (int, float))
        if bad or not math.isfinite(float(value)):  # type: ignore[arg-type]
            raise UserError(f"{where} is {value!r}; give a number")
        number = float(value)  # type: ignore[arg-type]
        if not self.low <= number <= self.high:
            raise UserError(
                f"{where} is {value}; give a number from {self.low:g} to {self.high:g} "
                f"({self.meaning})"
            )
        if self.whole and number != round(number):
            raise UserError(f"{where} is {value}; give a whole number")
        return number


@dataclass(frozen=True)
class Text:
    """One option that is a text: its default, what it does, and the allowed ones (none: any)."""

    default: str
    meaning: str
    allowed: tuple[str, ...] = ()

    def read(self, value: object, where: str) -> str:
        """Return a given value; raise :class:`UserError` for no text or one that is not allowed."""
        if not isinstance(value, str) or "\n" in value:
            raise UserError(f"{where} is {value!r}; give a text on one line ({self.meaning})")
        if self.allowed and value not in self.allowed:
            raise UserError(f"{where}: unknown value {value!r}; {suggest(value, self.allowed)}")
        return value


def checked(
    given: Mapping[str, object], known: Mapping[str, Option | Text], where: str
) -> dict[str, float | str]:
    """Return the given options, numbers as floats, sorted by name.

    ``where`` names the place for messages. Raises :class:`UserError` for unknown names, values
    of the wrong kind, values out of range and broken numbers where whole ones are needed.

    >>> checked({"blur": 2}, {"blur": Option(0, 0, 9, "blur")}, "m.yaml, sharp")
    {'blur': 2.0}
    """
    result = {}
    for name in sorted(given, key=str):
        if name not in known:
            raise UserError(f"{where}: unknown option {name!r}; {suggest(name, known)}")
        result[str(name)] = known[name].read(given[name], f"{where}: option {name}")
    return result


def filled(
    given: Mapping[str, float | str], known: Mapping[str, Option] | Mapping[str, Option | Text]
) -> dict[str, float | str]:
    """Return a value for every known option: the given one, else the default.

    >>> filled({}, {"prompt": Text("A person sings.", "what is seen")})
    {'prompt': 'A person sings.'}
    """
    return {name: given.get(name, option.default) for name, option in known.items()}


def complete(given: Mapping[str, float | str], known: Mapping[str, Option]) -> dict[str, float]:
    """Return :func:`filled` for options that are all numbers.

    >>> complete({}, {"blur": Option(0, 0, 9, "blur")})
    {'blur': 0.0}
    """
    return {name: float(value) for name, value in filled(given, known).items()}
