"""The networks of FAST-VQA and DOVER: backbones and heads, named as in the official files."""

from __future__ import annotations

from torch import nn

from sfqa.features import convnext3d, gated_swin3d
from sfqa.features.convnext3d import ConvNeXt3d
from sfqa.features.gated_swin3d import GatedSwin3d
from sfqa.features.vqa_head_net import VqaHead

#: Keys of the official files that are no weights: tables of places, which the networks compute.
INTEGER_TABLES = ("*.relative_position_index",)


class FastVqa(nn.Module):
    """FAST-VQA-B: 185 tensors of ``FAST_VQA_B_1_4.pth``, without its 12 integer tables.

    ``reduced`` has few blocks, for trials of a configuration.
    """

    def __init__(self, reduced: bool = False) -> None:
        super().__init__()
        self.fragments_backbone = _build_swin(reduced)
        self.vqa_head = VqaHead()


class Dover(nn.Module):
    """DOVER: 369 tensors of ``DOVER.pth``, without its 12 integer tables."""

    def __init__(self, reduced: bool = False) -> None:
        super().__init__()
        self.technical_backbone = _build_swin(reduced)
        depths = convnext3d.REDUCED_DEPTHS if reduced else convnext3d.DEPTHS
        self.aesthetic_backbone = ConvNeXt3d(depths)
        self.technical_head = VqaHead()
        self.aesthetic_head = VqaHead()


def _build_swin(reduced: bool) -> GatedSwin3d:
    return GatedSwin3d(gated_swin3d.REDUCED_DEPTHS if reduced else gated_swin3d.DEPTHS)
