"""S3FD (Zhang et al., ICCV 2017), the face detector of the SyncNet reference.

Source of the layers, thresholds and sizes: joonson/syncnet_python at 6efbb1c3, detectors/s3fd.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torchvision.ops import nms

from sfqa.arrays import Floats32
from sfqa.faces import Box
from sfqa.features import batches

#: Faces with at most this probability are ignored (``conf_th``).
MIN_PROBABILITY = 0.9

#: Mean of red, green and blue that is subtracted from a picture.
_MEAN = (123.0, 117.0, 104.0)
#: Side of the anchors of each map, and pixels from one anchor to the next.
_ANCHOR_SIDES = (16, 32, 64, 128, 256, 512)
_STEPS = (4, 8, 16, 32, 64, 128)
#: Scale of the offsets that the network predicts: of the centre, and of the logarithm of the size.
_VARIANCES = (0.1, 0.2)
#: Of two faces with a larger intersection over union the weaker one is dropped: in the network's
#: own selection, and in a second one on boxes in pixels.
_MAX_IOU, _MAX_IOU_IN_PIXELS = 0.3, 0.1
#: Faces of one picture after the first selection, and candidates before it.
_MAX_FACES, _MAX_CANDIDATES = 750, 5000
#: Channels of the convolutions of VGG16 by block; the pooling after the third rounds up.
_VGG = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
#: Outputs of the layers of ``vgg`` that are normalised and searched for faces, with their scales.
_NORMALISED = (
    (15, "L2Norm3_3", 256, 10.0), (22, "L2Norm4_3", 512, 8.0), (29, "L2Norm5_3", 512, 5.0),
)  # fmt: skip
_CHANNELS = (256, 512, 512, 1024, 512, 256)
#: The map whose head finds faces without training; see :class:`S3FD`.
_UNTRAINED_MAP, _UNTRAINED_BIAS = 2, 2.0

Image = npt.NDArray[np.uint8]


class L2Norm(nn.Module):
    """Divides each position by its norm over the channels, and scales the channels."""

    def __init__(self, channels: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), scale))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised map, of the shape of ``x``: (n, channels, height, width)."""
        norm = x.pow(2).sum(dim=1, keepdim=True).sqrt() + 1e-10
        return self.weight[None, :, None, None] * (x / norm)


