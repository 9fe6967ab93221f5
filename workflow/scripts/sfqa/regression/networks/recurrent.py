"""Recurrent layers that return their outputs alone, so that they stand in a sequence of layers."""

from __future__ import annotations

from torch import Tensor, nn


class Gru(nn.Module):
    """One GRU layer (Cho et al., EMNLP 2014): (n, steps, inputs) -> (n, steps, width)."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.gru = nn.GRU(inputs, width, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the state after every step."""
        states: Tensor = self.gru(x)[0]
        return states


class BiLstm(nn.Module):
    """``layers`` LSTM layers in both directions: (n, steps, inputs) -> (n, steps, 2 width)."""

    def __init__(self, inputs: int, width: int, layers: int = 1) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, width, layers, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of both directions at every step."""
        outputs: Tensor = self.lstm(x)[0]
        return outputs
