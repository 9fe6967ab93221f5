"""Scores of the official code of FAST-VQA: vqa.py, unmodified, a process per video.

Source: VQAssessment/FAST-VQA-and-FasterVQA at 9f264e436a97b23f5efb477b048bfbff83565032.

- Its clips are centred in equal parts of the video and hold consecutive frames, unlike those of the
  evaluation that the published figures rest on: the extractor fast_vqa with ``sampler: demo``.
- Fragments are drawn without a seed, so that another run gives another score.
- It prints five digits after the point.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from sfqa.features.base import Feature
from sfqa.features.command_calls import CommandRun, Result, find_number
from sfqa.features.command_model import CommandExtractor
from sfqa.options import Choice, Options

VERSION = 1
WEIGHTS = True
COMMAND = True
OPTIONS: Options = {
    "model": Choice(
        "FAST-VQA", ("FAST-VQA", "FAST-VQA-M", "FasterVQA", "FasterVQA-MS", "FasterVQA-MT"),
        "which of the repository's models; each needs its own weights file",
    ),
}  # fmt: skip

_SCORE = r"The quality score of the video \(range \[0,1\]\) is (\S+)\."


class Extractor(CommandExtractor):
    """One process per video, as the repository's page calls it."""

    FEATURES: ClassVar[tuple[Feature, ...]] = (
        Feature("score", "the network's score, rescaled", dtype="float64", unit="0..1"),
    )
    batch = 1

    def build_command(self, run: CommandRun) -> list[str]:
        """Return the official call."""
        (item,) = run.items
        device = "cpu" if run.device == "cpu" else "cuda"
        return [
            str(run.python), "vqa.py", "-m", str(run.options["model"]), "-v", str(item.video),
            "-d", device,
        ]  # fmt: skip

    def read_results(self, run: CommandRun) -> Mapping[str, Result]:
        """Return the number that it prints."""
        (item,) = run.items
        text = run.read_output()
        if "The quality score of the video" not in text:
            return {}
        return {item.name: {"score": find_number(text, _SCORE)}}
