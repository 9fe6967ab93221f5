"""Recurrent audio-visual heads: DNN-RNT / DNN-SND, and GeneralAVQA (Cao et al., IEEE TIP 2023).

DNN-RNT and DNN-SND are one head on different sound features: ResNet-50 of the spectrogram (4096),
SoundNet of the waveform (1024).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sfqa.regression.networks.audio_maps import CHANNELS, AudioMaps, stack_maps
from sfqa.regression.networks.recurrent import BiLstm, Gru


class Stream(nn.Module):
    """One modality of DNN-RNT: (n, steps, d) -> a score per step, (n, steps)."""

    def __init__(self, inputs: int, width: int, dropout: float) -> None:
        super().__init__()
        self.reduce, self.gru = nn.Linear(inputs, width), Gru(width, width // 2)
        self.score = nn.Sequential(
            nn.Linear(width // 2, width // 4), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(width // 4, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores over time."""
        return self.score(self.gru(self.reduce(x))).squeeze(-1)


class StepScores(nn.Module):
    """DNN-RNT: video and audio (n, segments * steps, d) -> (n, dims), the mean over segments.

    A training batch has one segment of each row, as in the official script.

    Per segment of ``steps`` (24) steps the scores of both streams, 48 - 32 - 16 - dims with ReLU
    and dropout. ``width`` 2048 is the published one; state and hidden layer are 1/2 and 1/4.
    """

    def __init__(
        self,
        video: int,
        audio: int,
        dims: int,
        steps: int = 24,
        width: int = 2048,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.steps = steps
        self.video, self.audio = Stream(video, width, dropout), Stream(audio, width, dropout)
        self.join = nn.Sequential(
            nn.Linear(2 * steps, 32), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(32, 16), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(16, dims),
        )  # fmt: skip

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        """Return the mean over the segments."""
        scores = []
        for role, stream in (("video", self.video), ("audio", self.audio)):
            rows = x[role].shape[0]
            parts = x[role].unflatten(1, (-1, self.steps)).flatten(0, 1)
            scores.append(stream(parts))
        quality = self.join(torch.cat(scores, dim=-1))
        return quality.unflatten(0, (rows, -1)).mean(dim=1)


class Memory(nn.Module):
    """One modality of GeneralAVQA: (n, steps, d) -> (n, vector), two stages of BiLSTM."""

    def __init__(self, inputs: int, steps: int, state: int, vector: int, dropout: float) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            nn.Linear(inputs, inputs), BiLstm(inputs, state, 2),
            nn.Linear(2 * state, 2 * state), BiLstm(2 * state, state // 2, 2),
        )  # fmt: skip
        self.out = nn.Sequential(nn.Linear(steps * state, vector), nn.Dropout(dropout))

    def forward(self, x: Tensor) -> Tensor:
        """Return the vector."""
        return self.out(self.stages(x).flatten(-2))


class GeneralAvqa(nn.Module):
    """GeneralAVQA: video (n, 30, 2048) and sound (n, 30, ...) -> (n, dims).

    ``audio`` is the width of a ready sequence, or (kinds, bins, columns) of time-frequency maps.
    Maps come as one block each of (n, 30, columns * bins), under the roles audio0, audio1, ...;
    :class:`AudioMaps` turns them into vectors of ``width``. ``state`` is the width of the first
    BiLSTM in one direction; that of the second is half.
    """

    def __init__(
        self,
        video: int,
        audio: int | tuple[int, int, int],
        dims: int,
        steps: int = 30,
        width: int = 2048,
        state: int = 128,
        vector: int = 1024,
        channels: tuple[int, ...] = CHANNELS,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.kinds, self.columns = (audio[0], audio[2]) if isinstance(audio, tuple) else (0, 0)
        self.maps: AudioMaps | None = None
        if isinstance(audio, tuple):
            self.maps = AudioMaps(*audio, width, channels, dropout)
        self.video = Memory(video, steps, state, vector, dropout)
        self.audio = Memory(
            audio if isinstance(audio, int) else width, steps, state, vector, dropout
        )
        self.join = nn.Sequential(
            nn.Linear(2 * vector, vector), nn.Dropout(dropout), nn.ReLU(), nn.Linear(vector, dims)
        )

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        """Return the qualities."""
        if self.maps is None:
            sound = x["audio0"]
        else:
            kinds = [x[f"audio{n}"] for n in range(self.kinds)]
            sound = self.maps(stack_maps(kinds, self.columns))
        return self.join(torch.cat([self.video(x["video"]), self.audio(sound)], dim=-1))
