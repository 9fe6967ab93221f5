"""Pictures -> feature vectors by torchvision's networks, whose official weights load unchanged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from torchvision.models import ResNet, VisionTransformer, resnet50, vit_b_16


def multi_scale(net: nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    """Return SimpleVQA's spatial features (n, 7168) by ResNet-50, float32.

    ``pictures`` (n, 3, height, width) are normalised. The global average and the unbiased standard
    deviation (over the h w places, divisor h w - 1) of the outputs of three stages, in the order
    average layer2 (512), deviation layer2 (512), average layer3 (1024), deviation layer3 (1024),
    average layer4 (2048), deviation layer4 (2048). Source: Sun et al., "A Deep Learning based
    No-reference Quality Assessment Model for UGC Videos", ACM MM 2022, section 3.1.
    """
    resnet = cast(ResNet, net)
    x = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(pictures))))
    x = resnet.layer1(x)
    parts = []
    for stage in (resnet.layer2, resnet.layer3, resnet.layer4):
        x = stage(x)
        places = x.float().flatten(2)
        parts += [places.mean(2), places.std(2, correction=1)]
    return torch.cat(parts, 1)


def class_token(net: nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    """Return the class token after the last norm, before the classifier, (n, width), float32."""
    vit = cast(VisionTransformer, net)
    kept: list[torch.Tensor] = []
    hook = vit.heads.register_forward_pre_hook(lambda _, given: kept.append(given[0]))
    try:
        vit(pictures)
    finally:
        hook.remove()
    return kept[0].float()


@dataclass(frozen=True)
class Model:
    """A network, how it is read, and what it sees: short side, then the centre square of it."""

    build: Callable[..., Any]
    read: Callable[[nn.Module, torch.Tensor], torch.Tensor]
    short_side: int
    crop: int
    channels: int


#: By the name in the option ``model``; sizes are SimpleVQA's and those of the ViT's own weights.
MODELS = {
    "resnet50": Model(resnet50, multi_scale, 520, 448, 7168),
    "vit_b_16": Model(vit_b_16, class_token, 256, 224, 768),
}
