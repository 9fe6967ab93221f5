"""The Swin transformer of FAST-VQA and of DOVER's technical branch: torchvision's, with a gate.

In the first three stages two tables of relative positions are mixed. Positions of one fragment use
the fragment table; for positions whose fragments lie d grid cells apart (in rows plus columns), the
weights are d of the usual table and 1 - d of the fragment table, as in the official code.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.swin_transformer import SwinTransformerBlock

# Neither name is in torchvision's __all__, and `_compute_attention_mask_3d` is private. The version
# is pinned in requirements.txt, and the tests compare every stage with the official network.
from torchvision.models.video.swin_transformer import (
    ShiftedWindowAttention3d,
    SwinTransformer3d,
    _compute_attention_mask_3d,
)

from sfqa.features.fragments import GRID

DEPTHS = (2, 2, 6, 2)
#: One block a stage, except a second, shifted one in the first: for trials, not for results.
REDUCED_DEPTHS = (2, 1, 1, 1)
_WIDTH, _HEADS, _WINDOW, _PATCH = 96, (3, 6, 12, 24), (8, 7, 7), (2, 4, 4)
#: Patterns of our keys, and what stands in the official checkpoints.
_OFFICIAL_NAMES = (
    (r"\bmlp\.0\.", "mlp.fc1."),
    (r"\bmlp\.3\.", "mlp.fc2."),
)


class GatedAttention(ShiftedWindowAttention3d):
    """Attention in windows of 8x7x7 positions, with the gate if ``has_gate``.

    The windows are computed one after the other. All at once would need 236 MB for the weights of
    the attention alone in the first stage, several times.
    """

    def __init__(self, *arguments: Any, has_gate: bool, **options: Any) -> None:
        self.has_gate = has_gate
        super().__init__(*arguments, **options)

    def define_relative_position_bias_table(self) -> None:
        """Define the usual table and the fragment table."""
        super().define_relative_position_bias_table()
        if self.has_gate:
            table = torch.zeros_like(self.relative_position_bias_table)
            self.fragment_position_bias_table = nn.Parameter(table)

    def define_relative_position_index(self) -> None:
        """Compute the index, which is no part of the weights."""
        super().define_relative_position_index()
        index = self.relative_position_index
        self.register_buffer("relative_position_index", index, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the attended positions (batch, time, height, width, channel).

        The sizes must be multiples of the window's.
        """
        size, window = list(x.shape[1:4]), self.window_size
        shift = [0 if n <= w else s for n, w, s in zip(size, window, self.shift_size, strict=True)]
        if any(shift):
            x = x.roll([-s for s in shift], (1, 2, 3))
        qkv = self.qkv(_split_windows(x, window))  # (window, batch, position, 3 * channel)
        attended: dict[int, Tensor] = {}
        masks = _make_masks(*size, *window, *shift, x.dtype, str(x.device)) if any(shift) else None
        usual = self._look_up(self.relative_position_bias_table)
        if self.has_gate:
            fragment = self._look_up(self.fragment_position_bias_table)
            difference = usual - fragment
            gates = _make_gates(*size[1:], *window, *shift[1:], str(x.device))
        spatial_windows = size[1] * size[2] // (window[1] * window[2])
        for spatial_index in range(spatial_windows):
            bias = usual
            if self.has_gate:
                gate = gates[spatial_index].repeat(window[0], window[0])
                bias = torch.addcmul(fragment, difference, gate.to(fragment.dtype))
            # The windows at one position in space have the same bias at all times.
            for index in range(spatial_index, len(qkv), spatial_windows):
                mask = masks[index] if masks is not None else None
                heads = qkv[index].unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
                # With four axes of the mask torch takes its fast function.
                values = functional.scaled_dot_product_attention(
                    heads[0], heads[1], heads[2],
                    attn_mask=(bias if mask is None else bias + mask)[None],
                )  # fmt: skip
                attended[index] = values.transpose(1, 2).flatten(2)
        joined = torch.stack([attended[index] for index in range(len(qkv))])
        x = _join_windows(self.proj(joined), size, window)
        return x.roll(shift, (1, 2, 3)) if any(shift) else x

    def _look_up(self, table: Tensor) -> Tensor:
        """Return the entries (head, position, position) of a table."""
        return table[self.relative_position_index].permute(2, 0, 1).contiguous()


