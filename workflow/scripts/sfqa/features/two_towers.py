"""Networks of two towers, one for frames and one for slices of sound, over many videos."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sfqa.arrays import Floats32
from sfqa.errors import UnusableError
from sfqa.features import batches
from sfqa.features.batches import Batching
from sfqa.features.half_precision import round_to_float16

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class FramesAndSound:
    """What both towers see of a video: normalised frames (frame, ..) and slices (slice, ..)."""

    frames: Floats32
    slices: Floats32


class TwoTowerNet(Protocol):
    """A network with a tower for frames and one for slices of sound."""

    def encode_frames(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the vectors of a batch of parts of :attr:`FramesAndSound.frames`."""

    def encode_slices(self, slices: torch.Tensor) -> torch.Tensor:
        """Return the vectors (n, channel) of slices of sound."""

    def embed(self, video: torch.Tensor, audio: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the other columns of a video from the vectors of its frames and slices."""


@dataclass(frozen=True)
class TowerRunner:
    """Runs both towers in batches; ``has_whole_clips``: a part is all frames of a video."""

    net: TwoTowerNet
    device: torch.device
    precision: str
    batching: Batching
    has_whole_clips: bool = False

    def compute_columns(self, prepared: Iterable[FramesAndSound]) -> Iterator[dict[str, Floats32]]:
        """Yield ``video``, ``audio`` and the columns of :meth:`TwoTowerNet.embed` of each video.

        The audio tower runs first.
        """
        import torch

        with_audio = batches.run_batched(
            prepared, lambda item: list(item.slices), self._in_passes(self.net.encode_slices),
            self.batching,
        )  # fmt: skip
        for (_, audio_rows), video_rows in batches.run_batched(
            with_audio, lambda item: self._list_frames(item[0]),
            self._in_passes(self.net.encode_frames), self.batching,
        ):  # fmt: skip
            video = video_rows[0] if self.has_whole_clips else np.stack(video_rows)
            audio = np.stack(audio_rows)
            with torch.inference_mode(), batches.set_precision(self.precision):
                vectors = (torch.from_numpy(x).to(self.device) for x in (video, audio))
                columns = self.net.embed(*vectors)
            yield {
                "video": video,
                "audio": audio,
                **{name: tensor.cpu().numpy() for name, tensor in columns.items()},
            }

    def score(
        self, prepared: Iterable[FramesAndSound], model: str
    ) -> Iterator[dict[str, Any] | UnusableError]:
        """Yield the row of each video: tensors as float16, numbers as they are."""
        for columns in self.compute_columns(prepared):
            try:
                yield round_columns(columns, model)
            except UnusableError as error:
                yield error

    def _list_frames(self, item: FramesAndSound) -> list[Floats32]:
        return [item.frames] if self.has_whole_clips else list(item.frames)

    def _in_passes(
        self, encode: Callable[[torch.Tensor], torch.Tensor]
    ) -> Callable[[list[Floats32]], torch.Tensor]:
        import torch

        def forward(parts: list[Floats32]) -> torch.Tensor:
            half = self.precision == "bf16"
            mixed = torch.autocast(self.device.type, torch.bfloat16, enabled=half)
            with torch.inference_mode(), batches.set_precision(self.precision), mixed:
                return encode(batches.to_device(parts, self.device)).float()

        return forward


def round_columns(columns: Mapping[str, Floats32], model: str) -> dict[str, Any]:
    """Return a row: tensors as float16, numbers as float.

    Raises :class:`UnusableError`, which names the model, for numbers that float16 cannot hold.
    """
    return {
        name: round_to_float16(values, model) if values.ndim else float(values)
        for name, values in columns.items()
    }
