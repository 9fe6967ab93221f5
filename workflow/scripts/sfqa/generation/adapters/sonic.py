"""Sonic (2025): one picture and one sound to a video at 25 fps whose short side has 512 pixels.

Source: jixiaozhong/Sonic at 51a74aec29e100d1505b97da7c03e4db6411dcb9, demo.py.
Quirks: ``--seed`` is read but not passed on, so that it is not given: the seed is always that of
config/inference/sonic.yaml, 72589, and every run of a pair is the same; the output's folder is
made, which fails for a name without one; a failed mux is not noticed, so that the output may be
missing though the script ends well; of n frames generated at 12.5 fps, 2n - 1 are left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from sfqa.generation.generator import Generator, Item, OptionValue, Run, formatted
from sfqa.options import Option, Options

VERSION = 1

OPTIONS: Options = {
    "dynamic_scale": Option(1.0, 0.1, 10, "amount of movement"),
}

_FPS = 25
#: frame_num of the repository's configuration: generated frames, before they are doubled.
_MOST_GENERATED = 10000


def frames(seconds: float) -> int:
    """Return how many frames are made of a clip: n at 12.5 fps, and one between each two.

    >>> [frames(s) for s in (5.0, 6.2, 7.0)]
    [123, 153, 173]
    """
    generated = min(math.floor(seconds * _FPS) // 2, _MOST_GENERATED)
    return max(0, 2 * generated - 1)


class Sonic(Generator):
    """One run, one pair; the output is where it is asked for."""

    def expected_sec(self, seconds: float, options: Mapping[str, OptionValue]) -> float:
        """The clip but for up to three frames.

        >>> Sonic().expected_sec(6.2, {})
        6.12
        """
        return frames(seconds) / _FPS

    def command(self, run: Run) -> list[str]:
        """The official call; the option only where it differs from the official default."""
        (item,) = run.items
        arguments = [
            str(run.python), "demo.py", str(item.image), str(item.audio), str(item.output),
        ]  # fmt: skip
        if run.number("dynamic_scale") != OPTIONS["dynamic_scale"].default:
            arguments += ["--dynamic_scale", formatted(run.number("dynamic_scale"))]
        return arguments

    def candidates(self, run: Run, item: Item) -> Sequence[Path]:
        """The output alone; not the silent ``_noaudio`` that a failed mux leaves."""
        return [item.output] if item.output.is_file() else []


GENERATOR = Sonic()
