"""The towers and heads of VAST: EVA-CLIP giant by timm on frames, BEATs on sound."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sfqa.features import beats_net
from sfqa.features.clip_towers import resample_positions
from sfqa.features.contrastive_head import CHANNELS, ContrastiveHead

#: Channels of both towers.
VIDEO_CHANNELS, AUDIO_CHANNELS = 1408, beats_net.WIDTH

#: Blocks of the towers; reduced: few of them, for trials with random weights.
DEPTHS = {"official": (40, 12), "reduced": (1, 1)}

#: Keys of the official checkpoints, as its loader renames them, that belong to text and captions,
#: or are not read. The layers of BEATs share the table of the first one.
OTHER_KEYS = (
    "vision_encoder.text.*", "vision_encoder.logit_scale", "vision_encoder.visual.head.*",
    "multimodal_encoder.*", "contra_head_t.*", "contra_head_s.*", "contra_head_vs.*",
    "contra_head_vas.*", "itm_head.*", "hidden_trans_*", "*_frame_embedding", "*_type_embeddings",
    "contra_temp", "audio_encoder.predictor.*",
    "audio_encoder.encoder.layers.[1-9]*.self_attn.relative_attention_bias.weight",
)  # fmt: skip
_POSITIONS = "vision_encoder.visual.pos_embed"
_CONVOLUTION = "audio_encoder.encoder.pos_conv.0.weight"


class Vast(nn.Module):
    """VAST without text and subtitles: vectors of frames and of slices of sound.

    Named as in the official checkpoints, with the exception that :class:`beats_net.Beats` states.
    """

    def __init__(self, vision_depth: int = 40, audio_depth: int = 12) -> None:
        super().__init__()
        import timm

        eva = timm.create_model("eva_giant_patch14_clip_224", num_classes=0, depth=vision_depth)
        self.vision_encoder = nn.ModuleDict({"visual": eva})
        self.audio_encoder = beats_net.Beats(audio_depth)
        self.contra_head_v = ContrastiveHead(VIDEO_CHANNELS)
        self.contra_head_a = ContrastiveHead(AUDIO_CHANNELS)
        self.contra_head_va = nn.Linear(VIDEO_CHANNELS + AUDIO_CHANNELS, CHANNELS)

    def encode_frames(self, frames: Tensor) -> Tensor:
        """Return the class tokens after the last norm (n, 1408) of frames (n, 3, 224, 224)."""
        eva: Any = self.vision_encoder["visual"]
        tokens: Tensor = eva.forward_features(frames)
        return tokens[:, 0]

    def encode_slices(self, slices: Tensor) -> Tensor:
        """Return the mean token (n, 768) of slices of sound (n, 1024, 64)."""
        tokens: Tensor = self.audio_encoder(slices)
        return tokens.mean(1)

    def embed(self, video: Tensor, audio: Tensor) -> dict[str, Tensor]:
        """Return vectors in the alignment space, the joint vector of the means, and the cosine."""
        frames, slices = self.contra_head_v(video), self.contra_head_a(audio)
        joint = self.contra_head_va(torch.cat([video.mean(0), audio.mean(0)])[None])
        return {
            "video_embedding": frames,
            "audio_embedding": slices,
            "joint_embedding": functional.normalize(joint, dim=-1),
            "cosine": functional.cosine_similarity(frames.mean(0), slices.mean(0), dim=0),
        }


def rename_official_key(key: str) -> str:
    """Return the name that VAST's loader gives a key, since older runs had others.

    >>> rename_official_key("evaclip_model.visual.norm.bias")
    'vision_encoder.visual.norm.bias'
    >>> rename_official_key("video_frame_embedding")
    'vision_frame_embedding'
    """
    for old_name, name in (
        ("video", "vision"), ("evaclip_model", "vision_encoder"), ("clip_model", "vision_encoder")
    ):  # fmt: skip
        if old_name in key:
            return key.replace(old_name, name)
    return key


def convert_state(state: Mapping[str, Any], module: nn.Module) -> dict[str, Any]:
    """Return the tensors of an official checkpoint under the keys of :class:`Vast`.

    The state dict may be wrapped as ``model``. Keys are renamed as by the official loader, and
    :data:`OTHER_KEYS` left out. Direction and length of the convolution over positions become one
    weight. Positions at another resolution are resampled as in the official code. Keys that the
    network does not have keep their names, so that loading counts them.
    """
    unwrapped = state["model"] if isinstance(state.get("model"), Mapping) else state
    renamed = {
        rename_official_key(key.removeprefix("module.")): value for key, value in unwrapped.items()
    }
    converted = {
        key: value
        for key, value in renamed.items()
        if not any(fnmatchcase(key, pattern) for pattern in OTHER_KEYS)
    }
    direction, length = (f"{_CONVOLUTION}_{part}" for part in "vg")
    if {direction, length} <= set(converted) and beats_net.is_weight_norm(
        converted[direction], converted[length]
    ):
        converted[_CONVOLUTION] = beats_net.join_weight_norm(
            converted.pop(direction), converted.pop(length)
        )
    if _POSITIONS in converted and converted[_POSITIONS].ndim == 3:
        count = module.state_dict()[_POSITIONS].shape[1]
        converted[_POSITIONS] = resample_positions(converted[_POSITIONS][0], count)[None]
    return converted
