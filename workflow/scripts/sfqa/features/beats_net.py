"""BEATs (Chen et al., ICML 2023), VAST's audio tower: a transformer with gated relative positions.

Hand-written: speechbrain 1.1.2 has it in a file of 2,096 lines that imports torchaudio, asks for
five more packages, and has other default settings (no deep norm, distances up to 1280).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Channels of the tokens, and of patches before they are projected.
WIDTH, PATCH_WIDTH = 768, 512
_HEADS, _HIDDEN, _PATCH = 12, 3072, 16
# Buckets of relative positions, and the distance from which all share the last one: the
# configuration of BEATs_iter3_plus_AS2M.pt.
_BUCKETS, _FARTHEST = 320, 800
# Kernel and groups of the convolution over positions.
_POSITION_KERNEL, _POSITION_GROUPS = 128, 16
# Numbers that give a gate, in two halves.
_GATE_CHANNELS = 8


class Beats(nn.Module):
    """Filter banks (n, windows, bands) -> tokens (n, windows / 16 * bands / 16, 768).

    Named as in the official checkpoints, except that the convolution over positions has one weight
    in place of direction and length (:func:`join_weight_norm`). ``depth`` also scales the residual
    connections (deep norm).
    """

    def __init__(self, depth: int = 12) -> None:
        super().__init__()
        self.patch_embedding = nn.Conv2d(1, PATCH_WIDTH, _PATCH, _PATCH, bias=False)
        self.layer_norm = nn.LayerNorm(PATCH_WIDTH)
        self.post_extract_proj = nn.Linear(PATCH_WIDTH, WIDTH)
        self.encoder = BeatsEncoder(depth)

    def forward(self, banks: Tensor) -> Tensor:
        """Return the tokens of the last layer."""
        patches = self.patch_embedding(banks[:, None]).flatten(2).transpose(1, 2)
        tokens: Tensor = self.encoder(self.post_extract_proj(self.layer_norm(patches)))
        return tokens


class BeatsEncoder(nn.Module):
    """The layers after a convolution over positions; they share one table of positions."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        convolution = nn.Conv1d(
            WIDTH, WIDTH, _POSITION_KERNEL, padding=_POSITION_KERNEL // 2, groups=_POSITION_GROUPS
        )
        self.pos_conv = nn.Sequential(convolution, nn.GELU())
        self.layer_norm = nn.LayerNorm(WIDTH)
        self.layers = nn.ModuleList(BeatsLayer(depth, number == 0) for number in range(depth))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens (n, token, channel) after the last layer."""
        # An even kernel with padding on both sides gives one position too many.
        positions = self.pos_conv[0](tokens.transpose(1, 2))[..., :-1]
        tokens = self.layer_norm(tokens + self.pos_conv[1](positions).transpose(1, 2))
        bias = self.layers[0].self_attn.compute_bias(tokens.shape[1])  # type: ignore[union-attr,operator]
        for layer in self.layers:
            tokens = layer(tokens, bias)
        return tokens


class BeatsLayer(nn.Module):
    """Attention and a network of two linear layers, each before a norm of the scaled sum."""

    def __init__(self, depth: int, has_table: bool) -> None:
        super().__init__()
        self.residual_scale = (2 * depth) ** 0.25
        self.self_attn = GatedRelativeAttention(has_table)
        self.self_attn_layer_norm = nn.LayerNorm(WIDTH)
        self.fc1 = nn.Linear(WIDTH, _HIDDEN)
        self.fc2 = nn.Linear(_HIDDEN, WIDTH)
        self.final_layer_norm = nn.LayerNorm(WIDTH)

    def forward(self, tokens: Tensor, bias: Tensor) -> Tensor:
        """Return tokens (n, token, channel); ``bias`` (head, token, token)."""
        attended = self.self_attn(tokens, bias)
        tokens = self.self_attn_layer_norm(tokens * self.residual_scale + attended)
        hidden = self.fc2(functional.gelu(self.fc1(tokens)))
        normed: Tensor = self.final_layer_norm(tokens * self.residual_scale + hidden)
        return normed


class GatedRelativeAttention(nn.Module):
    """Attention whose bias of relative positions is scaled for each query and head by a gate."""

    def __init__(self, has_table: bool) -> None:
        super().__init__()
        if has_table:
            self.relative_attention_bias = nn.Embedding(_BUCKETS, _HEADS)
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (
            nn.Linear(WIDTH, WIDTH) for _ in range(4)
        )
        self.grep_linear = nn.Linear(WIDTH // _HEADS, _GATE_CHANNELS)
        self.grep_a = nn.Parameter(torch.ones(1, _HEADS, 1, 1))

    def forward(self, tokens: Tensor, bias: Tensor) -> Tensor:
        """Return the attended tokens (n, token, channel)."""
        query, key, value = (
            projection(tokens).unflatten(-1, (_HEADS, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        halves = self.grep_linear(query).unflatten(-1, (2, -1)).sum(-1).sigmoid()
        scale = halves[..., :1] * (halves[..., 1:] * self.grep_a - 1) + 2
        attended = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=(scale * bias).to(query.dtype)
        )
        projected: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return projected

    def compute_bias(self, count: int) -> Tensor:
        """Return the bias (head, token, token) of ``count`` tokens by their distances."""
        position = torch.arange(count, device=self.grep_a.device)
        buckets = find_buckets(position[None] - position[:, None])
        bias: Tensor = self.relative_attention_bias(buckets).permute(2, 0, 1)
        return bias


def find_buckets(distances: Tensor) -> Tensor:
    """Return the bucket of each signed distance between tokens, int64.

    Half of the buckets are for later tokens. Of a half, the first 80 have one distance each, the
    others grow with the logarithm of the distance.

    >>> find_buckets(torch.tensor([0, -1, 1, -79, -80, -800, -9999])).tolist()
    [0, 1, 161, 79, 80, 159, 159]
    """
    half = _BUCKETS // 2
    exact, near = half // 2, distances.abs()
    logarithms = torch.log(near.clamp(min=1).float() / exact) / math.log(_FARTHEST / exact)
    far = (exact + (logarithms * (half - exact)).long()).clamp(max=half - 1)
    return (distances > 0).long() * half + torch.where(near < exact, near, far)


def is_weight_norm(direction: Tensor, length: Tensor) -> bool:
    """Return whether tensors have the shapes of direction and length per place of a kernel."""
    return direction.ndim == 3 and length.shape == (1, 1, direction.shape[2])


def join_weight_norm(direction: Tensor, length: Tensor) -> Tensor:
    """Return the weight of a convolution from its direction and length per place of the kernel."""
    return direction * (length / direction.norm(dim=(0, 1), keepdim=True))
