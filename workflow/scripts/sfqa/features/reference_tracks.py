"""Face tracks as the SyncNet reference makes them: S3FD in every frame, its own limits.

Source: joonson/syncnet_python at 6efbb1c3, run_pipeline.py, with its default arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from sfqa import media
from sfqa.faces import Box
from sfqa.features import batches, face_clips, face_track, scene_cuts
from sfqa.features.base import UnusableError, Video
from sfqa.features.batches import Batching
from sfqa.features.face_clips import FaceClip, Samples
from sfqa.features.face_track import Image, Track

if TYPE_CHECKING:
    from sfqa.features.s3fd import S3FD

#: Pictures are shrunk to this share of their sides (``facedet_scale``).
SCALE = 0.25
#: Sides of a shrunk picture in pixels that the network needs: its last map would be empty.
MIN_SIDE = 28
#: Mean width or height of a track in pixels that a face must exceed (``min_face_size``).
MIN_FACE_PX = 100
#: Pictures per pass on a CPU and on a GPU.
_CPU_PASS, _GPU_PASS = 4, 64


@dataclass(frozen=True)
class ShrunkClip:
    """A video before faces are searched in it.

    ``frames_shown`` are the video's frames at 25 per second; some may be shown twice. ``searched``
    are the positions in this list that are searched for faces, and ``pictures`` the different
    frames at these positions in rising order, shrunk: (frames, height, width, 3), uint8 RGB.
    ``size`` (width, height) is that of the video. ``scenes`` are the first position and the end
    (exclusive) of each scene.
    """

    video: Video
    sound: Samples
    frames_shown: list[int]
    searched: list[int]
    pictures: npt.NDArray[np.uint8]
    size: tuple[int, int]
    scenes: list[tuple[int, int]]


@dataclass(frozen=True)
class ShrunkReader:
    """Reads sound and shrunk pictures; ``every`` and ``max_shift`` are options of the extractor."""

    every: int
    max_shift: int

    def prepare(self, video: Video) -> ShrunkClip:
        """Return the sound and the shrunk pictures; raises :class:`UnusableError`."""
        sound = face_clips.read_sound(video)
        try:
            frames_shown = face_clips.list_frames_shown(video)
            face_clips.count_windows(len(frames_shown), len(sound), self.max_shift, "the video")
            searched = face_track.list_searched_frames(len(frames_shown), self.every)
            frames = sorted({frames_shown[n] for n in searched})
            shrunk, changes, size, previous = [], {}, (0, 0), None
            for frame, image in zip(frames, media.iterate_frames(video.path, frames), strict=True):
                size = (image.shape[1], image.shape[0])
                shrunk.append(shrink_picture(image))
                hsv = scene_cuts.convert_to_hsv(image)
                if previous is not None:
                    changes[frame] = scene_cuts.measure_change(hsv, previous)
                previous = hsv
        except media.MediaError as error:
            raise UnusableError(f"broken: {error}") from error
        pictures = np.stack(shrunk)
        if min(pictures.shape[1:3]) < MIN_SIDE:
            raise UnusableError(
                f"too_small: the pictures have {size[0]} x {size[1]} pixels; the detector s3fd "
                f"needs sides of {int(MIN_SIDE / SCALE)}"
            )
        # A frame that is shown twice changes where it is shown first.
        first_positions = {frames_shown[n]: n for n in reversed(searched)}
        cuts = scene_cuts.find_cuts((first_positions[f], changes[f]) for f in frames[1:])
        scenes = scene_cuts.list_scenes(cuts, len(frames_shown))
        return ShrunkClip(video, sound, frames_shown, searched, pictures, size, scenes)


class ReferenceTracker:
    """Finds the faces of a video with S3FD and follows the one that is scored.

    ``min_track``: the number of detections that a track must exceed if every frame is searched.
    """

    def __init__(self, net: S3FD, device: str, min_track: int, max_shift: int) -> None:
        import torch

        layout = torch.contiguous_format if batches.is_gpu(device) else torch.channels_last
        self.net, self.device = net.to(device).to(memory_format=layout), device
        self.min_track, self.max_shift = min_track, max_shift
        batching = Batching.choose(None, device, _CPU_PASS, _GPU_PASS)
        # Frames of other videos may have another size.
        self.batching = replace(batching, mixed=False)

    def make_face_clip(self, clip: ShrunkClip) -> FaceClip:
        """Return the longest track's crops and sound; raises :class:`UnusableError`."""
        detections = self.detect_faces(clip)
        least = self.min_track * len(clip.searched) // len(clip.frames_shown)
        tracks = link_reference_tracks(
            [
                [(n, boxes) for n, boxes in detections if start <= n < stop]
                for start, stop in clip.scenes
                if stop - start >= self.min_track
            ],
            least,
        )
        if not tracks:
            hits = sum(bool(boxes) for _, boxes in detections)
            raise UnusableError(
                f"no_face: no face of more than {MIN_FACE_PX} pixels could be followed through the "
                f"video (more than {least} detections needed, {hits} of {len(detections)} frames "
                "show one)"
            )
        try:
            return face_clips.make_face_clip(
                clip.video.path, clip.sound, clip.frames_shown, tracks, len(clip.searched),
                self.max_shift,
            )  # fmt: skip
        except media.MediaError as error:
            raise UnusableError(f"broken: {error}") from error

    def detect_faces(self, clip: ShrunkClip) -> list[tuple[int, list[Box]]]:
        """Return each searched position with its boxes in pixels, the most probable first."""
        from sfqa.features import s3fd

        ((_, candidates),) = batches.run_batched(
            [clip.pictures],
            list,
            lambda part: s3fd.run_detector(self.net, part, self.device),
            self.batching,
        )
        frames = sorted({clip.frames_shown[n] for n in clip.searched})
        boxes = {
            frame: [box for _, box in s3fd.select_faces(rows, *clip.size)]
            for frame, rows in zip(frames, candidates, strict=True)
        }
        return [(n, boxes[clip.frames_shown[n]]) for n in clip.searched]


def link_reference_tracks(
    scenes: Sequence[Sequence[tuple[int, Sequence[Box]]]], least: int
) -> list[Track]:
    """Return the tracks with more than ``least`` detections and large faces, longest first.

    ``scenes`` are the (position, boxes) of each scene; no track is in two of them.
    """
    tracks = [
        track
        for detections in scenes
        for track in face_track.link_tracks(detections, least, takes_first=True)
        if track.boxes[:, 2:].mean(axis=0).max() > MIN_FACE_PX
    ]
    return face_track.sort_tracks(tracks)


def shrink_picture(image: Image) -> Image:
    """Return a picture (height, width, 3) at a quarter of its sides."""
    small = cv2.resize(image, (0, 0), fx=SCALE, fy=SCALE, interpolation=cv2.INTER_LINEAR)
    return np.asarray(small, np.uint8)
