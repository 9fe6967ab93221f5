"""VALOR's audio tower: a ViT-B/16 on filter banks of 64 bands and 512 frames, by timm."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

#: Bands and frames of a slice of sound.
BANDS, FRAMES = 64, 512

# Patterns of official keys, and what stands in timm's.
_TIMM_NAMES = (
    (r"audio_embeddings\.cls_token", "cls_token"),
    (r"audio_embeddings\.position_embeddings\.weight", "pos_embed"),
    (r"audio_embeddings\.first_conv\.", "patch_embed.proj."),
    (r"audio_encoder\.last_layernorm\.", "norm."),
    (r"audio_encoder\.layer\.(\d+)\.layernorm([12])\.", r"blocks.\1.norm\2."),
    (r"audio_encoder\.layer\.(\d+)\.attention\.linears\.3\.", r"blocks.\1.attn.proj."),
    (r"audio_encoder\.layer\.(\d+)\.ff_layer\.linear([12])\.", r"blocks.\1.mlp.fc\2."),
)
_QUERY = re.compile(r"audio_encoder\.layer\.(\d+)\.attention\.linears\.0\.(weight|bias)")


def build_audio_vit(depth: int = 12) -> nn.Module:
    """Return the tower: slices (n, 1, 64, 512) -> class tokens after the last norm (n, 768)."""
    import timm

    vit: nn.Module = timm.create_model(
        "vit_base_patch16_224", img_size=(BANDS, FRAMES), in_chans=1, num_classes=0, depth=depth,
        norm_layer=partial(nn.LayerNorm, eps=1e-12),
    )  # fmt: skip
    return vit


def rename_audio_vit(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return a checkpoint with the tensors of the audio tower under timm's keys and a prefix.

    Query, key and value of a block become one tensor. Other keys, and blocks whose three are not
    complete and of one shape, keep their names.
    """
    renamed = dict(state)
    for key in state:
        query = _QUERY.fullmatch(key)
        if query is not None:
            block, kind = query.groups()
            names = [key.replace("linears.0.", f"linears.{n}.") for n in range(3)]
            shapes = {tuple(state[name].shape) for name in names if name in state}
            if all(name in state for name in names) and len(shapes) == 1:
                joined = torch.cat([renamed.pop(name) for name in names])
                renamed[f"{prefix}blocks.{block}.attn.qkv.{kind}"] = joined
            continue
        for pattern, name in _TIMM_NAMES:
            timm_name, count = re.subn(rf"^{pattern}", name, key)
            if count:
                tensor = renamed.pop(key)
                renamed[prefix + timm_name] = tensor[None] if name == "pos_embed" else tensor
                break
    return renamed
