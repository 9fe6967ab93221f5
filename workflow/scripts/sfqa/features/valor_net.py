"""The towers and heads of VALOR, as released: Video-Swin-B or CLIP ViT-L/14, and an audio ViT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from sfqa.features.audio_vit import build_audio_vit, rename_audio_vit
from sfqa.features.clip_towers import build_clip_tower, resample_positions
from sfqa.features.contrastive_head import CHANNELS, ContrastiveHead
from sfqa.features.gated_swin3d import to_official_name

#: Channels of both video towers and of the audio tower.
VIDEO_CHANNELS, AUDIO_CHANNELS = 1024, 768
#: How the keys of each video tower begin in the official checkpoints.
SWIN_PREFIX, CLIP_PREFIX = "video_encoder.", "clip_model.visual."

#: Keys of the official checkpoints that belong to text, captions and questions, or are not read.
OTHER_KEYS = (
    "clip_model.transformer.*", "clip_model.token_embedding.*", "clip_model.positional_embedding",
    "clip_model.ln_final.*", "clip_model.prompt_embedding.*", "clip_model.text_projection",
    "clip_model.logit_scale", "clip_model.visual.proj", "multimodal_encoder.*", "txt_encoder.*",
    "cls.*", "text_fine_weight.*", "contra_head_t.*", "*_frame_embedding", "*_type_embeddings",
    "hidden_trans_*", "contra_temp", "itm_head.*", "audio_embeddings.distill_token",
    "video_encoder.*.relative_position_index",
)  # fmt: skip


@dataclass(frozen=True)
class ValorSize:
    """Blocks of the towers: of a Swin in four stages, or of a CLIP ViT; and of the audio ViT."""

    swin: tuple[int, ...] = ()
    clip: int = 0
    audio: int = 12


#: The released models, and few blocks of each for trials with random weights.
SIZES = {
    ("base", "official"): ValorSize(swin=(2, 2, 18, 2)),
    ("large", "official"): ValorSize(clip=24),
    ("base", "reduced"): ValorSize(swin=(2, 1, 1, 1), audio=1),
    ("large", "reduced"): ValorSize(clip=1, audio=1),
}


class Valor(nn.Module):
    """VALOR without its text encoder: vectors of frames and of slices of sound.

    ``video_encoder`` is torchvision's Swin3D-B, whose patches overlap in time so that every frame
    keeps a place, or open_clip's ViT-L/14 on single frames; ``audio_encoder`` is timm's ViT-B/16 on
    filter banks.
    """

    def __init__(self, size: ValorSize) -> None:
        super().__init__()
        self.has_swin = bool(size.swin)
        self.video_encoder: nn.Module = (
            _build_swin(size.swin) if size.swin else build_clip_tower(1024, size.clip, 14)
        )
        self.audio_encoder = build_audio_vit(size.audio)
        self.contra_head_v = ContrastiveHead(VIDEO_CHANNELS)
        self.contra_head_a = ContrastiveHead(AUDIO_CHANNELS)
        self.video_fine_weight = _build_fine_weight()
        self.audio_fine_weight = _build_fine_weight()

    def encode_frames(self, frames: Tensor) -> Tensor:
        """Return the vectors of frames.

        Swin: clips (n, frame, 3, 224, 224) -> means over the positions of each frame
        (n, frame, 1024). CLIP: frames (n, 3, 224, 224) -> class tokens (n, 1024).
        """
        if not self.has_swin:
            tokens: Tensor = self.video_encoder(frames)
            return tokens
        # One empty frame at the end: a patch covers two frames and moves by one.
        clips = functional.pad(frames.transpose(1, 2), (0, 0, 0, 0, 0, 1))
        return encode_positions(self.video_encoder, clips).mean((2, 3))

    def encode_slices(self, slices: Tensor) -> Tensor:
        """Return the class tokens (n, 768) of slices of sound (n, 64, 512)."""
        tokens: Tensor = self.audio_encoder(slices[:, None])
        return tokens

    def embed(self, video: Tensor, audio: Tensor) -> dict[str, Tensor]:
        """Return vectors of frames and of slices in the alignment space, and their similarity."""
        frames = functional.normalize(self.contra_head_v(video), dim=-1)
        slices = functional.normalize(self.contra_head_a(audio), dim=-1)
        return {
            "video_embedding": frames,
            "audio_embedding": slices,
            "cosine": self.compare(frames, slices),
        }

    def compare(self, frames: Tensor, slices: Tensor) -> Tensor:
        """Return VALOR's similarity of frames (frame, 512) and slices (slice, 512), a number.

        The largest cosine of each frame with any slice, weighted over frames by a softmax of the
        fine weights, and the same of each slice with any frame; then the mean of both.
        """
        cosines = frames @ slices.T
        frame_weights = self.video_fine_weight(frames).squeeze(-1).softmax(-1)
        slice_weights = self.audio_fine_weight(slices).squeeze(-1).softmax(-1)
        frame_sum = (cosines.amax(1) * frame_weights).sum()
        slice_sum = (cosines.amax(0) * slice_weights).sum()
        return (frame_sum + slice_sum) / 2


def encode_positions(swin: Any, clips: Tensor) -> Tensor:
    """Return the normalised positions (n, time, row, column, channel) of torchvision's Swin."""
    positions: Tensor = swin.norm(swin.features(swin.patch_embed(clips)))
    return positions


