"""Split names of columns, such as video1_quality, into a rater or sample and a dimension."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from sfqa.errors import UserError

#: The rater or sample, and the dimension, of each column.
_Labels = dict[str, tuple[str, str]]


def parse_column_names(
    path: Path, columns: Sequence[str], pattern: str, role: str, dimensions: Sequence[str] = ()
) -> dict[str, tuple[str, str]]:
    """Return the rater or sample and the dimension of each column by its name.

    ``pattern`` holds ``{dimension}`` and ``{rater}`` or ``{sample}``, which is ``role``. A rater's
    name is as short as possible. A sample's name is such that every sample has every dimension.
    ``dimensions`` lists the dimensions, if names can be read in several ways. Raises
    :class:`UserError` for a name that does not match and for one that can be read in several ways.

    >>> names = ["v_1_visual_quality", "v_1_sync", "v_2_visual_quality", "v_2_sync"]
    >>> parse_column_names(Path("t.csv"), names, "{sample}_{dimension}", "sample")["v_1_sync"]
    ('v_1', 'sync')
    """
    if any(pattern.count(part) != 1 for part in (f"{{{role}}}", "{dimension}")):
        raise UserError(
            f"ratings source {path}: columns_are {pattern!r} needs {{{role}}} and {{dimension}} "
            "once"
        )
    splits = {name: _split_name(name, pattern, role) for name in columns}
    if dimensions:
        known_dimensions = {str(name) for name in dimensions}
        splits = {
            name: [split for split in options if split[1] in known_dimensions]
            for name, options in splits.items()
        }
    for name, options in splits.items():
        if not options:
            end = f" with one of the dimensions {', '.join(dimensions)}" if dimensions else ""
            raise UserError(
                f"{path}, row 1: the column {name!r} does not match {pattern!r}{end}; rename it, "
                "or list it in 'ignore'"
            )
    if role == "rater":
        return {name: min(options, key=lambda s: len(s[0])) for name, options in splits.items()}
    if all(len(options) == 1 for options in splits.values()):
        return {name: options[0] for name, options in splits.items()}
    readings = _find_grids(splits)
    if len(readings) != 1:
        name = next(name for name, options in splits.items() if len(options) > 1)
        examples = " or ".join(repr(dimension) for _, dimension in splits[name][:3])
        raise UserError(
            f"{path}, row 1: the dimension of the column {name!r} may be {examples}; list the "
            "dimensions in 'dimensions' (sfqa mos: --dimensions)"
        )
    return readings[0]


def _split_name(name: str, pattern: str, role: str) -> list[tuple[str, str]]:
    """Return every way to split a name into a rater or sample and a dimension."""
    first, second = sorted((role, "dimension"), key=lambda part: pattern.index(f"{{{part}}}"))
    start, rest = pattern.split(f"{{{first}}}")
    middle, end = rest.split(f"{{{second}}}")
    if not name.startswith(start) or not name.endswith(end):
        return []
    body = name[len(start) : len(name) - len(end)]
    options = []
    for match in re.finditer(f"(?={re.escape(middle)})", body):
        parts = {first: body[: match.start()], second: body[match.start() + len(middle) :]}
        if all(parts.values()):
            options.append((parts[role].strip(), parts["dimension"].strip()))
    return options


def _find_grids(splits: Mapping[str, Sequence[tuple[str, str]]]) -> list[_Labels]:
    """Return every reading of the names in which each of several samples has each dimension."""
    counts = Counter(dimension for options in splits.values() for _, dimension in options)
    readings: list[_Labels] = []
    for count in sorted(set(counts.values())):
        dimensions = {name for name, number in counts.items() if number == count}
        labels: _Labels = {}
        for name, options in splits.items():
            matches = [split for split in options if split[1] in dimensions]
            if matches:
                labels[name] = max(matches, key=lambda split: len(split[1]))
        samples = {sample for sample, _ in labels.values()}
        used_dimensions = {dimension for _, dimension in labels.values()}
        is_complete = len(set(labels.values())) == len(samples) * len(used_dimensions)
        if len(labels) == len(splits) and len(samples) > 1 and is_complete:
            readings.append(labels)
    return readings
