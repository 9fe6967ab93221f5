"""Backbones of a few thousand parameters, in place of the official ones, and views for them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

from golden_weights import fill_weights
from sfqa.features.convnext3d import ConvNeXt3d
from sfqa.features.gated_swin3d import GatedSwin3d
from sfqa.features.vqa_head_net import VqaHead
from sfqa.regression.fine_tuning import aigc_vqa, dover, fast_vqa, focusq, simplevqa

#: Frames and side of a view: a window of the small Swin is as large as the map of its last stage.
FRAMES, SIDE, WIDTH = 4, 64, 12


def build_swin() -> GatedSwin3d:
    return GatedSwin3d((1, 1, 1, 1), WIDTH, (2, 2, 2))


class SmallFastVqa(nn.Module):
    def __init__(self, reduced: bool = False) -> None:
        super().__init__()
        self.fragments_backbone = build_swin()
        self.vqa_head = VqaHead(8 * WIDTH)


class SmallDover(nn.Module):
    def __init__(self, reduced: bool = False) -> None:
        super().__init__()
        self.technical_backbone = build_swin()
        self.aesthetic_backbone = ConvNeXt3d((1, 1, 1, 1), (8, 16, 32, 64))
        self.technical_head, self.aesthetic_head = VqaHead(8 * WIDTH), VqaHead(64)


def build_simplevqa(depths: object = None) -> nn.Module:
    """A ResNet-50 with one narrow block in each stage, and SimpleVQA's head."""
    network = ResNet(Bottleneck, [1, 1, 1, 1], width_per_group=8)
    del network.fc
    network.quality = nn.Sequential(nn.Linear(9472, 16), nn.Linear(16, 1))
    return network


def use_small_backbones(monkeypatch) -> None:
    """Let the backbones FAST-VQA, DOVER, SimpleVQA, FocusQ and AIGC-VQA have small networks."""
    monkeypatch.setattr(fast_vqa, "FastVqa", SmallFastVqa)
    monkeypatch.setattr(dover, "Dover", SmallDover)
    monkeypatch.setattr(aigc_vqa, "Dover", SmallDover)
    monkeypatch.setattr(aigc_vqa, "IMAGE_REWARD", aigc_vqa.REDUCED_BLIP)
    monkeypatch.setattr(simplevqa, "build_simplevqa", build_simplevqa)
    monkeypatch.setattr(focusq, "build_simplevqa", build_simplevqa)


def draw_views(rows: int, clips: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Bytes (rows, clips, 3, frames, height, width)."""
    numbers = np.random.default_rng(seed)
    return numbers.integers(0, 256, (rows, clips, 3, FRAMES, SIDE, SIDE), np.uint8)


def draw_aigc_blocks(rows: int) -> dict[str, npt.NDArray[np.uint8]]:
    """The inputs of AIGC-VQA: DOVER's views, two frames, and a prompt of five tokens."""
    numbers = np.random.default_rng(7)
    tokens = np.zeros((rows, 1, 35, 2), np.uint8)
    tokens[:, 0, :5] = numbers.integers(1, 100, (rows, 5, 2))
    return {
        "dover.technical_view": draw_views(rows, 2),
        "dover.aesthetic_view": draw_views(rows, 1, seed=4)[..., :32, :32],
        "blip.frames": numbers.integers(0, 256, (rows, 2, 3, 224, 224), np.uint8),
        "blip.tokens": tokens,
    }


def draw_first_weights(network: nn.Module) -> dict[str, npt.NDArray[np.float32]]:
    """Seeded weights of a network, by name, as a fit starts from."""
    with torch.no_grad():
        fill_weights(network)
    return {name: value.numpy() for name, value in network.state_dict().items()}