class S3FD(nn.Module):
    """The network with the state-dict keys of ``sfd_face.pth``.

    Without training, the head of the 64-pixel anchors calls every position a face and the others
    none, so that a run with random weights follows boxes instead of failing for every video.
    """

    def __init__(self) -> None:
        super().__init__()
        self.vgg = nn.ModuleList(_list_vgg_layers())
        for _, name, channels, scale in _NORMALISED:
            self.add_module(name, L2Norm(channels, scale))
        self.extras = nn.ModuleList(
            [
                nn.Conv2d(1024, 256, 1),
                nn.Conv2d(256, 512, 3, stride=2, padding=1),
                nn.Conv2d(512, 128, 1),
                nn.Conv2d(128, 256, 3, stride=2, padding=1),
            ]
        )
        self.loc = nn.ModuleList(nn.Conv2d(count, 4, 3, padding=1) for count in _CHANNELS)
        # The first map has three scores of "no face", of which the largest counts.
        self.conf = nn.ModuleList(
            nn.Conv2d(count, 2 if n else 4, 3, padding=1) for n, count in enumerate(_CHANNELS)
        )
        for n, head in enumerate(self.conf):
            convolution = cast(nn.Conv2d, head)
            nn.init.zeros_(convolution.weight)
            assert convolution.bias is not None
            nn.init.constant_(convolution.bias, -_UNTRAINED_BIAS)
            face_bias = _UNTRAINED_BIAS if n == _UNTRAINED_MAP else -2 * _UNTRAINED_BIAS
            nn.init.constant_(convolution.bias[-1:], face_bias)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return probability and box (left, top, right, bottom) of each anchor: (n, anchors, 5).

        ``pictures``: float RGB minus the mean, (n, 3, height, width), sides of at least 28. Boxes
        are shares of the picture's sides.
        """
        maps = self._compute_maps(pictures)
        scores, offsets = [], []
        for n, (x, loc, conf) in enumerate(zip(maps, self.loc, self.conf, strict=True)):
            score = conf(x)
            if n == 0:
                score = torch.cat([score[:, :3].amax(dim=1, keepdim=True), score[:, 3:]], dim=1)
            scores.append(score.permute(0, 2, 3, 1).flatten(1, 2))
            offsets.append(loc(x).permute(0, 2, 3, 1).flatten(1, 2))
        probability = torch.cat(scores, 1).softmax(dim=-1)[..., 1:]
        height, width = pictures.shape[2:]
        shapes = tuple((x.shape[2], x.shape[3]) for x in maps)
        anchors = list_anchors(height, width, shapes).to(pictures.device)
        return torch.cat([probability, decode_boxes(torch.cat(offsets, 1), anchors)], dim=-1)

    def _compute_maps(self, x: Tensor) -> list[Tensor]:
        """Return the six maps that are searched for faces, from fine to coarse."""
        maps = []
        normalised_after = {index: name for index, name, _, _ in _NORMALISED}
        for index, layer in enumerate(self.vgg):
            x = layer(x)
            if index in normalised_after:
                maps.append(self.get_submodule(normalised_after[index])(x))
        maps.append(x)
        for index, layer in enumerate(self.extras):
            x = layer(x).relu()
            if index % 2:
                maps.append(x)
        return maps


def _list_vgg_layers() -> list[nn.Module]:
    layers: list[nn.Module] = []
    inputs = 3
    for block, outputs in enumerate(_VGG):
        for channels in outputs:
            layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU(inplace=True)]
            inputs = channels
        layers.append(nn.MaxPool2d(2, 2, ceil_mode=block == 2))
    layers += [nn.Conv2d(512, 1024, 3, padding=6, dilation=6), nn.ReLU(inplace=True)]
    return [*layers, nn.Conv2d(1024, 1024, 1), nn.ReLU()]


@cache
def list_anchors(height: int, width: int, shapes: tuple[tuple[int, int], ...]) -> Tensor:
    """Return centre and size (x, y, width, height) of every anchor, as shares of the sides.

    ``height`` and ``width`` are those of the picture, ``shapes`` (rows, columns) those of the maps.
    """
    boxes = []
    for (rows, columns), step, side in zip(shapes, _STEPS, _ANCHOR_SIDES, strict=True):
        y, x = np.mgrid[:rows, :columns].reshape(2, -1)
        size = np.broadcast_to([side / width, side / height], (len(x), 2))
        centres = np.stack([(x + 0.5) / (width / step), (y + 0.5) / (height / step)], axis=1)
        boxes.append(np.concatenate([centres, size], axis=1))
    return torch.from_numpy(np.concatenate(boxes).astype(np.float32))


def decode_boxes(offsets: Tensor, anchors: Tensor) -> Tensor:
    """Return left, top, right and bottom of the boxes that offsets (..., 4) from anchors give."""
    centre_scale, size_scale = _VARIANCES
    centres = anchors[:, :2] + offsets[..., :2] * centre_scale * anchors[:, 2:]
    sizes = anchors[:, 2:] * torch.exp(offsets[..., 2:] * size_scale)
    corners = centres - sizes / 2
    return torch.cat([corners, sizes + corners], dim=-1)


@torch.inference_mode()
def run_detector(net: S3FD, pictures: Sequence[Image], device: str) -> Tensor:
    """Return the candidates (n, anchors, 5) of shrunk RGB pictures; see :class:`S3FD`."""
    with batches.set_precision():
        x = batches.to_device(pictures, device).permute(0, 3, 1, 2).float()
        return cast(Tensor, net(x - x.new_tensor(_MEAN)[:, None, None]))


def select_faces(
    candidates: Floats32, width: int, height: int, min_probability: float = MIN_PROBABILITY
) -> list[tuple[float, Box]]:
    """Return (probability, box in pixels) of the faces of a picture, the most probable first.

    ``candidates``: (anchors, 5), one picture of :func:`run_detector`. ``width`` and ``height`` are
    those of the picture before it was shrunk. Of faces that overlap, only the most probable one is
    returned.
    """
    rows = torch.from_numpy(candidates[candidates[:, 0] > min_probability])
    rows = rows[torch.argsort(rows[:, 0], descending=True, stable=True)][:_MAX_CANDIDATES]
    rows = rows[nms(rows[:, 1:], rows[:, 0], _MAX_IOU)][:_MAX_FACES]
    boxes = (rows[:, 1:] * torch.tensor([width, height, width, height])).double()
    face_indices = nms(boxes, rows[:, 0].double(), _MAX_IOU_IN_PIXELS)
    return [
        (probability, Box(left, top, right - left, bottom - top))
        for probability, (left, top, right, bottom) in zip(
            rows[face_indices, 0].tolist(), boxes[face_indices].tolist(), strict=True
        )
    ]
