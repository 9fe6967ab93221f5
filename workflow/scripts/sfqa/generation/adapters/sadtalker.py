"""SadTalker (CVPR 2023): one picture and one sound to a cropped talking head at 25 fps.

Source: OpenTalker/SadTalker at cd4c0465ae0b54a6f85af57f5c65fec9fe23e7f8, inference.py.
Quirks: the result is named by the second it was begun in, so that each run has a result folder of
its own; the suffix of the picture must be in lower case, else it is read as a video; where no face
is found nothing is written and the exit code may be 0; nothing is seeded (blinks, head pose), so
that two runs differ; gfpgan/weights is read from, and a temporary video written to, the current
folder.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from sfqa.generation.generator import Generator, Item, OptionValue, Run, formatted
from sfqa.options import Choice, Option, Options

VERSION = 1

OPTIONS: Options = {
    "size": Choice("256", ("256", "512"), "side of the rendered face in pixels, in quotes"),
    "preprocess": Choice(
        "crop", ("crop", "extcrop", "resize", "full", "extfull"), "how the picture is cropped"
    ),
    "still": Option(0, 0, 1, "1: less head movement, for preprocess full", whole=True),
    "enhancer": Choice("none", ("none", "gfpgan", "RestoreFormer"), "restoration of the face"),
    "background_enhancer": Choice("none", ("none", "realesrgan"), "restoration of the picture"),
    "pose_style": Option(0, 0, 45, "style of the head movement", whole=True),
    "expression_scale": Option(1, 0, 3, "strength of the expression"),
    "batch_size": Option(2, 1, 64, "frames rendered at once", whole=True),
}

_FPS = 25
_NAME = re.compile(r"\d{4}(_\d\d){3}(\.\d\d){2}\.mp4")


class SadTalker(Generator):
    """One run, one pair; the result is the only video in ``run.work`` named by a time."""

    def expected_sec(self, seconds: float, options: Mapping[str, OptionValue]) -> float:
        """Whole frames at 25 fps, rounded down.

        >>> SadTalker().expected_sec(6.27, {})
        6.24
        """
        # 6.28 * 25 is a hair below 157 in floating point
        return math.floor(seconds * _FPS + 1e-6) / _FPS

    def command(self, run: Run) -> list[str]:
        """The official call; options only where they differ from the official defaults."""
        item = run.items[0]
        return [
            str(run.python), "inference.py",
            "--driven_audio", str(item.audio), "--source_image", str(item.image),
            "--result_dir", str(run.work), "--checkpoint_dir", str(run.checkpoints),
            *_extra(run),
        ]  # fmt: skip

    def candidates(self, run: Run, item: Item) -> Sequence[Path]:
        """Videos named like ``2026_01_31_23.59.59.mp4``."""
        return [path for path in sorted(run.work.glob("*.mp4")) if _NAME.fullmatch(path.name)]


def _extra(run: Run) -> list[str]:
    arguments: list[str] = []
    for name, option in OPTIONS.items():
        if run.options[name] == option.default:
            continue
        arguments.append(f"--{name}")
        if isinstance(option, Choice):
            arguments.append(run.text(name))
        elif name != "still":  # a flag without a value
            arguments.append(formatted(run.number(name)))
    return arguments


GENERATOR = SadTalker()
