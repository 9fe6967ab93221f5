"""The parts of FAST-VQA's and DOVER's towers, and the score of clips through tower and head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sfqa.features.convnext3d import ConvNeXt3d
from sfqa.features.gated_swin3d import GatedSwin3d
from sfqa.features.vqa_head_net import VqaHead
from sfqa.regression.fine_tuning.network import PixelNorm
from sfqa.regression.fine_tuning.parts import Branch, Member, make_branch


def describe_swin(tower: GatedSwin3d, head: nn.Module) -> Branch:
    """Return the units of a Swin3D: its stages begin with the merging of patches."""
    features = list(tower.features)
    stages: list[tuple[str, list[tuple[str, list[Member]]]]] = [
        ("patches", [("", [tower.patch_embed])])
    ]
    merging: list[Member] = []
    for number, blocks in enumerate(features[::2]):
        assert isinstance(blocks, nn.Sequential)
        units = _list_blocks(blocks)
        units[0][1][:0] = merging
        stages.append((f"stage {number + 1}", units))
        merging = [features[2 * number + 1]] if 2 * number + 1 < len(features) else []
    stages[-1][1][-1][1].append(tower.norm)
    return make_branch(stages, [head])


def describe_convnext(tower: ConvNeXt3d, head: nn.Module) -> Branch:
    """Return the units of a ConvNeXt-3D: its stages begin with a reduction of the size."""
    stages: list[tuple[str, list[tuple[str, list[Member]]]]] = []
    for number, (reduction, blocks) in enumerate(
        zip(tower.downsample_layers, tower.stages, strict=True)
    ):
        assert isinstance(blocks, nn.Sequential)
        units = _list_blocks(blocks)
        units[0][1].insert(0, reduction)
        stages.append((f"stage {number + 1}", units))
    stages[-1][1][-1][1].append(tower.norm)
    return make_branch(stages, [head])


def _list_blocks(blocks: nn.Sequential) -> list[tuple[str, list[Member]]]:
    return [(f"block {n + 1}", [block]) for n, block in enumerate(blocks)]


def score_clips(tower: nn.Module, head: VqaHead, norm: PixelNorm, clips: Tensor) -> Tensor:
    """Return the mean score of the clips of each row, (rows, 1).

    ``clips`` are bytes (rows, clips, 3, frames, height, width). The clips of a row pass one after
    the other, so that memory holds one.
    """
    scores = [
        head.score_maps(tower(norm(clips[:, number], axis=1))) for number in range(clips.shape[1])
    ]
    return torch.stack(scores).mean(dim=0)
