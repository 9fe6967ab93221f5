"""Which inputs a head reads, by its constant INPUTS, without importing it.

``INPUTS`` maps a condition on an option of the head ('' for none, or 'columns=0') to the inputs in
order. Each is the text 'role shape'. A role may end in ``?`` (optional), ``+`` (one or more) or
``*`` (any number). Shapes: ``maps``, whole maps (clip, channel, time, row, column); ``steps``, a
tensor with a row for each frame, clip or second; ``numbers``, anything but whole maps; ``views``,
the input of a network, uint8 (:mod:`sfqa.features.view_columns`), which no other shape includes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sfqa.errors import UserError
from sfqa.features import view_columns
from sfqa.features.base import Feature
from sfqa.regression import heads

MAPS, STEPS, NUMBERS, VIEWS = "maps", "steps", "numbers", "views"
#: Number of axes of whole maps, with that of the clips.
_MAP_AXES = 5
#: First axes of a tensor that is one vector.
_VECTOR_AXES = ("one", "channel")
#: How few and how many inputs a role may have, by its last letter; None: any number.
_COUNTS: dict[str, tuple[int, int | None]] = {"?": (0, 1), "+": (1, None), "*": (0, None)}


def list_roles(head: str, options: Mapping[str, Any]) -> list[tuple[str, str]] | None:
    """Return role and shape of every input of a head with all its options, None if not declared.

    >>> list_roles("ugvq", {})
    [('spatial', 'numbers'), ('temporal', 'numbers'), ('text', 'numbers')]
    """
    pooled = {"": (f"features+ {NUMBERS}",)} if heads.read_design(head) == "pooled" else None
    declared: Mapping[str, Sequence[str]] | None = heads.HEADS.read(head, "INPUTS", pooled)
    if declared is None:
        return None
    texts = declared[""]
    for condition, others in declared.items():
        option, _, value = condition.partition("=")
        if option and str(options.get(option)) == value:
            texts = others
    return [(role, shape) for role, _, shape in (text.partition(" ") for text in texts)]


def assign_shapes(head: str, options: Mapping[str, Any], inputs: Sequence[str]) -> list[str]:
    """Return the shape that a head expects of each input; empty if it declares none.

    Raises :class:`UserError` for a number of inputs that the head cannot read.

    >>> assign_shapes("frame_ensemble", {}, ["image.pooled", "xclip.video"])
    ['steps', 'numbers']
    """
    roles = list_roles(head, options)
    if roles is None:
        return []
    limits = [_COUNTS.get(role[-1], (1, 1)) for role, _ in roles]
    least = sum(low for low, _ in limits)
    most = None if any(high is None for _, high in limits) else len(roles)
    if len(inputs) < least or (most is not None and len(inputs) > most):
        count = f"{least}" if most == least else f"{least} to {most}"
        if most is None:
            count = f"{least} or more"
        names = ", ".join(role.rstrip("?+*") for role, _ in roles)
        raise UserError(
            f"head {head} reads {count}, in this order: {names}; there are {len(inputs)} "
            f"({', '.join(inputs) or 'none'})"
        )
    shapes = [shape for _, shape in roles]
    return [shapes[min(number, len(shapes) - 1)] for number in range(len(inputs))]


def check_shape(text: str, shape: str, features: Sequence[Feature]) -> None:
    """Raise :class:`UserError` unless the column of an input has the expected shape.

    ``features`` are the numeric columns that the input names, all of an extractor's without a
    column.
    """
    views = [feature.name for feature in features if feature.dtype == view_columns.DTYPE]
    if views and shape != VIEWS:
        raise UserError(
            f"{text} holds the pixels that a network sees, which the head does not read; name a "
            "column of features, or use a head that trains a backbone"
        )
    if shape == VIEWS:
        if len(views) != len(features):
            raise UserError(
                f"{text} holds no pixels, which the head reads; name a view, such as fast_vqa.view"
            )
        return
    maps = [feature.name for feature in features if len(feature.axes) == _MAP_AXES]
    if shape == MAPS and len(maps) != len(features):
        axes = ", ".join(features[0].axes) or "none: a scalar"
        raise UserError(
            f"{text} is no map, which the head reads (its axes: {axes}); name a column with the "
            "axes clip, channel, time, row, column, such as fast_vqa.map"
        )
    if shape != MAPS and maps:
        raise UserError(
            f"{text} holds whole maps ({', '.join(maps)}), which the head does not read; name a "
            "pooled column, such as fast_vqa.pooled, or use the head vqa_head"
        )
    if shape == STEPS and not any(
        feature.axes and feature.axes[0] not in _VECTOR_AXES for feature in features
    ):
        raise UserError(
            f"{text} has no row for each frame, clip or second, which the head reads; name a "
            "column whose first axis is one of these"
        )
