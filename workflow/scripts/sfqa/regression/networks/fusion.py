"""QA Team's audio-visual fusion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import unfold

from sfqa.regression.networks.audio_maps import CHANNELS, AudioMaps, stack_maps
from sfqa.regression.networks.recurrent import BiLstm


def eca_kernel(channels: int) -> int:
    """Return ECA's kernel size, the odd number near log2(C) / 2 + 1/2 (Wang et al., CVPR 2020).

    >>> eca_kernel(768), eca_kernel(64)
    (5, 3)
    """
    size = int(abs(math.log2(channels) / 2 + 0.5))
    return size if size % 2 else size + 1


class ChannelAttention(nn.Module):
    """Efficient channel attention on pooled maps: (..., channels) -> (..., channels).

    The weights of the channels depend on the pooled map alone, so that on a frozen backbone pooled
    features give exactly the result of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.size = eca_kernel(channels)
        self.mix = nn.Linear(self.size, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return x times the sigmoid of a convolution over neighbouring channels."""
        rows = x.reshape(-1, 1, 1, x.shape[-1])
        near = unfold(rows, (1, self.size), padding=(0, self.size // 2)).transpose(-1, -2)
        return x * torch.sigmoid(self.mix(near)).reshape(x.shape)


class AudioVisual(nn.Module):
    """QA Team: spatial (n, 6, d), temporal (n, 6, d) and maps of sound -> (n, dims).

    Spatial features by :class:`ChannelAttention`, sound by :class:`AudioMaps` and a BiLSTM; the
    means over clips and over segments are concatenated and go through fully connected layers.
    ``audio`` and its roles are as in :class:`~sfqa.regression.networks.avqa.GeneralAvqa`.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        audio: int | tuple[int, int, int],
        dims: int,
        width: int = 2048,
        state: int = 128,
        hidden: Sequence[int] = (512, 128),
        channels: tuple[int, ...] = CHANNELS,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.roles = [r for r in ("spatial", "temporal") if r in widths]
        self.attention = ChannelAttention(widths["spatial"]) if "spatial" in widths else None
        self.kinds, self.columns = (audio[0], audio[2]) if isinstance(audio, tuple) else (0, 0)
        self.maps: AudioMaps | None = None
        if isinstance(audio, tuple):
            self.maps = AudioMaps(*audio, width, channels, dropout)
        inputs = width if isinstance(audio, tuple) else audio
        self.memory = BiLstm(inputs, state) if inputs else None
        before = sum(widths[r] for r in self.roles) + (2 * state if inputs else 0)
        layers: list[nn.Module] = []
        for after in hidden:
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
            before = after
        self.join = nn.Sequential(*layers, nn.Linear(before, dims))

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        """Return the qualities."""
        parts = []
        for role in self.roles:
            steps = x[role] if x[role].dim() == 3 else x[role].unsqueeze(-2)
            if role == "spatial" and self.attention is not None:
                steps = self.attention(steps)
            parts.append(steps.mean(dim=-2))
        if self.memory is not None:
            if self.maps is None:
                sound = x["audio0"]
            else:
                kinds = [x[f"audio{n}"] for n in range(self.kinds)]
                sound = self.maps(stack_maps(kinds, self.columns))
            parts.append(self.memory(sound).mean(dim=-2))
        return self.join(torch.cat(parts, dim=-1))
