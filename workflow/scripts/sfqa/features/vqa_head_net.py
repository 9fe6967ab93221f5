"""The regression head of FAST-VQA and DOVER: a score at every position of a feature map."""

from __future__ import annotations

from torch import Tensor, nn

CHANNELS, HIDDEN, DROPOUT = 768, 64, 0.5


class VqaHead(nn.Module):
    """Feature maps (n, channels, time, rows, columns) to scores (n, outputs, time, rows, columns).

    Dropout, a linear layer, GELU, dropout and a linear layer at every position, as 1x1x1
    convolutions; the keys are those of the published checkpoints (``fc_hid``, ``fc_last``). The
    score of a video is the mean over positions and clips (:meth:`score_maps`). The GELU does not
    commute with it, so a pooled map gives another score. Source: Wu et al., FAST-VQA (ECCV 2022)
    and DOVER (ICCV 2023).
    """

    def __init__(
        self,
        channels: int = CHANNELS,
        hidden: int = HIDDEN,
        dropout: float = DROPOUT,
        outputs: int = 1,
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.fc_hid = nn.Conv3d(channels, hidden, 1)
        self.fc_last = nn.Conv3d(hidden, outputs, 1)
        self.gelu = nn.GELU()

    def forward(self, maps: Tensor) -> Tensor:
        """Return the score at every position."""
        hidden = self.gelu(self.fc_hid(self.dropout(maps)))
        scores: Tensor = self.fc_last(self.dropout(hidden))
        return scores

    def score_maps(self, maps: Tensor) -> Tensor:
        """Return the mean score of each map, (n, outputs).

        >>> import torch
        >>> VqaHead(channels=4, hidden=2).score_maps(torch.zeros(3, 4, 16, 7, 7)).shape
        torch.Size([3, 1])
        """
        return self(maps).mean(dim=(2, 3, 4))
