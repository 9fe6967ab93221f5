"""Sonic (2025): a picture and a sound to a video at 25 fps whose short side has 512 pixels.

Source: jixiaozhong/Sonic at 51a74aec29e100d1505b97da7c03e4db6411dcb9, demo.py.

- ``--seed`` has no effect and is not passed: the script always uses that of
  config/inference/sonic.yaml, 72589, so every run of a pair gives the same video.
- The script creates the folder of the output, which fails for a name without a folder.
- The script does not notice a failed mux: the output can be missing after exit code 0.
- Of n frames generated at 12.5 fps, 2n - 1 are written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from sfqa.generation.generator import Generator, Item, OptionValue, Run, format_number
from sfqa.options import Option, Options

VERSION = 1

OPTIONS: Options = {
    "dynamic_scale": Option(1.0, 0.1, 10, "amount of movement"),
}

_FPS = 25
#: frame_num of the repository's configuration: generated frames, before interpolation.
_MAX_GENERATED = 10000


def count_frames(seconds: float) -> int:
    """Return the number of frames made of a clip: n at 12.5 fps, and one between each two.

    >>> [count_frames(s) for s in (5.0, 6.2, 7.0)]
    [123, 153, 173]
    """
    generated = min(math.floor(seconds * _FPS) // 2, _MAX_GENERATED)
    return max(0, 2 * generated - 1)


class Sonic(Generator):
    """One process per pair; it writes the requested output file."""

    def predict_sec(self, seconds: float, options: Mapping[str, OptionValue]) -> float:
        """Return the length of the clip, less up to three frames.

        >>> Sonic().predict_sec(6.2, {})
        6.12
        """
        return count_frames(seconds) / _FPS

    def build_command(self, run: Run) -> list[str]:
        """Return the official call, with the option only if it differs from its default."""
        (item,) = run.items
        arguments = [
            str(run.python), "demo.py", str(item.image), str(item.audio), str(item.output),
        ]  # fmt: skip
        if run.number_option("dynamic_scale") != OPTIONS["dynamic_scale"].default:
            arguments += ["--dynamic_scale", format_number(run.number_option("dynamic_scale"))]
        return arguments

    def list_candidates(self, run: Run, item: Item) -> Sequence[Path]:
        """Return the output, without the silent ``_noaudio`` that a failed mux leaves."""
        return [item.output] if item.output.is_file() else []


GENERATOR = Sonic()