def _build_swin(depths: tuple[int, ...]) -> nn.Module:
    from torchvision.models.video.swin_transformer import SwinTransformer3d

    swin: Any = SwinTransformer3d(
        patch_size=[2, 4, 4], embed_dim=128, depths=list(depths), num_heads=[4, 8, 16, 32],
        window_size=[8, 7, 7], num_classes=1,
    )  # fmt: skip
    swin.head = nn.Identity()
    # A patch of two frames moves by one frame; torchvision would pad to whole patches.
    swin.patch_embed.tuple_patch_size = swin.patch_embed.proj.stride = (1, 4, 4)
    for module in swin.modules():
        if hasattr(module, "relative_position_index"):
            # Computed, so no part of the weights.
            index = module.relative_position_index
            module.register_buffer("relative_position_index", index, persistent=False)
    built: nn.Module = swin
    return built


def _build_fine_weight() -> nn.Sequential:
    return nn.Sequential(nn.Linear(CHANNELS, CHANNELS), nn.ReLU(), nn.Linear(CHANNELS, 1))


def rename_official_keys(state: Mapping[str, Any], module: nn.Module) -> dict[str, Any]:
    """Return the tensors of an official checkpoint under the keys of :class:`Valor`.

    Query, key and value of an audio block become one tensor. The positions of a CLIP at another
    resolution are resampled as in the official code. Keys that no tower has keep their names, so
    that loading counts them.
    """
    renamed = rename_audio_vit(state, "audio_encoder.")
    for key, tensor in module.state_dict().items():
        tower, _, name = key.partition(".")
        if tower != "video_encoder":
            continue
        official = f"{CLIP_PREFIX}{name}"
        if getattr(module, "has_swin", False):
            official = f"{SWIN_PREFIX}{to_official_name(name)}"
        if official in renamed:
            value = renamed.pop(official)
            if name == "positional_embedding":
                value = resample_positions(value, len(tensor))
            renamed[key] = value
    return renamed


def find_model(state: Mapping[str, Any]) -> str | None:
    """Return the released model whose video tower a checkpoint holds; None for neither.

    >>> find_model({"video_encoder.layers.0.blocks.0.norm1.bias": 0}), find_model({"head.bias": 0})
    ('base', None)
    """
    for prefix, model in ((f"{SWIN_PREFIX}layers.", "base"), (CLIP_PREFIX, "large")):
        if any(key.startswith(prefix) for key in state):
            return model
    return None
