"""SadTalker (CVPR 2023): a picture and a sound to a cropped talking head at 25 fps.

Source: OpenTalker/SadTalker at cd4c0465ae0b54a6f85af57f5c65fec9fe23e7f8, inference.py.

- The result is named by the second in which the script started, so each run has a result folder of
  its own.
- A picture whose suffix is not in lower case is read as a video.
- If no face is detected, nothing is written and the exit code may be 0.
- Blinks and head pose are not seeded, so two runs differ.
- The script reads gfpgan/weights from the current folder and writes a temporary video there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from sfqa.generation.generator import Generator, Item, OptionValue, Run, format_number
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
    """One process per pair; the result is the only video in ``run.work`` named by a time."""

    def predict_sec(self, seconds: float, options: Mapping[str, OptionValue]) -> float:
        """Return the length in whole frames at 25 fps, rounded down.

        >>> SadTalker().predict_sec(6.27, {})
        6.24
        """
        # 6.28 * 25 is slightly below 157 in floating point.
        return math.floor(seconds * _FPS + 1e-6) / _FPS

    def build_command(self, run: Run) -> list[str]:
        """Return the official call, with options only if they differ from its defaults."""
        item = run.items[0]
        return [
            str(run.python), "inference.py",
            "--driven_audio", str(item.audio), "--source_image", str(item.image),
            "--result_dir", str(run.work), "--checkpoint_dir", str(run.checkpoints),
            *_list_changed_options(run),
        ]  # fmt: skip

    def list_candidates(self, run: Run, item: Item) -> Sequence[Path]:
        """Return videos named like ``2026_01_31_23.59.59.mp4``."""
        return [path for path in sorted(run.work.glob("*.mp4")) if _NAME.fullmatch(path.name)]


def _list_changed_options(run: Run) -> list[str]:
    arguments: list[str] = []
    for name, option in OPTIONS.items():
        if run.options[name] == option.default:
            continue
        arguments.append(f"--{name}")
        if isinstance(option, Choice):
            arguments.append(run.text_option(name))
        elif name != "still":  # a flag without a value
            arguments.append(format_number(run.number_option(name)))
    return arguments


GENERATOR = SadTalker()
