"""SyncNet (Chung and Zisserman, ACCV Workshops 2016), with the names of the official weights."""

from __future__ import annotations

import copy
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sfqa.features import batches

#: Side of a face crop in pixels, frames per window of the lip network, size of a feature.
SIDE, LIP_FRAMES, FEATURE = 224, 5, 1024
#: Cepstra and MFCC columns (at 100 Hz) per window of the audio network; columns per frame.
CEPSTRA, AUDIO_COLUMNS, COLUMNS_PER_FRAME = 13, 20, 4

#: Windows per pass on a CPU.
LIP_PASS, AUDIO_PASS = 4, 64

#: Root mean square of the networks' inputs: cepstra and pixels.
_AUDIO_SIZE, _LIP_SIZE = 16.0, 128.0


class _Stage(NamedTuple):
    """A convolution with its normalisation and, if ``pool`` is set, the pooling after it.

    Kernel and padding refer to the two picture axes; ``time`` is the kernel in time, without
    padding.
    """

    outputs: int
    kernel: tuple[int, int]
    stride: int = 1
    pad: int = 0
    pool: int = 0
    pool_stride: tuple[int, int] = (2, 2)
    pool_pad: int = 0
    time: int = 1


_AUDIO = (
    _Stage(64, (3, 3), pad=1, pool=1, pool_stride=(1, 1)),
    _Stage(192, (3, 3), pad=1, pool=3, pool_stride=(1, 2)),
    _Stage(384, (3, 3), pad=1),
    _Stage(256, (3, 3), pad=1),
    _Stage(256, (3, 3), pad=1, pool=3),
    _Stage(512, (5, 4)),
)
_LIP = (
    _Stage(96, (7, 7), stride=2, pool=3, time=LIP_FRAMES),
    _Stage(256, (5, 5), stride=2, pad=1, pool=3, pool_pad=1),
    _Stage(256, (3, 3), pad=1),
    _Stage(256, (3, 3), pad=1),
    _Stage(256, (3, 3), pad=1, pool=3),
    _Stage(512, (6, 6)),
)


def _audio_layers() -> nn.Sequential:
    layers: list[nn.Module] = []
    inputs = 1
    for s in _AUDIO:
        layers += [nn.Conv2d(inputs, s.outputs, s.kernel, s.stride, s.pad)]
        layers += [nn.BatchNorm2d(s.outputs), nn.ReLU(inplace=True)]
        if s.pool:
            layers.append(nn.MaxPool2d(s.pool, s.pool_stride))
        inputs = s.outputs
    return nn.Sequential(*layers)


def _lip_layers() -> nn.Sequential:
    layers: list[nn.Module] = []
    inputs = 3
    for s in _LIP:
        stride, pad = (1, s.stride, s.stride), (0, s.pad, s.pad)
        layers += [nn.Conv3d(inputs, s.outputs, (s.time, *s.kernel), stride, pad)]
        layers += [nn.BatchNorm3d(s.outputs), nn.ReLU(inplace=True)]
        if s.pool:
            pool_pad = (0, s.pool_pad, s.pool_pad)
            layers.append(nn.MaxPool3d((1, s.pool, s.pool), (1, *s.pool_stride), pool_pad))
        inputs = s.outputs
    return nn.Sequential(*layers)


def _build_head() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(inplace=True), nn.Linear(512, FEATURE)
    )


class SyncNet(nn.Module):
    """The network S with the state-dict keys of ``syncnet_v2.model``; 13,631,616 parameters.

    Source of the layers: joonson/syncnet_python at 6efbb1c3.
    """

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = _audio_layers()
        self.netfcaud = _build_head()
        self.netfclip = _build_head()
        self.netcnnlip = _lip_layers()
        self.apply(_initialise_weights)
        # Gives untrained features of sound and picture about the same magnitude.
        cast(nn.Conv2d, self.netcnnaud[0]).weight.data /= _AUDIO_SIZE
        cast(nn.Conv3d, self.netcnnlip[0]).weight.data /= _LIP_SIZE

    def encode_audio(self, windows: Tensor) -> Tensor:
        """Return features (n, 1024) of MFCC windows, float of shape (n, 1, 13, 20)."""
        return cast(Tensor, self.netfcaud(self.netcnnaud(windows).flatten(1)))

    def encode_lip(self, windows: Tensor) -> Tensor:
        """Return features (n, 1024) of windows of face crops, shape (n, 3, 5, 224, 224).

        The crops are BGR in 0..255 as float, not normalised.
        """
        return cast(Tensor, self.netfclip(self.netcnnlip(windows).flatten(1)))


