"""GRU and bidirectional LSTM, step by step.

torch's own layers have no batching rule for ``vmap``; the numbers are the same. The products with
the input are computed for all steps at once, so that a step is one small product.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Gru(nn.Module):
    """One GRU layer (Cho et al., EMNLP 2014): (n, steps, inputs) -> (n, steps, width)."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.input, self.hidden = nn.Linear(inputs, 3 * width), nn.Linear(width, 3 * width)
        _initialise(self, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the state after every step."""
        inputs = self.input(x)
        state = torch.zeros_like(inputs[..., 0, : self.width])
        states = []
        for step in range(x.shape[-2]):
            r, z, n = inputs[..., step, :].chunk(3, dim=-1)
            hr, hz, hn = self.hidden(state).chunk(3, dim=-1)
            update = torch.sigmoid(z + hz)
            candidate = torch.tanh(n + torch.sigmoid(r + hr) * hn)
            state = (1 - update) * candidate + update * state
            states.append(state)
        return torch.stack(states, dim=-2)


class Lstm(nn.Module):
    """One LSTM layer (Hochreiter, 1997): (n, steps, inputs) -> (n, steps, width)."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.input, self.hidden = nn.Linear(inputs, 4 * width), nn.Linear(width, 4 * width)
        _initialise(self, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output after every step."""
        inputs = self.input(x)
        state = torch.zeros_like(inputs[..., 0, : self.width])
        cell, states = state, []
        for step in range(x.shape[-2]):
            i, f, g, o = (inputs[..., step, :] + self.hidden(state)).chunk(4, dim=-1)
            cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
            state = torch.sigmoid(o) * torch.tanh(cell)
            states.append(state)
        return torch.stack(states, dim=-2)


class BiLstm(nn.Module):
    """``layers`` LSTM layers in both directions: (n, steps, inputs) -> (n, steps, 2 width)."""

    def __init__(self, inputs: int, width: int, layers: int = 1) -> None:
        super().__init__()
        sizes = [inputs, *[2 * width] * (layers - 1)]
        self.forwards = nn.ModuleList(Lstm(size, width) for size in sizes)
        self.backwards = nn.ModuleList(Lstm(size, width) for size in sizes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of both directions at every step."""
        for ahead, back in zip(self.forwards, self.backwards, strict=True):
            x = torch.cat([ahead(x), back(x.flip(-2)).flip(-2)], dim=-1)
        return x


def _initialise(module: nn.Module, width: int) -> None:
    """Initialise parameters as torch does in recurrent layers."""
    bound = 1 / math.sqrt(width)
    for parameter in module.parameters():
        nn.init.uniform_(parameter, -bound, bound)
