"""The options that a plug-in declares: default, allowed values and meaning of each, in one place.

An extractor, a head and a generation adapter each declare ``OPTIONS``, a dictionary from the name
of an option to one of the classes below. From it the configuration is checked before any job runs,
and defaults are filled in.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from sfqa.errors import UserError, hint
from sfqa.model_names import has_model, list_models


class DeclaredOption(ABC):
    """What all kinds of options have: a default value, and what the option does."""

    default: Any
    meaning: str

    @property
    @abstractmethod
    def allowed(self) -> str:
        """The allowed values in words, such as 'a number from 0 to 1'."""

    @abstractmethod
    def read(self, value: object) -> Any:
        """Return a value from the configuration; raises ``ValueError`` if it is not allowed."""


#: What a plug-in declares: its options by name.
Options: TypeAlias = Mapping[str, DeclaredOption]


@dataclass(frozen=True)
class Option(DeclaredOption):
    """A number from ``low`` to ``high`` (None: no limit); ``whole`` if it has no fraction.

    If the default is None, the value may be null.

    >>> Option(25, 1, 200, "denoising steps", whole=True).read(30.0)
    30
    """

    default: float | None
    low: float | None
    high: float | None
    meaning: str
    whole: bool = False

    @property
    def allowed(self) -> str:
        """The range in words."""
        number = "a whole number" if self.whole else "a number"
        null = ", or null" if self.default is None else ""
        return f"{number}{_range_in_words(self.low, self.high)}{null}"

    def read(self, value: object) -> Any:
        """Return the number, a whole one as int; raises ``ValueError``."""
        if value is None and self.default is None:
            return None
        return _read_number(value, self.low, self.high, self.whole)


@dataclass(frozen=True)
class Choice(DeclaredOption):
    """One of a few values, texts or numbers."""

    default: str | int
    choices: tuple[str | int, ...]
    meaning: str

    @property
    def allowed(self) -> str:
        """The choices in words."""
        return " or ".join(map(str, self.choices))

    def read(self, value: object) -> Any:
        """Return the value; raises ``ValueError`` if it is not one of the choices."""
        for choice in self.choices:
            if type(value) is type(choice) and value == choice:
                return choice
        raise ValueError(value)


@dataclass(frozen=True)
class Text(DeclaredOption):
    """Any text; on one line unless ``one_line`` is false."""

    default: str
    meaning: str
    one_line: bool = True

    @property
    def allowed(self) -> str:
        """What the text may be, in words."""
        return "a text on one line" if self.one_line else "a text"

    def read(self, value: object) -> str:
        """Return the text; raises ``ValueError``."""
        if not isinstance(value, str) or (self.one_line and "\n" in value):
            raise ValueError(value)
        return value


@dataclass(frozen=True)
class Template(DeclaredOption):
    """A text on one line with places in braces, each of which occurs once.

    >>> Template("{a} of {b}", ("a", "b"), "the answer").read("b: {b}, a: {a}")
    'b: {b}, a: {a}'
    """

    default: str
    places: tuple[str, ...]
    meaning: str

    @property
    def allowed(self) -> str:
        """What the text may be, in words."""
        places = " and ".join(f"{{{place}}}" for place in self.places)
        return f"a text on one line that has {places} once, apart from each other"

    def read(self, value: object) -> str:
        """Return the text; raises ``ValueError`` for other places or the same one twice."""
        if not isinstance(value, str) or "\n" in value:
            raise ValueError(value)
        if sorted(re.findall(r"\{([^{}]*)\}", value)) != sorted(self.places) or "}{" in value:
            raise ValueError(value)
        return value


@dataclass(frozen=True)
class ModelName(DeclaredOption):
    """The name of a model of a library, timm or open_clip.

    A name of timm may have the tag of its weights.

    >>> ModelName("convnext_tiny", "timm", "the backbone").read("regnety_160.swag_ft_in1k")
    'regnety_160.swag_ft_in1k'
    """

    default: str
    library: str
    meaning: str

    @property
    def allowed(self) -> str:
        """What the name may be, in words."""
        return f"a name that {self.library} has, such as {self.default}"

    def read(self, value: object) -> str:
        """Return the name; raises ``ValueError`` if the library has no model of this name."""
        if not isinstance(value, str) or not has_model(self.library, value):
            raise ValueError(value)
        return value


@dataclass(frozen=True)
class Flag(DeclaredOption):
    """True or false."""

    default: bool
    meaning: str

    @property
    def allowed(self) -> str:
        """Both values in words."""
        return "true or false"

    def read(self, value: object) -> bool:
        """Return the truth value; raises ``ValueError`` for anything else, also for 0 and 1."""
        if not isinstance(value, bool):
            raise ValueError(value)
        return value


@dataclass(frozen=True)
class Numbers(DeclaredOption):
    """A list of numbers, each from ``low`` to ``high`` (None: no limit)."""

    default: list[float]
    low: float | None
    high: float | None
    meaning: str
    whole: bool = False

    @property
    def allowed(self) -> str:
        """The range in words."""
        numbers = "a list of whole numbers" if self.whole else "a list of numbers"
        return f"{numbers}{_range_in_words(self.low, self.high)}"

    def read(self, value: object) -> list[float]:
        """Return the numbers; raises ``ValueError`` if one of them is not allowed."""
        if not isinstance(value, list):
            raise ValueError(value)
        return [_read_number(number, self.low, self.high, self.whole) for number in value]


@dataclass(frozen=True)
class Names(DeclaredOption):
    """A list of names."""

    default: list[str]
    meaning: str

    @property
    def allowed(self) -> str:
        """What the list may hold, in words."""
        return "a list of names"

    def read(self, value: object) -> list[str]:
        """Return the names; raises ``ValueError`` if one of them is not a text."""
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise ValueError(value)
        return value


@dataclass(frozen=True)
class Settings(DeclaredOption):
    """Keys with values, which the plug-in checks itself."""

    default: dict[str, Any]
    meaning: str

    @property
    def allowed(self) -> str:
        """What it may be, in words."""
        return "keys with values"

    def read(self, value: object) -> dict[str, Any]:
        """Return the keys with their values; raises ``ValueError`` for anything else."""
        if not isinstance(value, dict):
            raise ValueError(value)
        return value


def check_options(options: Mapping[str, Any], declared: Options, where: str) -> dict[str, Any]:
    """Return the options as read from the configuration, without the defaults of the others.

    ``where`` names their place in messages. Raises :class:`UserError` for an option that is not
    declared and for a value that is not allowed.

    >>> check_options({"blur": 11}, {"blur": Option(0, 0, 9, "blur in pixels")}, "m.yaml, options")
    Traceback (most recent call last):
    ...
    sfqa.errors.UserError: m.yaml, options.blur is 11; give a number from 0 to 9 (blur in pixels)
    """
    checked = {}
    for name, value in options.items():
        if name not in declared:
            raise UserError(f"{where}: no option {name!r}; {hint(name, declared, 'it has')}")
        option = declared[name]
        try:
            checked[name] = option.read(value)
        except ValueError as error:
            raise UserError(
                f"{where}.{name} is {value!r}; give {option.allowed} ({option.meaning})"
                f"{_remedy(value, option)}"
            ) from error
    return checked


def fill_defaults(options: Mapping[str, Any], declared: Options) -> dict[str, Any]:
    """Return a value for every declared option, in their order: the given one or the default.

    >>> fill_defaults({}, {"prompt": Text("A person sings.", "what is seen")})
    {'prompt': 'A person sings.'}
    """
    return {name: options.get(name, option.default) for name, option in declared.items()}


def merge_options(options: Mapping[str, Any], declared: Options, where: str) -> dict[str, Any]:
    """Return a value for every declared option; raises as :func:`check_options`.

    >>> merge_options({"count": 3}, {"count": Option(8, 1, None, "frames", whole=True)}, "clip")
    {'count': 3}
    """
    return fill_defaults(check_options(options, declared, where), declared)


def convert_texts(options: Mapping[str, Any], declared: Options) -> dict[str, Any]:
    """Return the options, with numbers and truth values instead of texts where these are declared.

    On Snakemake's command line everything inside braces is text: ``--config 'features={clip:
    {weights: random, options: {frames: 4}}}'``. Texts that are no such value stay.

    >>> convert_texts({"frames": "4"}, {"frames": Option(8, 1, None, "key frames", whole=True)})
    {'frames': 4}
    """
    import yaml  # here, because the command line's help must not wait for it

    converted = dict(options)
    for name, value in options.items():
        if isinstance(value, str) and isinstance(declared.get(name), (Option, Flag)):
            import yaml  # only here: `sfqa --help` answers without it

            plain = yaml.safe_load(value) if value.strip() else value
            converted[name] = plain if isinstance(plain, int | float) else value
    return converted


def _remedy(value: object, option: DeclaredOption) -> str:
    """The end of the sentence on a wrong value: what was probably meant, '' if unknown."""
    if isinstance(value, str) and isinstance(option, (Option, Numbers)):
        return "; write it without quotes, and 1e-4 as 1.0e-4"
    if isinstance(option, (Choice, ModelName)):
        names = option.choices if isinstance(option, Choice) else list_models(option.library)
        nearest = hint(value, sorted(map(str, names)))
        return f"; {nearest}" if nearest.startswith("did you mean") else ""
    return ""


def _read_number(value: object, low: float | None, high: float | None, whole: bool) -> float:
    """The number if it is in the range, else ``ValueError``."""
    # YAML's true is a Python int as well; only NaN differs from itself.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        raise ValueError(value)
    if (low is not None and value < low) or (high is not None and value > high):
        raise ValueError(value)
    if not whole:
        return value
    if math.isinf(value) or value != int(value):
        raise ValueError(value)
    return int(value)


def _range_in_words(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    if low is not None:
        return f" of at least {low:g}"
    return "" if high is None else f" of at most {high:g}"