def _split_windows(x: Tensor, window: list[int]) -> Tensor:
    """Return (window, batch, position, channel) of (batch, time, height, width, channel)."""
    batch, *size, channels = x.shape
    counts = [n // w for n, w in zip(size, window, strict=True)]
    x = x.view(batch, counts[0], window[0], counts[1], window[1], counts[2], window[2], channels)
    return x.permute(1, 3, 5, 0, 2, 4, 6, 7).flatten(4, 6).flatten(0, 2)


def _join_windows(windows: Tensor, size: list[int], window: list[int]) -> Tensor:
    """Return what :func:`_split_windows` split."""
    counts = [n // w for n, w in zip(size, window, strict=True)]
    x = windows.view(*counts, windows.shape[1], *window, windows.shape[-1])
    return x.permute(3, 0, 4, 1, 5, 2, 6, 7).reshape(windows.shape[1], *size, windows.shape[-1])


@cache
@torch.inference_mode(False)  # tensors of inference could not be used for training later
def _make_masks(
    time: int, height: int, width: int, times: int, rows: int, columns: int,
    later: int, down: int, right: int, dtype: torch.dtype, device: str,
) -> list[Tensor | None]:  # fmt: skip
    """Return for each window -100 (position, position) where two were not neighbours, else 0.

    None for a window without such positions. Windows of one pattern share its tensor: there are
    eight patterns, and all masks of the first stage would take 79 MB.
    """
    masks = _compute_attention_mask_3d(
        torch.empty(0, dtype=dtype, device=device),
        (time, height, width), (times, rows, columns), (later, down, right),
    )  # fmt: skip
    patterns, numbers = masks.unique(dim=0, return_inverse=True)
    return [patterns[n] if patterns[n].any() else None for n in numbers.tolist()]


@cache
@torch.inference_mode(False)
def _make_gates(
    height: int, width: int, _: int, rows: int, columns: int, down: int, right: int, device: str
) -> Tensor:
    """Return how many grid cells apart two positions of a window are: rows plus columns.

    Shape (window, row and column, row and column), for the windows of one time.
    """
    row = (torch.arange(height) * GRID // height).roll(-down)
    column = (torch.arange(width) * GRID // width).roll(-right)
    cells = torch.stack(torch.meshgrid(row, column, indexing="ij"), -1)
    cells = cells.view(height // rows, rows, width // columns, columns, 2)
    cells = cells.permute(0, 2, 1, 3, 4).reshape(-1, rows * columns, 2)
    return (cells[:, :, None] - cells[:, None]).abs().sum(-1).float().to(device)


class GatedSwin3d(SwinTransformer3d):
    """Swin3D-T that returns its normalised map; the state dict has the official names.

    >>> keys = GatedSwin3d(REDUCED_DEPTHS).state_dict()
    >>> [key for key in keys if key.startswith("layers.2.downsample")]
    ['layers.2.downsample.reduction.weight', 'layers.2.downsample.norm.weight', \
'layers.2.downsample.norm.bias']
    """

    def __init__(
        self,
        depths: tuple[int, ...] = DEPTHS,
        width: int = _WIDTH,
        window: tuple[int, int, int] = _WINDOW,
    ) -> None:
        super().__init__(
            list(_PATCH), width, list(depths), list(_HEADS), list(window), block=_build_block
        )
        del self.avgpool, self.head
        self.register_state_dict_post_hook(_use_official_names)
        self.register_load_state_dict_pre_hook(_use_own_names)

    def forward(self, x: Tensor) -> Tensor:
        """Return the map (clip, 768, 16, 7, 7) of clips (clip, 3, 32, 224, 224)."""
        x = self.norm(self.features(self.patch_embed(x)))
        return x.permute(0, 4, 1, 2, 3)


def _build_block(dim: int, heads: int, *, attn_layer: type[nn.Module], **options: Any) -> nn.Module:
    """Return torchvision's block with our attention; the last stage has no gate."""

    def build_attention(*arguments: Any, **attention: Any) -> nn.Module:
        return GatedAttention(*arguments, has_gate=heads < _HEADS[-1], **attention)

    return SwinTransformerBlock(dim, heads, attn_layer=build_attention, **options)


def to_official_name(key: str) -> str:
    """Return the official name of a key of torchvision's Swin.

    >>> to_official_name("features.2.1.mlp.0.bias"), to_official_name("features.3.norm.bias")
    ('layers.1.blocks.1.mlp.fc1.bias', 'layers.1.downsample.norm.bias')
    """
    for pattern, name in _OFFICIAL_NAMES:
        key = re.sub(pattern, name, key)
    match = re.match(r"features\.(\d+)\.", key)
    if match is None:
        return key
    number, rest = int(match[1]), key[match.end() :]
    return f"layers.{number // 2}.{'downsample' if number % 2 else 'blocks'}.{rest}"


def _use_official_names(
    module: nn.Module, state: dict[str, Tensor], prefix: str, metadata: object
) -> None:
    for key in [key for key in state if key.startswith(prefix)]:
        state[prefix + to_official_name(key.removeprefix(prefix))] = state.pop(key)


def _use_own_names(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    own_names = [name for name, _ in module.named_parameters()]
    for name in own_names:
        official = prefix + to_official_name(name)
        if official in state:
            state[prefix + name] = state.pop(official)
