"""FocusQ (NTIRE 2025): SimpleVQA's network, whose head also reads TOPIQ's frozen token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torchvision.models import resnet50

from sfqa.features.iqa_metrics import TOKEN_WIDTH
from sfqa.features.spatial_net import build_simplevqa
from sfqa.features.weights import Weights
from sfqa.regression.fine_tuning import simplevqa


class Network(simplevqa.Network):
    """Frames, motion (rows, seconds, 2304) and faces (rows, seconds, 256) to (rows, 1)."""

    frozen = ("motion", "face")

    @staticmethod
    def build_network(depths: tuple[int, ...]) -> nn.Module:
        """Return the ResNet with a head that reads the face, too."""
        network: Any = build_simplevqa(depths)
        first = network.quality[0]
        network.quality[0] = nn.Linear(first.in_features + TOKEN_WIDTH, first.out_features)
        built: nn.Module = network
        return built


def build(options: Mapping[str, Any]) -> Network:
    """Return the network with drawn weights."""
    return Network(simplevqa.choose_depths(options))


def load_published(weights: Mapping[str, Weights], options: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the state of the ResNet-50 of ImageNet; the head is not in it."""
    state = weights["spatial"].load(resnet50).state_dict()
    return {f"network.{key}": v for key, v in state.items() if not key.startswith("fc.")}
