"""SoundNet (Aytar et al., NIPS 2016), under the names of its PyTorch port, and its weights file."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from sfqa.arrays import AnyArray

#: Channels and kernel of the convolutions 1 to 7, each with stride 2 and half its kernel of zeros.
CONVOLUTIONS = ((16, 64), (32, 32), (64, 16), (128, 8), (256, 4), (512, 4), (1024, 4))
#: Size and stride of the maximum after a convolution, by its number.
POOLS = {1: 8, 2: 8, 5: 4}
#: Outputs of the last two convolutions, of kernel 8: objects and scenes.
OBJECTS, SCENES = 1000, 401
#: Layers that features are read from: their number of channels.
LAYERS = {"pool5": 256, "conv7": 1024}


class SoundNet(nn.Module):
    """Sound at 22.05 kHz, times 256, (n, 1, samples, 1) -> the columns of one layer.

    ``conv7`` is read before its batch norm and ReLU, ``pool5`` after the maximum of the fifth
    convolution.
    """

    def __init__(self) -> None:
        super().__init__()
        before = 1
        for number, (channels, kernel) in enumerate(CONVOLUTIONS, 1):
            convolution = nn.Conv2d(
                before, channels, (kernel, 1), stride=(2, 1), padding=(kernel // 2, 0)
            )
            setattr(self, f"conv{number}", convolution)
            setattr(self, f"batchnorm{number}", nn.BatchNorm2d(channels))
            before = channels
        # Not computed here; they are in the published file.
        self.conv8_objs = nn.Conv2d(before, OBJECTS, (8, 1), stride=(2, 1))
        self.conv8_scns = nn.Conv2d(before, SCENES, (8, 1), stride=(2, 1))

    def forward(self, sound: torch.Tensor, layer: str = "conv7") -> torch.Tensor:
        """Return the output of a layer, (n, columns, channels)."""
        x = sound
        for number in range(1, len(CONVOLUTIONS) + 1):
            x = getattr(self, f"conv{number}")(x)
            if layer == f"conv{number}":
                break
            x = torch.relu(getattr(self, f"batchnorm{number}")(x))
            if number in POOLS:
                x = nn.functional.max_pool2d(x, (POOLS[number], 1))
            if layer == f"pool{number}":
                break
        return x.squeeze(3).transpose(1, 2)


def locate_columns(layer: str) -> tuple[float, int]:
    """Return the sample in the centre of a layer's first column, and the samples between columns.

    Padding puts the first centre of conv7 before the sound.

    >>> locate_columns("conv7"), locate_columns("pool5")
    ((-10001.5, 32768), (2286.5, 8192))
    """
    centre, step = 0.0, 1
    for number, (_, kernel) in enumerate(CONVOLUTIONS, 1):
        centre += ((kernel - 1) / 2 - kernel // 2) * step
        step *= 2
        if layer == f"conv{number}":
            break
        if number in POOLS:
            centre += (POOLS[number] - 1) / 2 * step
            step *= POOLS[number]
        if layer == f"pool{number}":
            break
    return centre, step


def convert_layers(layers: dict[str, dict[str, Any]]) -> dict[str, AnyArray]:
    """Return the state dict of the layers of ``sound8.npy``: names and layout of the PyTorch port.

    Its weights are (height, width, in, out). Raises ``ValueError`` for layers, arrays or shapes
    that are not SoundNet's.
    """
    names = {"weights": "conv{}.weight", "biases": "conv{}.bias", "gamma": "batchnorm{}.weight",
             "beta": "batchnorm{}.bias", "mean": "batchnorm{}.running_mean",
             "var": "batchnorm{}.running_var"}  # fmt: skip
    places = {f"conv{number}": str(number) for number in range(1, 8)}
    places |= {"conv8": "8_objs", "conv8_2": "8_scns"}
    if set(layers) != set(places):
        raise ValueError(f"its layers are {', '.join(sorted(layers))}, not those of SoundNet")
    state: dict[str, AnyArray] = {}
    for layer, place in places.items():
        needed = set(names) if len(place) == 1 else {"weights", "biases"}
        if set(layers[layer]) != needed:
            raise ValueError(f"{layer} has the arrays {', '.join(sorted(layers[layer]))}")
        for name, values in layers[layer].items():
            array = np.asarray(values)
            if array.dtype != np.float32:
                raise ValueError(f"{layer}, {name} is {array.dtype}, not float32")
            array = array.transpose(3, 2, 0, 1) if name == "weights" and array.ndim == 4 else array
            state[names[name].format(place)] = np.ascontiguousarray(array)
    with torch.device("meta"):
        expected = {key: tuple(value.shape) for key, value in SoundNet().state_dict().items()}
    for key, array in state.items():
        if array.shape != expected[key]:
            raise ValueError(f"{key} has the shape {array.shape}, not {expected[key]}")
    return state
