"""ImageBind's towers for pictures and sound, with the keys of the official file.

Pictures pass through OpenCLIP's ViT-H/14, which timm has, with patches of two frames. The blocks of
the sound's tower are written here, because their attention adds a learned key and value.
"""

from __future__ import annotations

import math
import re
from functools import partial
from typing import Any

import timm
import torch
from timm.layers.mlp import Mlp
from torch import Tensor, nn

#: Keys of the official file that belong to modalities that are not read here.
OTHER_MODALITIES = tuple(f"modality_*.{name}.*" for name in ("text", "depth", "thermal", "imu"))
#: Blocks of the two towers, and those of trials with random weights.
DEPTHS, REDUCED_DEPTHS = (32, 12), (2, 2)
VISION_WIDTH, AUDIO_WIDTH, EMBEDDING_WIDTH = 1280, 768, 1024
#: Mel bands and columns of a clip of sound.
BANDS, COLUMNS = 128, 204

_NORM = partial(nn.LayerNorm, eps=1e-6)
#: Length of the sound's embeddings.
_AUDIO_LENGTH = 20.0
#: Patterns of our keys, and what stands in the official file.
_OFFICIAL_NAMES = (
    (r"^vision\.(cls_token)$", r"modality_preprocessors.vision.\1"),
    (r"^vision\.pos_embed$", r"modality_preprocessors.vision.pos_embedding_helper.pos_embed"),
    (r"^vision\.patch_embed\.proj\.", r"modality_preprocessors.vision.rgbt_stem.proj.1."),
    (r"^vision\.norm_pre\.", r"modality_trunks.vision.pre_transformer_layer.0."),
    (r"^vision\.(blocks\.\d+\.)norm(\d)\.", r"modality_trunks.vision.\1norm_\2."),
    (r"^vision\.(blocks\.\d+\.attn\.)qkv\.", r"modality_trunks.vision.\1in_proj_"),
    (r"^vision\.(blocks\.\d+\.attn\.)proj\.", r"modality_trunks.vision.\1out_proj."),
    (r"^(vision|audio)\.blocks\.", r"modality_trunks.\1.blocks."),
    (r"^(vision|audio)\.norm\.", r"modality_heads.\1.0."),
    (r"^(vision|audio)_projection\.", r"modality_heads.\1.2."),
    (r"^audio\.(cls_token)$", r"modality_preprocessors.audio.\1"),
    (r"^audio\.pos_embed$", r"modality_preprocessors.audio.pos_embedding_helper.pos_embed"),
    (r"^audio\.patches\.", r"modality_preprocessors.audio.rgbt_stem.proj."),
    (r"^audio\.patch_norm\.", r"modality_preprocessors.audio.rgbt_stem.norm_layer."),
    (r"^log_logit_scale$", r"modality_postprocessors.audio.1.log_logit_scale"),
)


