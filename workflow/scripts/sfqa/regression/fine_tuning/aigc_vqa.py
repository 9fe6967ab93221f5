"""AIGC-VQA (CVPRW 2024): DOVER's two branches, and BLIP with ST-Adapter for the prompt."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from sfqa.features.blip_net import IMAGE_REWARD, INTEGER_BUFFERS, BlipSize, ImageReward
from sfqa.features.map_networks import INTEGER_TABLES, Dover
from sfqa.features.normalised_frames import CLIP_STATISTICS
from sfqa.features.quality_maps import MEAN, STD
from sfqa.features.weights import Weights
from sfqa.regression.fine_tuning.network import FineTunedNetwork, PixelNorm
from sfqa.regression.fine_tuning.parts import Branch, Member, make_branch
from sfqa.regression.fine_tuning.st_adapter import StAdapter
from sfqa.regression.fine_tuning.swin_branch import describe_convnext, describe_swin, score_clips

#: BLIP of two small layers in each tower, for trials.
REDUCED_BLIP = BlipSize(2, 32, 2, 2, 32, 2)


class Network(FineTunedNetwork):
    """Views of DOVER and BLIP to s = q_t + q_a + s_a, (rows, 1).

    The alignment branch reads frames (rows, frames, 3, 224, 224) and the bytes of the prompt's
    tokens (rows, 1, tokens, 2). Its score is ImageReward's MLP on the mean text token of the
    frames; ``adapter`` puts ST-Adapter between the towers.
    """

    def __init__(self, reduced: bool, adapter: bool) -> None:
        super().__init__()
        size = REDUCED_BLIP if reduced else IMAGE_REWARD
        self.dover = Dover(reduced)
        self.reward = ImageReward(size)
        self.adapter = StAdapter(size.image_channels) if adapter else None
        self.norm = PixelNorm(MEAN, STD)
        self.picture_norm = PixelNorm(*CLIP_STATISTICS, scale=255.0)
        dover = self.dover
        self.set_branches({
            "technical": describe_swin(dover.technical_backbone, dover.technical_head),
            "aesthetic": describe_convnext(dover.aesthetic_backbone, dover.aesthetic_head),
            "alignment": _describe_blip(self.reward, self.adapter),
        })  # fmt: skip

    def score_branch(self, branch: str, x: Mapping[str, Tensor]) -> Tensor:
        """Return the score of a branch."""
        if branch == "alignment":
            return self._score_alignment(x["frames"], x["tokens"])
        tower = self.dover.get_submodule(f"{branch}_backbone")
        head: Any = self.dover.get_submodule(f"{branch}_head")
        return score_clips(tower, head, self.norm, x[branch])

    def _score_alignment(self, frames: Tensor, tokens: Tensor) -> Tensor:
        blip: Any = self.reward.blip
        rows, count = frames.shape[:2]
        pictures = self.picture_norm(frames.flatten(0, 1), axis=1)
        places = blip.visual_encoder.forward_features(pictures)
        if self.adapter is not None:
            places = self.adapter(places.unflatten(0, (rows, count))).flatten(0, 1)
        ids = tokens[:, 0, :, 0].long() * 256 + tokens[:, 0, :, 1].long()
        ids = ids.repeat_interleave(count, dim=0)
        output = blip.text_encoder(
            input_ids=ids, attention_mask=(ids > 0).long(), encoder_hidden_states=places,
            is_decoder=False,
        )  # fmt: skip
        token = output.last_hidden_state[:, 0].unflatten(0, (rows, count)).mean(dim=1)
        scores: Tensor = self.reward.mlp.layers(token)
        return scores


def _describe_blip(network: ImageReward, adapter: nn.Module | None) -> Branch:
    """Return the units of BLIP: the vision transformer's blocks, then the text encoder's layers.

    Adapter and MLP are the head. BLIP's two projections are read by nothing, and stay frozen.
    """
    blip: Any = network.blip
    vision, text = blip.visual_encoder, blip.text_encoder
    stages: list[tuple[str, list[tuple[str, list[Member]]]]] = [
        ("pictures", [("", [vision.patch_embed, vision.cls_token, vision.pos_embed])]),
        ("vision", [(f"block {n + 1}", [block]) for n, block in enumerate(vision.blocks)]),
        ("text", [("embeddings", [text.embeddings])]),
    ]
    stages[1][1][-1][1].append(vision.norm)
    stages[2][1].extend((f"layer {n + 1}", [layer]) for n, layer in enumerate(text.encoder.layer))
    return make_branch(stages, [network.mlp, *([adapter] if adapter else [])])


def build(options: Mapping[str, Any]) -> Network:
    """Return the network with drawn weights."""
    return Network(options["blocks"] == "reduced", bool(options["adapter"]))


def load_published(weights: Mapping[str, Weights], options: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the state of DOVER's and ImageReward's networks; the adapter is not in it."""
    reduced = options["blocks"] == "reduced"
    size = REDUCED_BLIP if reduced else IMAGE_REWARD
    dover = weights["dover"].load(partial(Dover, reduced), INTEGER_TABLES)
    reward = weights["blip"].load(partial(ImageReward, size), INTEGER_BUFFERS)
    return {
        **{f"dover.{key}": value for key, value in dover.state_dict().items()},
        **{f"reward.{key}": value for key, value in reward.state_dict().items()},
    }
