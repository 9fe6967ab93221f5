"""Networks of a tower for pictures and one for sound: their stages side by side, and one score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

import torch
from torch import Tensor, nn

from sfqa.regression.fine_tuning.parts import Branch, Member, Unit, list_parameters

#: Width and dropout of the layers between embeddings and score, as those of the head ``alignment``.
HIDDEN, DROPOUT = 256, 0.5

#: The units of a stage, each a name and its members; the stages of a tower, from the input on.
Stage = list[tuple[str, list[Member]]]
Stages = list[Stage]


def describe_towers(pictures: Stages, sound: Stages, head: nn.Module) -> Branch:
    """Return the branch of two towers: the stages that are as far from the output are one stage.

    So ``last_stage`` is the last one of both towers, and a share takes from both alternately.
    """
    paired: list[tuple[Stage, Stage]] = list(
        zip_longest(reversed(pictures), reversed(sound), fillvalue=[])
    )
    units = tuple(
        Unit(name, number, list_parameters(members))
        for number, (left, right) in enumerate(reversed(paired))
        for name, members in [*left, *right]
    )
    return Branch(units, list_parameters([head]))


def list_blocks(
    tower: str, first: Sequence[Member], blocks: Iterable[nn.Module], last: Sequence[Member]
) -> Stages:
    """Return the stages of a vision transformer: its embeddings, and each block.

    ``last``, such as a norm and a projection, belongs to the last block.
    """
    stages: Stages = [[(f"{tower} embeddings", list(first))]]
    stages.extend([(f"{tower} block {n + 1}", [block])] for n, block in enumerate(blocks))
    stages[-1][-1][1].extend(last)
    return stages


class EmbeddingScore(nn.Module):
    """Both embeddings (rows, width) side by side to a score (rows, 1): the head ``alignment``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 * width, HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, 1)
        )

    def forward(self, pictures: Tensor, sound: Tensor) -> Tensor:
        """Return the score."""
        scores: Tensor = self.layers(torch.cat([pictures, sound], dim=-1))
        return scores
