"""ImageReward's network: BLIP's image-grounded text encoder and the map from its [CLS] to a reward.

Module names are those of the official checkpoint, so it loads without renaming. The towers are
those of timm (the vision transformer) and transformers (BERT with cross-attention).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import timm
import torch
from torch import nn
from transformers.models.blip.configuration_blip import BlipTextConfig
from transformers.models.blip.modeling_blip_text import BlipTextModel

#: Buffers of integers that some checkpoints hold and that are not weights.
INTEGER_BUFFERS = ("*.position_ids",)
#: Mean and standard deviation of the official rewards of its training set.
_REWARD_MEAN, _REWARD_STD = 0.16717362830052426, 1.0333394966054072


@dataclass(frozen=True)
class BlipSize:
    """The size of the network: layers, channels and attention heads of the two towers.

    The defaults are ImageReward's: ViT-L/16 at 224 pixels and BERT-base.
    """

    image_layers: int = 24
    image_channels: int = 1024
    image_heads: int = 16
    text_layers: int = 12
    text_channels: int = 768
    text_heads: int = 12
    vocabulary: int = 30524


IMAGE_REWARD = BlipSize()


class ImageReward(nn.Module):
    """Pictures and token ids -> image-grounded text [CLS] (n, 768) and reward (n,)."""

    def __init__(self, size: BlipSize | None = None) -> None:
        super().__init__()
        size = size or IMAGE_REWARD
        self.blip = _Blip(size)
        self.mlp = _RewardMap(size.text_channels)

    def forward(
        self, pictures: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the [CLS] of each picture's text and its reward.

        ``pictures`` are (n, 3, 224, 224), normalised; ``ids`` and ``mask`` (n, tokens), where the
        mask is 0 on padding.
        """
        cls = self.blip(pictures, ids, mask)
        raw = self.mlp.layers(cls)[:, 0]
        return cls, (raw - _REWARD_MEAN) / _REWARD_STD


class _Blip(nn.Module):
    """Both towers. The two projections are in the checkpoint, and nothing here reads them."""

    def __init__(self, size: BlipSize) -> None:
        super().__init__()
        self.visual_encoder: Any = timm.create_model(
            "vit_large_patch16_224", num_classes=0, depth=size.image_layers,
            embed_dim=size.image_channels, num_heads=size.image_heads, global_pool="",
        )  # fmt: skip
        config = BlipTextConfig(
            vocab_size=size.vocabulary, hidden_size=size.text_channels,
            encoder_hidden_size=size.image_channels, intermediate_size=4 * size.text_channels,
            projection_dim=256, num_hidden_layers=size.text_layers,
            # transformers assumes 8 heads, which loads the same weights and gives other numbers.
            num_attention_heads=size.text_heads, is_decoder=True,
        )  # fmt: skip
        self.text_encoder: Any = BlipTextModel(config, add_pooling_layer=False)
        self.vision_proj = nn.Linear(size.image_channels, 256)
        self.text_proj = nn.Linear(size.text_channels, 256)

    def forward(
        self, pictures: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        output = self.text_encoder(
            input_ids=ids,
            attention_mask=mask,
            encoder_hidden_states=self.visual_encoder.forward_features(pictures),
            is_decoder=False,
        )
        cls: torch.Tensor = output.last_hidden_state[:, 0]
        return cls


class _RewardMap(nn.Module):
    """Five linear layers without activations; the official dropouts do nothing in evaluation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(channels, 1024), nn.Dropout(0.2),
            nn.Linear(1024, 128), nn.Dropout(0.2),
            nn.Linear(128, 64), nn.Dropout(0.1),
            nn.Linear(64, 16),
            nn.Linear(16, 1),
        )  # fmt: skip