class LipStream(nn.Module):
    """The lip network over a whole clip at once; equals :meth:`SyncNet.encode_lip` per window.

    Only the first convolution spans time (five frames, no padding), so the maps of every frame are
    computed once instead of five times. That convolution is computed as one over 15 channels, and
    the normalisations are folded into the convolutions: the same function up to rounding. With bf16
    only the convolutions are rounded (crops are integers up to 255, which bf16 represents exactly).
    ``device`` decides the layout only: cuDNN has no fast float32 kernels for 15 channels that come
    last.
    """

    def __init__(self, net: SyncNet, precision: str = "fp32", device: str = "cpu") -> None:
        super().__init__()
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.precision = precision
        self.channels_last = precision == "bf16" or not batches.is_gpu(device)
        self.head = copy.deepcopy(net.netfclip).eval()
        self.convs = nn.ModuleList()
        layers = list(net.netcnnlip.eval())
        for place, layer in enumerate(layers):
            if isinstance(layer, nn.Conv3d):
                folded = fuse_conv_bn_eval(layer, cast(nn.BatchNorm3d, layers[place + 1]))
                self.convs.append(_flatten_time(folded))
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        self.convs.to(dtype=self.dtype).to(memory_format=layout)
        self.requires_grad_(False)

    def forward(self, crops: Tensor) -> Tensor:
        """Return features (t - 4, 1024) of crops (t, 224, 224, 3), uint8 BGR, t of at least 5."""
        return self.compute_features(self.make_windows(crops))

    def make_windows(self, crops: Tensor) -> Tensor:
        """Return windows (t - 4, 15, 224, 224) of crops (t, 224, 224, 3) as the network's input."""
        x = crops.to(self.dtype).unfold(0, LIP_FRAMES, 1)  # (t - 4, 224, 224, 3, 5)
        if self.channels_last:
            return x.flatten(3).permute(0, 3, 1, 2)  # one copy, already channels last
        return x.permute(0, 3, 4, 1, 2).flatten(1, 2)  # one copy, channels first

    def compute_features(self, x: Tensor) -> Tensor:
        """Return features (n, 1024) of :meth:`make_windows`, of one clip or of several."""
        for stage, conv in zip(_LIP, self.convs, strict=True):
            x = nn.functional.relu(conv(x), inplace=True)
            if stage.pool:
                x = nn.functional.max_pool2d(x, stage.pool, stage.pool_stride, stage.pool_pad)
        return cast(Tensor, self.head(x.flatten(1).float()))


def _flatten_time(conv: nn.Conv3d) -> nn.Conv2d:
    """Convert a convolution over time without padding to one with channels (channel, time)."""
    outputs, inputs, time, height, width = conv.weight.shape
    stride, padding = (
        cast(tuple[int, int], conv.stride[1:]),
        cast(tuple[int, int], conv.padding[1:]),
    )
    flat = nn.Conv2d(inputs * time, outputs, (height, width), stride, padding)
    flat.weight.data = conv.weight.data.flatten(1, 2)
    assert conv.bias is not None
    flat.bias = nn.Parameter(conv.bias.data)
    return flat


#: One window of a clip: its crops (frames, 224, 224, 3), uint8 BGR, and the index of the first.
LipWindow = tuple[npt.NDArray[np.uint8], int]
#: The cepstra (1, 13, 20) of one window.
AudioWindow = npt.NDArray[np.float32]


def list_lip_windows(crops: npt.NDArray[np.uint8], windows: int) -> list[LipWindow]:
    """List the first windows of a clip; window v holds the crops v to v + 4."""
    return [(crops, index) for index in range(windows)]


def list_audio_windows(mfcc: npt.NDArray[np.float64], windows: int) -> list[AudioWindow]:
    """List the first windows of a clip; window v holds the MFCC columns 4v to 4v + 19.

    ``mfcc``: (columns, 13) at 100 Hz, at least 4 * windows + 16 columns.
    """
    views = np.lib.stride_tricks.sliding_window_view(mfcc, AUDIO_COLUMNS, axis=0)
    views = views[::COLUMNS_PER_FRAME][:windows, None]
    return list(np.ascontiguousarray(views, np.float32))


@torch.inference_mode()
def run_lip_network(stream: LipStream, windows: list[LipWindow], device: str) -> Tensor:
    """Return the features (windows, 1024); crops are transferred to the device once, as bytes."""
    with batches.set_precision(stream.precision):
        runs: list[Tensor] = []
        start = 0
        for stop in range(1, len(windows) + 1):
            crops, first = windows[start]
            if stop < len(windows):
                same, next_place = windows[stop]
                if same is crops and next_place == first + stop - start:
                    continue
            part = crops[first : first + stop - start + LIP_FRAMES - 1]
            runs.append(stream.make_windows(batches.to_device([part], device)[0]))
            start = stop
        return stream.compute_features(runs[0] if len(runs) == 1 else torch.cat(runs))


@torch.inference_mode()
def run_audio_network(net: SyncNet, windows: list[AudioWindow], device: str) -> Tensor:
    """Return the features (windows, 1024)."""
    with batches.set_precision():
        return net.encode_audio(batches.to_device(windows, device))


def _initialise_weights(module: nn.Module) -> None:
    """Initialise so that the scale is kept through the ReLUs, and untrained features differ."""
    if isinstance(module, nn.Conv2d | nn.Conv3d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
