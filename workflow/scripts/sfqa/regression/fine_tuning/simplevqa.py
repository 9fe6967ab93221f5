"""SimpleVQA: a ResNet-50 on a picture of every second, joined with SlowFast's frozen features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import ResNet, resnet50

from sfqa.features.normalised_frames import IMAGENET_STATISTICS
from sfqa.features.spatial_net import (
    REDUCED_DEPTHS,
    RESNET50_DEPTHS,
    build_simplevqa,
    multi_scale,
)
from sfqa.features.weights import Weights, read_state
from sfqa.regression.fine_tuning.network import FineTunedNetwork, PixelNorm
from sfqa.regression.fine_tuning.parts import Branch, Member, make_branch


class Network(FineTunedNetwork):
    """Frames (rows, seconds, 3, height, width) and motion (rows, seconds, 2304) to (rows, 1).

    ``frozen`` are the roles of frozen features of the seconds, in the order in which the head reads
    them after those of the frames.
    """

    frozen: tuple[str, ...] = ("motion",)

    def __init__(self, depths: tuple[int, ...]) -> None:
        super().__init__()
        self.network: Any = self.build_network(depths)
        self.norm = PixelNorm(*IMAGENET_STATISTICS, scale=255.0)
        self.set_branches({"spatial": _describe_resnet(self.network)})

    @staticmethod
    def build_network(depths: tuple[int, ...]) -> nn.Module:
        """Return the ResNet with its head ``quality``."""
        return build_simplevqa(depths)

    def score_branch(self, branch: str, x: Mapping[str, Tensor]) -> Tensor:
        """Return the mean score of the seconds."""
        frames, frozen = x["frames"], [x[role] for role in self.frozen]
        spatial = multi_scale(self.network, self.norm(frames.flatten(0, 1), axis=1))
        seconds = torch.cat([spatial.unflatten(0, frames.shape[:2]), *frozen], dim=-1)
        scores: Tensor = self.network.quality(seconds)
        return scores.mean(dim=1)


def _describe_resnet(network: ResNet) -> Branch:
    stages: list[tuple[str, list[tuple[str, list[Member]]]]] = [
        ("stem", [("", [network.conv1, network.bn1])])
    ]
    for number in range(1, 5):
        layer = network.get_submodule(f"layer{number}")
        blocks: list[tuple[str, list[Member]]] = [
            (f"block {n + 1}", [block]) for n, block in enumerate(layer.children())
        ]
        stages.append((f"layer{number}", blocks))
    return make_branch(stages, [network.get_submodule("quality")])


def build(options: Mapping[str, Any]) -> Network:
    """Return the network with drawn weights."""
    return Network(choose_depths(options))


def load_published(weights: Mapping[str, Weights], options: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the state of the network with the weights of the extractor.

    Of a file of ImageNet's ResNet-50, from which the published training starts, it has no head.
    """
    build_network: Callable[[], nn.Module] = partial(build_simplevqa, choose_depths(options))
    file = weights["simplevqa"]
    if file.path is not None and "fc.weight" in read_state(file.path, file.keys):
        build_network = resnet50
    state = file.load(build_network).state_dict()
    return {f"network.{key}": v for key, v in state.items() if not key.startswith("fc.")}


def choose_depths(options: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the blocks of each stage, by the option ``blocks``."""
    return REDUCED_DEPTHS if options["blocks"] == "reduced" else RESNET50_DEPTHS
