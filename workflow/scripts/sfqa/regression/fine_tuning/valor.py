"""VALOR-base's towers for frames and sound, and a score of both embeddings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sfqa.features.contrastive_head import CHANNELS
from sfqa.features.normalised_frames import IMAGENET_STATISTICS
from sfqa.features.valor_net import OTHER_KEYS, SIZES, Valor, rename_official_keys
from sfqa.features.view_columns import decode_bytes
from sfqa.features.weights import Weights
from sfqa.regression.fine_tuning.network import FineTunedNetwork, PixelNorm
from sfqa.regression.fine_tuning.parts import Branch, Member
from sfqa.regression.fine_tuning.two_towers import (
    EmbeddingScore,
    Stages,
    describe_towers,
    list_blocks,
)

#: The released model that is trained.
MODEL = "base"
#: Modules of the network that weigh frames and slices in retrieval; no score depends on them.
UNUSED = ("video_fine_weight", "audio_fine_weight")


class Network(FineTunedNetwork):
    """Frames (rows, frames, 3, 224, 224) and slices (rows, slices, 64, 512, 4) to (rows, 1).

    The score is that of the mean embeddings of frames and of slices of sound, which have length 1
    each and are scaled to a mean square of about 1.
    """

    def __init__(self, blocks: str) -> None:
        super().__init__()
        self.network = Valor(SIZES[MODEL, blocks])
        for name in UNUSED:
            delattr(self.network, name)
        self.norm = PixelNorm(*IMAGENET_STATISTICS, scale=255.0)
        self.quality = EmbeddingScore(CHANNELS)
        self.set_branches({"joint": _describe_towers(self.network, self.quality)})

    def score_branch(self, branch: str, x: Mapping[str, Tensor]) -> Tensor:
        """Return the score of both mean embeddings."""
        scale = math.sqrt(CHANNELS)
        pictures = self.embed_frames(x["frames"]).mean(dim=1) * scale
        sound = self.embed_slices(x["spectra"]).mean(dim=1) * scale
        scores: Tensor = self.quality(pictures, sound)
        return scores

    def embed_frames(self, frames: Tensor) -> Tensor:
        """Return the embedding of each frame, (rows, frames, 512)."""
        vectors = self.network.encode_frames(self.norm(frames, axis=2))
        return functional.normalize(self.network.contra_head_v(vectors), dim=-1)

    def embed_slices(self, spectra: Tensor) -> Tensor:
        """Return the embedding of each slice of sound, (rows, slices, 512)."""
        numbers = decode_bytes(spectra, torch.float32).to(self.norm.mean.dtype)
        vectors = self.network.encode_slices(numbers.flatten(0, 1))
        embeddings = functional.normalize(self.network.contra_head_a(vectors), dim=-1)
        return embeddings.unflatten(0, spectra.shape[:2])


def _describe_towers(network: Valor, head: EmbeddingScore) -> Branch:
    """Return the units of Swin and audio ViT; norm and projection belong to the last block."""
    swin: Any = network.video_encoder
    audio: Any = network.audio_encoder
    pictures = _list_swin_stages(swin)
    pictures[-1][-1][1].extend([swin.norm, network.contra_head_v])
    sound = list_blocks(
        "sound",
        [audio.patch_embed, audio.cls_token, audio.pos_embed],
        audio.blocks,
        [audio.norm, network.contra_head_a],
    )
    return describe_towers(pictures, sound, head)


def _list_swin_stages(swin: Any) -> Stages:
    """Return the stages of torchvision's Swin3D, which begin with the merging of patches."""
    stages: Stages = [[("video patches", [swin.patch_embed])]]
    merging: list[Member] = []
    for module in swin.features:
        if not isinstance(module, nn.Sequential):
            merging = [module]
            continue
        units: list[tuple[str, list[Member]]] = [
            (f"video stage {len(stages)} block {n + 1}", [block]) for n, block in enumerate(module)
        ]
        units[0][1][:0] = merging
        stages.append(units)
    return stages


def build(options: Mapping[str, Any]) -> Network:
    """Return the network with drawn weights."""
    return Network(str(options["blocks"]))


def load_published(weights: Mapping[str, Weights], options: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the state of the towers with the weights of the extractor; the head is not in it."""
    build_network = partial(Valor, SIZES[MODEL, options["blocks"]])
    state = weights["valor"].load(build_network, OTHER_KEYS, rename_official_keys).state_dict()
    return {
        f"network.{key}": value
        for key, value in state.items()
        if key.partition(".")[0] not in UNUSED
    }
