"""Any image backbone of timm by name: pictures to features, their mean, and two linear layers.

Frozen features of other networks may join the mean, as in MiVQA, which has those of SlowFast, LIQE
and FAST-VQA beside a Swin-B.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from timm.models import group_parameters
from torch import Tensor, nn

from sfqa.features.image_net import build_backbone, convert_state, read_preprocessing
from sfqa.features.weights import Weights
from sfqa.regression.fine_tuning.network import FineTunedNetwork, PixelNorm
from sfqa.regression.fine_tuning.parts import Branch, Member, make_branch
from sfqa.regression.fine_tuning.registry import JOINED, JOINED_WIDTH

#: Width of the layer between features and score, as SimpleVQA's and MiVQA's.
HIDDEN = 128


class Network(FineTunedNetwork):
    """Frames (rows, frames, 3, height, width) and joined features (rows, width) to (rows, 1).

    The score of a row is that of the mean of its frames' features: the layers have no activation.
    ``joined_width`` counts the numbers of all joined features.
    """

    def __init__(self, model: str, joined_width: int = 0) -> None:
        super().__init__()
        network: Any = build_backbone(model)
        preprocessing = read_preprocessing(network, model)
        network.reset_classifier(0)
        self.network = network
        self.norm = PixelNorm(preprocessing.mean, preprocessing.std, scale=255.0)
        width = int(network.head_hidden_size) + joined_width
        self.quality = nn.Sequential(nn.Linear(width, HIDDEN), nn.Linear(HIDDEN, 1))
        self.set_branches({"pictures": _describe_backbone(network, self.quality)})

    def score_branch(self, branch: str, x: Mapping[str, Tensor]) -> Tensor:
        """Return the score of the mean feature of the frames, and of the joined features."""
        frames = x["frames"]
        network: Any = self.network
        maps = network.forward_features(self.norm(frames.flatten(0, 1), axis=1))
        features = network.forward_head(maps, pre_logits=True)
        joined = [x[f"{JOINED}{number}"] for number in range(len(x) - 1)]
        pooled = features.unflatten(0, frames.shape[:2]).mean(dim=1)
        scores: Tensor = self.quality(torch.cat([pooled, *joined], dim=-1))
        return scores


def _describe_backbone(network: Any, head: nn.Module) -> Branch:
    """Return the units of a backbone: timm's groups of layers, and its groups of stages.

    A layer belongs to the stage of its first parameter, and a last norm to the stage before it.
    """
    parameters = dict(network.named_parameters())
    layers = group_parameters(network, network.group_matcher(coarse=False))
    groups = group_parameters(network, network.group_matcher(coarse=True))
    stage_of = {name: number for number, names in groups.items() for name in names}
    stages: dict[int, list[tuple[str, list[Member]]]] = {}
    for number, names in sorted(layers.items()):
        members: list[Member] = [parameters[name] for name in names]
        is_norm = bool(stages) and all(parameters[name].dim() == 1 for name in names)
        stage = max(stages) if is_norm else stage_of[names[0]]
        stages.setdefault(stage, []).append((f"layer {number}", members))
    return make_branch([(f"stage {n}", stages[n]) for n in sorted(stages)], [head])


def build(options: Mapping[str, Any]) -> Network:
    """Return the network with drawn weights."""
    return Network(str(options["model"]), int(options.get(JOINED_WIDTH, 0)))


def load_published(weights: Mapping[str, Weights], options: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the state of the backbone with the weights of the extractor; the head is not in it."""
    network: Any = weights["image"].load(
        lambda: build_backbone(str(options["model"])), (), convert_state
    )
    network.reset_classifier(0)
    return {f"network.{key}": value for key, value in network.state_dict().items()}