class ImageBind(nn.Module):
    """Both towers; the state dict has the official names.

    >>> with torch.device("meta"):
    ...     keys = list(ImageBind(REDUCED_DEPTHS).state_dict())
    >>> keys[0], keys[-1]
    ('modality_postprocessors.audio.1.log_logit_scale', 'modality_heads.audio.2.weight')
    """

    log_logit_scale: Tensor

    def __init__(self, depths: tuple[int, int] = DEPTHS) -> None:
        super().__init__()
        # timm's model has LayerNorms with another eps, and patches of one frame.
        self.vision: Any = timm.create_model(
            "vit_huge_patch14_clip_224", num_classes=0, depth=depths[0], norm_layer=_NORM
        )
        self.vision.patch_embed = _FramePatches()
        self.vision_projection = nn.Linear(VISION_WIDTH, EMBEDDING_WIDTH, bias=False)
        self.audio = AudioTower(depths[1])
        self.audio_projection = nn.Linear(AUDIO_WIDTH, EMBEDDING_WIDTH, bias=False)
        self.register_buffer("log_logit_scale", torch.tensor(math.log(_AUDIO_LENGTH)))
        self.register_state_dict_post_hook(_use_official_names)
        self.register_load_state_dict_pre_hook(_use_own_names)

    def embed_views(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Return class token (n, 1280) and embedding (n, 1024), of length 1, of each view.

        ``views`` are two frames each, (n, 3, 2, 224, 224), normalised.
        """
        tokens = self.vision.forward_features(views)[:, 0]
        return tokens, nn.functional.normalize(self.vision_projection(tokens), dim=-1)

    def embed_sound(self, spectra: Tensor) -> tuple[Tensor, Tensor]:
        """Return class token (n, 768) and embedding (n, 1024), of length 20, of each clip.

        ``spectra`` are (n, 1, 128, 204): mel bands and columns of 10 ms, normalised.
        """
        tokens = self.audio(spectra)
        embeddings = nn.functional.normalize(self.audio_projection(tokens), dim=-1)
        return tokens, embeddings * self.log_logit_scale.exp().clip(max=100)


class _FramePatches(nn.Module):
    """Two frames (n, 3, 2, 224, 224) -> patches of both (n, 256, 1280)."""

    def __init__(self) -> None:
        super().__init__()
        size = (2, 14, 14)
        self.proj = nn.Conv3d(3, VISION_WIDTH, size, size, bias=False)

    def forward(self, frames: Tensor) -> Tensor:
        patches: Tensor = self.proj(frames).flatten(2).transpose(1, 2)
        return patches


class AudioTower(nn.Module):
    """Mel spectra (n, 1, 128, 204) -> normalised class token (n, 768).

    Patches of 16x16 every 10 bands and columns: 12 x 19 of them.
    """

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, AUDIO_WIDTH, 16, 10, bias=False)
        self.patch_norm = nn.LayerNorm(AUDIO_WIDTH)
        count = ((BANDS - 16) // 10 + 1) * ((COLUMNS - 16) // 10 + 1)
        scale = AUDIO_WIDTH**-0.5
        self.cls_token = nn.Parameter(scale * torch.randn(1, 1, AUDIO_WIDTH))
        self.pos_embed = nn.Parameter(scale * torch.randn(1, 1 + count, AUDIO_WIDTH))
        self.blocks = nn.Sequential(*(AudioBlock() for _ in range(depth)))
        self.norm = _NORM(AUDIO_WIDTH)

    def forward(self, spectra: Tensor) -> Tensor:
        """Return the class tokens."""
        tokens: Tensor = self.norm(self.blocks(self.embed_patches(spectra)))
        return tokens[:, 0]

    def embed_patches(self, spectra: Tensor) -> Tensor:
        """Return the class token and the patches with their positions, (n, 229, 768)."""
        patches = self.patch_norm(self.patches(spectra).flatten(2).transpose(1, 2))
        tokens = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1)
        return tokens + self.pos_embed


class AudioBlock(nn.Module):
    """A transformer block whose attention also sees one learned key and value."""

    def __init__(self, width: int = AUDIO_WIDTH, heads: int = 12) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = _NORM(width), _NORM(width)
        self.attn = nn.MultiheadAttention(width, heads, add_bias_kv=True, batch_first=True)
        self.mlp = Mlp(width, 4 * width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the tokens (n, tokens, width) after attention and perceptron."""
        x = self.norm_1(tokens)
        tokens = tokens + self.attn(x, x, x, need_weights=False)[0]
        perceived: Tensor = tokens + self.mlp(self.norm_2(tokens))
        return perceived


def _to_official(key: str) -> str:
    """Return the official name of a key.

    >>> _to_official("vision.blocks.7.attn.qkv.bias"), _to_official("audio.norm.bias")
    ('modality_trunks.vision.blocks.7.attn.in_proj_bias', 'modality_heads.audio.0.bias')
    """
    for pattern, name in _OFFICIAL_NAMES:
        official, count = re.subn(pattern, name, key)
        if count:
            return official
    return key


def _use_official_names(
    module: nn.Module, state: dict[str, Tensor], prefix: str, metadata: object
) -> None:
    for key in [key for key in state if key.startswith(prefix)]:
        state[prefix + _to_official(key.removeprefix(prefix))] = state.pop(key)


def _use_own_names(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    tensors = [*module.named_parameters(), *module.named_buffers()]
    for name, _tensor in tensors:
        official = prefix + _to_official(name)
        if official in state:
            state[prefix + name] = state.pop(official)
