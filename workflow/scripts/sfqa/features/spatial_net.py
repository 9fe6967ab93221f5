"""Feature vectors of pictures from torchvision's networks, which load the official weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from torchvision.models import ResNet, VisionTransformer, resnet50, vit_b_16
from torchvision.models.resnet import Bottleneck

#: Blocks of each stage of a ResNet-50, and of one for trials.
RESNET50_DEPTHS, REDUCED_DEPTHS = (3, 4, 6, 3), (1, 1, 1, 1)


def multi_scale(net: nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    """Return SimpleVQA's spatial features (n, 7168) by ResNet-50, float32.

    ``pictures`` (n, 3, height, width) are normalised. The global average and the unbiased standard
    deviation (over the h w places, divisor h w - 1) of the outputs of three stages, in the order
    average layer2 (512), deviation layer2 (512), average layer3 (1024), deviation layer3 (1024),
    average layer4 (2048), deviation layer4 (2048). Source: Sun et al., "A Deep Learning based
    No-reference Quality Assessment Model for UGC Videos", ACM MM 2022, section 3.1.
    """
    parts = []
    for x in _iterate_stages(net, pictures):
        places = x.float().flatten(2)
        parts += [places.mean(2), places.std(2, correction=1)]
    return torch.cat(parts, 1)


def _iterate_stages(net: nn.Module, pictures: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield the outputs of layer2, layer3 and layer4."""
    resnet = cast(ResNet, net)
    x = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(pictures))))
    x = resnet.layer1(x)
    for stage in (resnet.layer2, resnet.layer3, resnet.layer4):
        x = stage(x)
        yield x


def pool_last_stage(net: nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    """Return mean (2048) and unbiased deviation (2048) of layer4 over its places, (n, 4096)."""
    *_, x = _iterate_stages(net, pictures)
    places = x.float().flatten(2)
    return torch.cat([places.mean(2), places.std(2, correction=1)], 1)


def average_last_stage(net: nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    """Return the mean of layer4 over its places, (n, 2048)."""
    *_, x = _iterate_stages(net, pictures)
    return x.float().flatten(2).mean(2)


def class_token(net: nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    """Return the class token after the last norm, before the classifier, (n, width), float32."""
    vit = cast(VisionTransformer, net)
    hook_inputs: list[torch.Tensor] = []
    hook = vit.heads.register_forward_pre_hook(lambda _, inputs: hook_inputs.append(inputs[0]))
    try:
        vit(pictures)
    finally:
        hook.remove()
    return hook_inputs[0].float()


def build_simplevqa(depths: tuple[int, ...] = RESNET50_DEPTHS) -> nn.Module:
    """Return the network of SimpleVQA's checkpoint: ResNet-50 without classifier, and ``quality``.

    ``quality`` is the head, two layers without an activation, 9472 -> 128 -> 1: it reads the
    spatial features and SlowFast's of a second. Other ``depths`` are for trials.
    """
    net = ResNet(Bottleneck, list(depths))
    del net.fc
    net.quality = nn.Sequential(nn.Linear(9472, 128), nn.Linear(128, 1))
    return net


@dataclass(frozen=True)
class SpatialModel:
    """A network, how its features are read, and its input: short side, then a central square."""

    build: Callable[..., Any]
    read: Callable[[nn.Module, torch.Tensor], torch.Tensor]
    short_side: int
    crop: int
    channels: int


#: Networks by the option ``model``; input sizes are those of SimpleVQA and of the ViT's weights.
MODELS = {
    "resnet50": SpatialModel(resnet50, multi_scale, 520, 448, 7168),
    "simplevqa": SpatialModel(build_simplevqa, multi_scale, 520, 448, 7168),
    "vit_b_16": SpatialModel(vit_b_16, class_token, 256, 224, 768),
}
