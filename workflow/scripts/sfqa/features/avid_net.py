"""AVID-CMA's networks for pictures and sound, with the names of the official checkpoint.

Written here, because torchvision's R(2+1)D normalises each branch before the sum of a residual
block, and this one normalises the sum.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

#: Channels before the projections, and those of the common space.
WIDTH, EMBEDDING_WIDTH = 512, 128
_STAGES = (64, 64, 128, 256, 512)


class AvidCma(nn.Module):
    """Both networks and their projections."""

    def __init__(self) -> None:
        super().__init__()
        self.video_model = VideoNet()
        self.audio_model = AudioNet()
        self.video_proj = _Projection()
        self.audio_proj = _Projection()

    def embed_frames(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Return vector (n, 512) and embedding (n, 128) of clips (n, 3, frames, 224, 224)."""
        vectors = self.video_model(clips)
        return vectors, self.video_proj(vectors)

    def embed_sound(self, spectra: Tensor) -> tuple[Tensor, Tensor]:
        """Return vector (n, 512) and embedding (n, 128) of spectra (n, 1, columns, 257)."""
        vectors = self.audio_model(spectra)
        return vectors, self.audio_proj(vectors)


class VideoNet(nn.Module):
    """R(2+1)D-18 with a full convolution first and the channels of R3D-18 -> maxima (n, 512)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv3d(3, 64, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False),
            nn.BatchNorm3d(64),
            nn.ReLU(),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        )
        stages = [
            nn.Sequential(
                _VideoBlock(inputs, outputs, 1 + (number > 0)), _VideoBlock(outputs, outputs)
            )
            for number, (inputs, outputs) in enumerate(pairwise(_STAGES))
        ]
        self.conv2x, self.conv3x, self.conv4x, self.conv5x = stages

    def forward(self, clips: Tensor) -> Tensor:
        """Return the largest number of each channel over time and place."""
        x = self.conv5x(self.conv4x(self.conv3x(self.conv2x(self.conv1(clips)))))
        maxima: Tensor = x.amax((2, 3, 4))
        return maxima


class _VideoBlock(nn.Module):
    """Twice a convolution in space, then in time; the sum with the input is normalised."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.spt_conv1 = _convolve_space(inputs, outputs, stride)
        self.spt_bn1 = nn.BatchNorm3d(outputs)
        self.tmp_conv1 = _convolve_time(outputs, stride)
        self.tmp_bn1 = nn.BatchNorm3d(outputs)
        self.spt_conv2 = _convolve_space(outputs, outputs)
        self.spt_bn2 = nn.BatchNorm3d(outputs)
        self.tmp_conv2 = _convolve_time(outputs)
        self.out_bn = nn.BatchNorm3d(outputs)
        self.res_conv: nn.Module = nn.Identity()
        if inputs != outputs or stride != 1:
            self.res_conv = nn.Conv3d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        main = self.spt_bn1(self.spt_conv1(x)).relu_()
        main = self.tmp_bn1(self.tmp_conv1(main)).relu_()
        main = self.spt_bn2(self.spt_conv2(main)).relu_()
        total: Tensor = self.out_bn(self.tmp_conv2(main) + self.res_conv(x)).relu_()
        return total


def _convolve_space(inputs: int, outputs: int, stride: int = 1) -> nn.Conv3d:
    return nn.Conv3d(inputs, outputs, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False)


def _convolve_time(channels: int, stride: int = 1) -> nn.Conv3d:
    return nn.Conv3d(channels, channels, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False)


class AudioNet(nn.Module):
    """Nine convolutions on a spectrum -> maxima (n, 512)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv2d(1, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()
        )
        blocks = [
            _AudioBlock(inputs, outputs, 2 if outputs < WIDTH else 1)
            for inputs, outputs in pairwise(_STAGES)
        ]
        self.block1, self.block2, self.block3, self.block4 = blocks

    def forward(self, spectra: Tensor) -> Tensor:
        """Return the largest number of each channel over time and frequency."""
        x = self.block4(self.block3(self.block2(self.block1(self.conv1(spectra)))))
        maxima: Tensor = x.amax((2, 3))
        return maxima


class _AudioBlock(nn.Module):
    """Two convolutions."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x)).relu_()
        x = self.bn2(self.conv2(x)).relu_()
        return x


class _Projection(nn.Module):
    """Vectors (n, 512) to embeddings (n, 128)."""

    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Sequential(
            nn.Linear(WIDTH, WIDTH), nn.ReLU(),
            nn.Linear(WIDTH, WIDTH), nn.ReLU(),
            nn.Linear(WIDTH, EMBEDDING_WIDTH),
        )  # fmt: skip

    def forward(self, vectors: Tensor) -> Tensor:
        embeddings: Tensor = self.projection(vectors)
        return embeddings
