"""SlowFast R50 8x8 (Feichtenhofer et al., ICCV 2019), with the names of the official weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

CLIP_FRAMES = 32
SLOW, FAST = 2048, 256

_DEPTHS = (3, 4, 6, 3)
_SLOW_STEM, _FAST_STEM = 64, 8
_CLASSES = 400
# Temporal kernel of conv_a per stage: the slow pathway spans time in its last two stages only.
_SLOW_TIME, _FAST_TIME = (1, 1, 3, 3), (3, 3, 3, 3)


def slow_indices(frames: int) -> Tensor:
    """Return the frames of a clip that the slow pathway reads: every fourth, including both ends.

    As in the official training code, whose steps are not all equal.

    >>> slow_indices(32).tolist()
    [0, 4, 8, 13, 17, 22, 26, 31]
    """
    return torch.linspace(0, frames - 1, frames // 4).long()


def _build_conv(
    inputs: int, outputs: int, kernel: tuple[int, int, int], stride: int = 1
) -> nn.Conv3d:
    """Build a convolution that keeps the length; the stride is spatial."""
    pads = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Conv3d(inputs, outputs, kernel, (1, stride, stride), pads, bias=False)


class _Stem(nn.Module):
    def __init__(self, outputs: int, time: int) -> None:
        super().__init__()
        self.conv = _build_conv(3, outputs, (time, 7, 7), stride=2)
        self.norm = nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.conv(x)), inplace=True)
        return functional.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))


class _Bottleneck(nn.Module):
    def __init__(self, inputs: int, inner: int, outputs: int, time: int, stride: int) -> None:
        super().__init__()
        self.conv_a = _build_conv(inputs, inner, (time, 1, 1))
        self.norm_a = nn.BatchNorm3d(inner)
        self.conv_b = _build_conv(inner, inner, (1, 3, 3), stride)
        self.norm_b = nn.BatchNorm3d(inner)
        self.conv_c = _build_conv(inner, outputs, (1, 1, 1))
        self.norm_c = nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm_a(self.conv_a(x)), inplace=True)
        x = functional.relu(self.norm_b(self.conv_b(x)), inplace=True)
        return self.norm_c(self.conv_c(x))


class _Residual(nn.Module):
    def __init__(self, inputs: int, inner: int, outputs: int, time: int, stride: int) -> None:
        super().__init__()
        self.branch1_conv: nn.Module = nn.Identity()
        self.branch1_norm: nn.Module = nn.Identity()
        if inputs != outputs or stride != 1:
            self.branch1_conv = _build_conv(inputs, outputs, (1, 1, 1), stride)
            self.branch1_norm = nn.BatchNorm3d(outputs)
        self.branch2 = _Bottleneck(inputs, inner, outputs, time, stride)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(
            self.branch1_norm(self.branch1_conv(x)) + self.branch2(x), inplace=True
        )


class _Stage(nn.Module):
    def __init__(self, inputs: int, outputs: int, depth: int, time: int, stride: int) -> None:
        super().__init__()
        inner = outputs // 4
        self.res_blocks = nn.Sequential(
            _Residual(inputs, inner, outputs, time, stride),
            *(_Residual(outputs, inner, outputs, time, 1) for _ in range(depth - 1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.res_blocks(x)


class _FastToSlow(nn.Module):
    def __init__(self, fast: int) -> None:
        super().__init__()
        self.conv_fast_to_slow = nn.Conv3d(
            fast, 2 * fast, (7, 1, 1), (4, 1, 1), (3, 0, 0), bias=False
        )
        self.norm = nn.BatchNorm3d(2 * fast)

    def forward(self, slow: Tensor, fast: Tensor) -> Tensor:
        return torch.cat([slow, functional.relu(self.norm(self.conv_fast_to_slow(fast)))], 1)


class _TwoPathways(nn.Module):
    def __init__(self, slow: nn.Module, fast: nn.Module, fused: int | None) -> None:
        super().__init__()
        self.multipathway_blocks = nn.ModuleList([slow, fast])
        self.multipathway_fusion = None if fused is None else _FastToSlow(fused)

    def forward(self, slow: Tensor, fast: Tensor) -> tuple[Tensor, Tensor]:
        slow, fast = self.multipathway_blocks[0](slow), self.multipathway_blocks[1](fast)
        if self.multipathway_fusion is not None:
            slow = self.multipathway_fusion(slow, fast)
        return slow, fast


class _Head(nn.Module):
    """The classifier: unused, but the official file has its weights and loading is strict."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(SLOW + FAST, _CLASSES)


class SlowFast(nn.Module):
    """SlowFast R50 8x8 with the state-dict keys of ``SLOWFAST_8x8_R50.pyth`` (662 keys)."""

    def __init__(self) -> None:
        super().__init__()
        slow, fast = _SLOW_STEM, _FAST_STEM
        blocks: list[nn.Module] = [_TwoPathways(_Stem(slow, 1), _Stem(fast, 5), fast)]
        for i, depth in enumerate(_DEPTHS):
            wide, stride = 4 * _SLOW_STEM * 2**i, 1 if i == 0 else 2
            slow_stage = _Stage(slow + 2 * fast, wide, depth, _SLOW_TIME[i], stride)
            fast_stage = _Stage(fast, wide // 8, depth, _FAST_TIME[i], stride)
            slow, fast = wide, wide // 8
            last = i == len(_DEPTHS) - 1
            blocks.append(_TwoPathways(slow_stage, fast_stage, None if last else fast))
        # Index 5 is the pooling, which has no weights; the head keeps its official index 6.
        self.blocks = nn.ModuleList([*blocks, nn.Identity(), _Head()])
        # Moved to the device once: a copy of pageable memory in every pass would wait for the GPU.
        self.slow_frames: Tensor
        self.register_buffer("slow_frames", slow_indices(CLIP_FRAMES), persistent=False)

    def compute_maps(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Return both pathways' last maps: (B, 2048, T/4, H/32, W/32), (B, 256, T, H/32, W/32).

        ``clips`` is the fast pathway's input, RGB, (value / 255 - 0.45) / 0.225, of shape
        (B, 3, T, H, W); the slow pathway takes its frames by :func:`slow_indices`.
        """
        indices = self.slow_frames
        if clips.shape[2] != CLIP_FRAMES:
            indices = slow_indices(clips.shape[2]).to(clips.device)
        slow, fast = clips[:, :, indices], clips
        for block in self.blocks[:5]:
            slow, fast = block(slow, fast)
        return slow, fast

    def compute_features(self, clips: Tensor) -> Tensor:
        """Return motion features (B, 2304): slow 2048, then fast 256, as before the classifier.

        ``clips`` as for :meth:`maps`, with T = 32 and H, W of at least 224. Pools of 7x7 over the
        whole time, then the average of the places, as the official head does; for 224x224 that is
        the plain average.
        """
        slow, fast = self.compute_maps(clips)
        slow = functional.avg_pool3d(slow.float(), (CLIP_FRAMES // 4, 7, 7), stride=1)
        fast = functional.avg_pool3d(fast.float(), (CLIP_FRAMES, 7, 7), stride=1)
        return torch.cat([slow.mean((2, 3, 4)), fast.mean((2, 3, 4))], 1)

    def bfloat16_convolutions(self) -> SlowFast:
        """Convert the convolutions to bfloat16 in place; normalisations and pools stay float32.

        The clips must then be bfloat16. As exact as autocast and faster, because the weights are
        converted only once.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                module.bfloat16()
        return self
