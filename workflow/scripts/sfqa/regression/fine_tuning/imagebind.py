"""ImageBind's towers for pictures and sound, and a score of both embeddings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from sfqa.features.imagebind_net import (
    DEPTHS,
    EMBEDDING_WIDTH,
    OTHER_MODALITIES,
    REDUCED_DEPTHS,
    ImageBind,
)
from sfqa.features.normalised_frames import CLIP_STATISTICS
from sfqa.features.view_columns import decode_bytes
from sfqa.features.weights import Weights
from sfqa.regression.fine_tuning.network import FineTunedNetwork, PixelNorm
from sfqa.regression.fine_tuning.parts import Branch
from sfqa.regression.fine_tuning.two_towers import (
    EmbeddingScore,
    describe_towers,
    list_blocks,
)


class Network(FineTunedNetwork):
    """Views (rows, views, 3, 2, 224, 224) and spectra (rows, clips, 128, 204, 4) to (rows, 1).

    The score is that of the mean embeddings, as the official code reduces them. Both are scaled to
    a mean square of about 1, whatever the lengths of embeddings: 1 of pictures, 20 of sound.
    """

    def __init__(self, depths: tuple[int, int]) -> None:
        super().__init__()
        self.network = ImageBind(depths)
        self.norm = PixelNorm(*CLIP_STATISTICS, scale=255.0)
        self.quality = EmbeddingScore(EMBEDDING_WIDTH)
        self.set_branches({"joint": _describe_towers(self.network, self.quality)})

    def score_branch(self, branch: str, x: Mapping[str, Tensor]) -> Tensor:
        """Return the score of both mean embeddings."""
        scale = math.sqrt(EMBEDDING_WIDTH)
        sound_length = self.network.log_logit_scale.exp()
        pictures = self.embed_views(x["clips"]).mean(dim=1) * scale
        sound = self.embed_sound(x["spectra"]).mean(dim=1) * (scale / sound_length)
        scores: Tensor = self.quality(pictures, sound)
        return scores

    def embed_views(self, clips: Tensor) -> Tensor:
        """Return the embedding of each view, (rows, views, 1024).

        The views of a row pass one after the other, so that memory holds one. One that equals the
        view before, such as the next crop of a square, is computed once.
        """
        embeddings: list[Tensor] = []
        for number in range(clips.shape[1]):
            view = clips[:, number]
            if number and not view.is_meta and torch.equal(view, clips[:, number - 1]):
                embeddings.append(embeddings[-1])
            else:
                embeddings.append(self.network.embed_views(self.norm(view, axis=1))[1])
        return torch.stack(embeddings, dim=1)

    def embed_sound(self, spectra: Tensor) -> Tensor:
        """Return the embedding of each clip of sound, (rows, clips, 1024)."""
        numbers = decode_bytes(spectra, torch.float32).to(self.norm.mean.dtype)
        embeddings = self.network.embed_sound(numbers.flatten(0, 1)[:, None])[1]
        return embeddings.unflatten(0, spectra.shape[:2])


def _describe_towers(network: ImageBind, head: EmbeddingScore) -> Branch:
    """Return the units of both towers; norm and projection belong to the last block."""
    vision, audio = network.vision, network.audio
    pictures = list_blocks(
        "vision",
        [vision.patch_embed, vision.cls_token, vision.pos_embed, vision.norm_pre],
        vision.blocks,
        [vision.norm, network.vision_projection],
    )
    sound = list_blocks(
        "sound",
        [audio.patches, audio.patch_norm, audio.cls_token, audio.pos_embed],
        audio.blocks,
        [audio.norm, network.audio_projection],
    )
    return describe_towers(pictures, sound, head)


def build(options: Mapping[str, Any]) -> Network:
    """Return the network with drawn weights."""
    return Network(_choose_depths(options))


def load_published(weights: Mapping[str, Weights], options: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the state of the towers with the weights of the extractor; the head is not in it."""
    build_network = partial(ImageBind, _choose_depths(options))
    state = weights["imagebind"].load(build_network, OTHER_MODALITIES).state_dict()
    return {f"network.{key}": value for key, value in state.items()}


def _choose_depths(options: Mapping[str, Any]) -> tuple[int, int]:
    return REDUCED_DEPTHS if options["blocks"] == "reduced" else DEPTHS
