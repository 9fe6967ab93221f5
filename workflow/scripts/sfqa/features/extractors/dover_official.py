"""Scores of the official code of DOVER: evaluate_one_video.py, unmodified, a process per video.

Source: VQAssessment/DOVER at f1ddc96215bc7fbcf8f315c65d47905f339c3419.

- Clips, fragments and frames are drawn without a seed, so that another run gives another score.
- It prints the fused score and, before it, the exponent of the logistic function that makes it.
- The network of the aesthetic branch is built with ImageNet's weights, which DOVER's replace; the
  file must be in the folder that ``TORCH_HOME`` names, since nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from sfqa.features.base import Feature
from sfqa.features.command_calls import CommandRun, Result, find_number
from sfqa.features.command_model import CommandExtractor
from sfqa.options import Options

VERSION = 1
WEIGHTS = True
COMMAND = True
OPTIONS: Options = {}

_SCORE = r"Normalized fused overall score \(scale in \[0,1\]\): (\S+)"
_EXPONENT = r"(\S+)\nNormalized fused overall score"


class Extractor(CommandExtractor):
    """One process per video, as the repository's page calls it."""

    FEATURES: ClassVar[tuple[Feature, ...]] = (
        Feature("score", "fused score, logistic in the exponent", dtype="float64", unit="0..1"),
        Feature("exponent", "weighted sum of both branches' scores, rescaled", dtype="float64"),
    )
    batch = 1

    def build_command(self, run: CommandRun) -> list[str]:
        """Return the official call with the fused score."""
        (item,) = run.items
        device = "cpu" if run.device == "cpu" else "cuda"
        return [
            str(run.python), "evaluate_one_video.py", "-v", str(item.video), "-d", device, "-f",
        ]  # fmt: skip

    def build_environment(self, run: CommandRun) -> dict[str, str]:
        """Return where torch finds ImageNet's weights."""
        return {"TORCH_HOME": str(run.checkpoints)}

    def read_results(self, run: CommandRun) -> Mapping[str, Result]:
        """Return the two numbers that it prints."""
        (item,) = run.items
        text = run.read_output()
        if "Normalized fused" not in text:
            return {}
        score, exponent = find_number(text, _SCORE), find_number(text, _EXPONENT)
        return {item.name: {"score": score, "exponent": exponent}}
