"""ImageBind and VALOR with towers of a few thousand parameters, and views for them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import timm
import torch
from torch import nn
from torchvision.models.video.swin_transformer import SwinTransformer3d

from sfqa.features import imagebind_net
from sfqa.features.contrastive_head import CHANNELS, ContrastiveHead
from sfqa.features.imagebind_net import AudioBlock, AudioTower, ImageBind
from sfqa.features.valor_net import Valor
from sfqa.regression.fine_tuning import imagebind, valor

#: Width of ImageBind's towers and of its common space, and side of VALOR's frames.
WIDTH, EMBEDDING_WIDTH, SIDE = 24, 16, 64


class SmallPatches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Conv3d(3, WIDTH, (2, 56, 56), (2, 56, 56), bias=False)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        patches: torch.Tensor = self.proj(frames).flatten(2).transpose(1, 2)
        return patches


class SmallAudioTower(AudioTower):
    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.patches = nn.Conv2d(1, WIDTH, (64, 68), (64, 68), bias=False)
        self.patch_norm, self.norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.cls_token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.pos_embed = nn.Parameter(torch.randn(1, 7, WIDTH))
        self.blocks = nn.Sequential(*(AudioBlock(WIDTH, 2) for _ in range(2)))


class SmallImageBind(ImageBind):
    def __init__(self, depths: object = None) -> None:
        nn.Module.__init__(self)
        self.vision = timm.create_model(
            "vit_huge_patch14_clip_224", num_classes=0, depth=3, embed_dim=WIDTH, num_heads=2,
            patch_size=56,
        )  # fmt: skip
        self.vision.patch_embed = SmallPatches()
        self.vision_projection = nn.Linear(WIDTH, EMBEDDING_WIDTH, bias=False)
        self.audio = SmallAudioTower()
        self.audio_projection = nn.Linear(WIDTH, EMBEDDING_WIDTH, bias=False)
        self.register_buffer("log_logit_scale", torch.tensor(20.0).log())
        self.register_state_dict_post_hook(imagebind_net._use_official_names)
        self.register_load_state_dict_pre_hook(imagebind_net._use_own_names)


class SmallValor(Valor):
    def __init__(self, size: object = None) -> None:
        nn.Module.__init__(self)
        self.has_swin = True
        self.video_encoder = SwinTransformer3d(
            patch_size=[2, 4, 4], embed_dim=8, depths=[1, 1, 1, 2], num_heads=[1, 1, 1, 1],
            window_size=[8, 7, 7], num_classes=1, stochastic_depth_prob=0.5,
        )  # fmt: skip
        del self.video_encoder.head
        self.video_encoder.patch_embed.tuple_patch_size = (1, 4, 4)
        self.video_encoder.patch_embed.proj.stride = (1, 4, 4)
        for module in self.video_encoder.modules():
            if hasattr(module, "relative_position_index"):
                index = module.relative_position_index
                module.register_buffer("relative_position_index", index, persistent=False)
        self.audio_encoder = timm.create_model(
            "vit_base_patch16_224", img_size=(64, 512), in_chans=1, num_classes=0, depth=2,
            embed_dim=WIDTH, num_heads=2, patch_size=64,
        )  # fmt: skip
        self.contra_head_v = ContrastiveHead(64)
        self.contra_head_a = ContrastiveHead(WIDTH)
        self.video_fine_weight = self.audio_fine_weight = nn.Linear(CHANNELS, 1)


def use_small_towers(monkeypatch) -> None:
    """Let the backbones ImageBind and VALOR have small networks."""
    monkeypatch.setattr(imagebind, "ImageBind", SmallImageBind)
    monkeypatch.setattr(imagebind, "EMBEDDING_WIDTH", EMBEDDING_WIDTH)
    monkeypatch.setattr(valor, "Valor", SmallValor)


def draw_spectra(rows: int, clips: int, bands: int, windows: int) -> npt.NDArray[np.float32]:
    shape = (rows, clips, bands, windows)
    return np.random.default_rng(8).normal(size=shape).astype(np.float32)


def draw_blocks(backbone: str, rows: int) -> dict[str, npt.NDArray[np.uint8]]:
    """The inputs of a backbone: three views of two frames, or two frames; and sound as bytes."""
    numbers = np.random.default_rng(6)
    if backbone == "imagebind":
        pictures, sound = (rows, 3, 3, 2, 224, 224), draw_spectra(rows, 2, 128, 204)
    else:
        pictures, sound = (rows, 2, 3, SIDE, SIDE), draw_spectra(rows, 1, 64, 512)
    name = {"imagebind": "clips", "valor": "frames"}[backbone]
    return {
        f"{backbone}.{name}": numbers.integers(0, 256, pictures, np.uint8),
        f"{backbone}.spectra": sound.view(np.uint8).reshape(*sound.shape, 4),
    }
