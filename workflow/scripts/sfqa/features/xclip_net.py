"""X-CLIP's networks by name, as transformers has them, with the sizes of the official code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import XCLIPConfig, XCLIPModel
from transformers.models.x_clip.configuration_x_clip import XCLIPTextConfig, XCLIPVisionConfig

#: Buffers of integers that the published files hold and that are not weights.
INTEGER_BUFFERS = ("*.position_ids",)
#: Channels per attention head, in all towers of the official code.
_HEAD_CHANNELS = 64


@dataclass(frozen=True)
class XclipSize:
    """The size of a model: frames, pixels, patches, and channels and layers of its towers."""

    frames: int
    pixels: int
    patch: int
    image_channels: int
    image_layers: int
    text_channels: int
    text_layers: int = 12


MODELS = {
    "base-patch32": XclipSize(8, 224, 32, 768, 12, 512),
    "base-patch32-16-frames": XclipSize(16, 224, 32, 768, 12, 512),
    "base-patch16": XclipSize(8, 224, 16, 768, 12, 512),
    "large-patch14": XclipSize(8, 224, 14, 1024, 24, 768),
    "large-patch14-16-frames": XclipSize(16, 336, 14, 1024, 24, 768),
}


def build_model(size: XclipSize) -> torch.nn.Module:
    """Return the model of a size with random weights.

    Each tower has one attention head per 64 channels; the library assumes 8 heads in the last
    layers, which loads the weights of the large models, too, and gives other numbers.
    """
    image, text = size.image_channels, size.text_channels
    vision_config = XCLIPVisionConfig(
        hidden_size=image, intermediate_size=4 * image, num_hidden_layers=size.image_layers,
        num_attention_heads=image // _HEAD_CHANNELS, mit_hidden_size=text,
        mit_intermediate_size=4 * text, mit_num_attention_heads=text // _HEAD_CHANNELS,
        image_size=size.pixels, patch_size=size.patch, num_frames=size.frames,
    )  # fmt: skip
    text_config = XCLIPTextConfig(
        hidden_size=text, intermediate_size=4 * text, num_hidden_layers=size.text_layers,
        num_attention_heads=text // _HEAD_CHANNELS,
    )  # fmt: skip
    config = XCLIPConfig(
        text_config=text_config.to_dict(), vision_config=vision_config.to_dict(),
        projection_dim=text, prompt_num_attention_heads=text // _HEAD_CHANNELS,
    )  # fmt: skip
    network: torch.nn.Module = XCLIPModel(config)
    return network


def embed_videos(
    network: Any, frames: torch.Tensor, tokens: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the embedding of each video (n, channels) and its similarity with its text (n,).

    ``frames`` are (n, frames, 3, height, width), normalised; ``tokens`` (n, 77) CLIP's token ids.
    """
    output = network(input_ids=tokens, pixel_values=frames)
    return output.mit_output.pooler_output, output.logits_per_video.diagonal()
