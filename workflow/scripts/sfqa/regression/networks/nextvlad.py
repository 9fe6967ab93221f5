"""NeXtVLAD, and MediaForensics' mean of several models (NTIRE 2025 XGC, talking heads).

NeXtVLAD (Lin et al., ECCV Workshops 2018) makes one vector of a sequence: each step is widened and
cut into groups, every group is assigned softly to clusters, and the weighted differences from the
cluster centres are summed over steps and groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from sfqa.regression.networks.rectifier import average_steps
from sfqa.regression.networks.separate_scores import join_scores


class NextVlad(nn.Module):
    """(rows, steps, width) -> (rows, clusters x expansion x width / groups).

    A LayerNorm stands for the published BatchNorm, so that no row depends on the others of its
    batch and a batch may have one row.
    """

    def __init__(self, width: int, clusters: int, groups: int, expansion: int) -> None:
        super().__init__()
        if width * expansion % groups:
            raise ValueError(f"width {width} times {expansion} is no multiple of {groups} groups")
        wide, self.groups = width * expansion, groups
        self.outputs = clusters * wide // groups
        self.expand = nn.Linear(width, wide)
        self.attention = nn.Linear(wide, groups)
        self.assignment = nn.Linear(wide, groups * clusters)
        self.centres = nn.Parameter(torch.randn(clusters, wide // groups) * 0.1)
        self.norm = nn.LayerNorm(self.outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the aggregated vector."""
        wide = self.expand(x)
        attention = torch.sigmoid(self.attention(wide)).unsqueeze(-1)
        assigned = self.assignment(wide).unflatten(-1, (self.groups, -1)).softmax(dim=-1)
        weights = (assigned * attention).flatten(1, 2)  # (rows, steps x groups, clusters)
        parts = wide.unflatten(-1, (self.groups, -1)).flatten(1, 2)
        total = weights.sum(dim=1).unsqueeze(-1)
        differences = weights.transpose(1, 2) @ parts - total * self.centres
        vector: Tensor = self.norm(normalize(differences, dim=-1).flatten(1))
        return vector


class FrameEnsemble(nn.Module):
    """The mean of models that share no parameters: (rows, dims).

    One model for each number n in ``frames``: n evenly chosen frames of ``x["frames"]`` (rows, T,
    width), NeXtVLAD and two linear layers. One linear layer for each vector of a video,
    ``x["video0"]`` and so on. In training mode all scores are returned side by side.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        dims: int,
        frames: Sequence[int],
        clusters: int,
        groups: int,
        expansion: int,
        hidden: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.frames = [int(count) for count in frames]
        self.sequence_models = nn.ModuleList()
        for _ in self.frames:
            vlad = NextVlad(widths["frames"], clusters, groups, expansion)
            self.sequence_models.append(
                nn.Sequential(
                    vlad, nn.Dropout(dropout), nn.Linear(vlad.outputs, hidden), nn.ReLU(),
                    nn.Linear(hidden, dims),
                )
            )  # fmt: skip
        self.video_models = nn.ModuleDict(
            {role: nn.Linear(widths[role], dims) for role in widths if role != "frames"}
        )

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        """Return the mean score, or in training mode every score."""
        scores = []
        for count, model in zip(self.frames, self.sequence_models, strict=True):
            steps = torch.arange(count, device=x["frames"].device) * x["frames"].shape[1] // count
            scores.append(model(x["frames"][:, steps]))
        scores += [model(average_steps(x[role])) for role, model in self.video_models.items()]
        return join_scores(scores) if self.training else torch.stack(scores).mean(dim=0)
