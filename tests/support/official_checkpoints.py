"""Checkpoints in the layout of published ones: their keys from a golden, with drawn numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch

from golden_weights import draw_weight

_RANGE = re.compile(r"(.+) \[i=(\d+)\.\.(\d+)\]")


def list_shapes(keys: Mapping[str, str]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every floating-point key; ``a.{i}.b [i=0..3]`` stands for four keys.

    >>> list_shapes({"a.{i}.b [i=0..1]": "float32 2x3", "c": "int64 4"})
    {'a.0.b': (2, 3), 'a.1.b': (2, 3)}
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for key, described in keys.items():
        kind, _, sizes = described.partition(" ")
        if not kind.startswith("float"):
            continue
        shape = tuple(int(size) for size in sizes.split("x") if size)
        folded = _RANGE.fullmatch(key)
        if folded is None:
            shapes[key] = shape
        else:
            for number in range(int(folded[2]), int(folded[3]) + 1):
                shapes[folded[1].replace("{i}", str(number))] = shape
    return shapes


def draw_checkpoint(
    keys: Mapping[str, str], seed: int = 0, keep: Callable[[str], bool] = lambda key: True
) -> dict[str, torch.Tensor]:
    """Return the drawn tensors of the keys that ``keep`` accepts."""
    shapes = list_shapes(keys)
    return {key: draw_weight(key, shape, seed) for key, shape in shapes.items() if keep(key)}
