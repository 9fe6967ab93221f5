"""Track faces through a video, and crop the input of SyncNet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter

from sfqa.arrays import Floats
from sfqa.faces import Box, compute_iou

Image = npt.NDArray[np.uint8]
Detector = Callable[[Image], list[Box]]
Follower = Callable[[Image, Box], Box | None]

SIDE = 224
_MIN_IOU = 0.5
_MAX_GAP = 25
_MEDIAN_FRAMES = 13
#: A single face is followed for this many frames (1 s) before the whole picture is searched again:
#: a second face is then detected, and no track bridges a longer gap.
_FOLLOWED_FRAMES = _MAX_GAP
_SCALE = 0.4
_GREY = 110


@dataclass
class FaceSearch:
    """Finds faces in successive frames.

    With ``follow``, a face that was the only one in the previous frame is followed for up to a
    second between full searches, which gives the same box in a third of the time. If ``follow`` is
    unsure, the whole picture is searched.
    """

    detect: Detector
    follow: Follower | None = None
    _single_face: Box | None = None
    _searched: int = 0

    def find_faces(self, frame: int, image: Image) -> list[Box]:
        """Return the faces of a frame, largest first; ``frame`` must increase from call to call.

        >>> FaceSearch(lambda image: []).find_faces(0, np.zeros((8, 8, 3), np.uint8))
        []
        """
        box = None
        is_recent = frame - self._searched < _FOLLOWED_FRAMES
        if self.follow is not None and self._single_face is not None and is_recent:
            box = self.follow(image, self._single_face)
        if box is None:
            boxes, self._searched = self.detect(image), frame
        else:
            boxes = [box]
        self._single_face = boxes[0] if len(boxes) == 1 else None
        return boxes


@dataclass(frozen=True)
class Track:
    """One face over consecutive frames.

    ``boxes``: (frames, 4) of x, y, width, height in pixels, starting at frame ``first``, with
    interpolated values in frames without a detection. ``found``: number of detections.
    """

    first: int
    boxes: Floats
    found: int

    @property
    def last(self) -> int:
        """The last frame."""
        return self.first + len(self.boxes) - 1

    def overlaps_with(self, other: Track) -> bool:
        """Return whether both tracks have a common frame."""
        return self.first <= other.last and other.first <= self.last


def list_searched_frames(frames: int, every: int) -> list[int]:
    """Return the frames in which faces are searched: every n-th one and the last.

    >>> list_searched_frames(8, 3)
    [0, 3, 6, 7]
    """
    return sorted({*range(0, frames, every), frames - 1} if frames else ())


def count_needed_detections(min_track: int, frames: int, looks: int) -> int:
    """Return the number of detections that a track must exceed.

    ``min_track`` frames, but at most four fifths of a shorter clip, scaled by the share of searched
    frames (``looks`` of ``frames``).

    >>> count_needed_detections(50, 150, 150), count_needed_detections(50, 40, 40)
    (50, 32)
    >>> count_needed_detections(50, 150, 75)
    25
    """
    return min(min_track, 4 * frames // 5) * looks // frames if frames else 0


def link_tracks(
    found: Sequence[tuple[int, Sequence[Box]]], least: int, takes_first: bool = False
) -> list[Track]:
    """Link detections to tracks; return those with more than ``least`` detections, longest first.

    ``found`` holds (frame, boxes) of the searched frames, in order. A box continues a track if its
    intersection over union with the last box of the track, at most 25 frames earlier, is above one
    half. Of several such boxes, the one with the largest value does; with ``takes_first`` the first
    of them, as in joonson/syncnet_python (run_pipeline.py), from which the other rules are, too.
    Tracks of equal length are ordered by the size of the face, then by their start.
    """
    left = [(frame, list(boxes)) for frame, boxes in found]
    tracks = []
    while any(boxes for _, boxes in left):
        chain: list[tuple[int, Box]] = []
        for frame, boxes in left:
            if not boxes:
                continue
            if not chain:
                chain.append((frame, boxes.pop(0)))
                continue
            last_frame, last = chain[-1]
            if frame - last_frame > _MAX_GAP:
                break
            near = [box for box in boxes if compute_iou(box, last) > _MIN_IOU]
            if near:
                box = near[0] if takes_first else max(near, key=lambda b: compute_iou(b, last))
                boxes.remove(box)
                chain.append((frame, box))
        if len(chain) > least:
            tracks.append(_interpolate_track(chain))
    return sort_tracks(tracks)


def sort_tracks(tracks: Iterable[Track]) -> list[Track]:
    """Return tracks by length, the longest first; equal ones by size of the face, then by start."""
    return sorted(tracks, key=lambda t: (-len(t.boxes), -float(t.boxes[:, 2:].mean()), t.first))


def _interpolate_track(chain: Sequence[tuple[int, Box]]) -> Track:
    frames = [frame for frame, _ in chain]
    every = np.arange(frames[0], frames[-1] + 1)
    sides = np.array([box for _, box in chain], dtype=np.float64)
    boxes = np.stack([np.interp(every, frames, side) for side in sides.T], axis=1)
    return Track(frames[0], boxes, len(chain))


def smooth_track(track: Track) -> Floats:
    """Return half size, centre x and centre y (frames, 3) of a track, in pixels.

    Each is the median over 13 frames with zero padding, as in the reference. If a track is so short
    that the padding would dominate (under 7 frames), the unfiltered values are returned.
    """
    x, y, w, h = track.boxes.T
    raw = np.stack([np.maximum(w, h) / 2, x + w / 2, y + h / 2], axis=1)
    if len(raw) <= _MEDIAN_FRAMES // 2:
        return raw
    # Equals scipy.signal.medfilt per column, without half a second of imports.
    return np.asarray(median_filter(raw, (_MEDIAN_FRAMES, 1), mode="constant"))


def crop_face(image: Image, half: float, x: float, y: float) -> Image:
    """Return the reference crop of a picture, (224, 224, 3) in its own channel order.

    Half size and centre are in pixels. The crop spans from ``half`` above the centre to 1.8
    ``half`` below it and 1.4 ``half`` to both sides; pixels outside the picture are grey 110.
    Source: joonson/syncnet_python (run_pipeline.py, crop scale 0.4).
    """
    pad = int(half * (1 + 2 * _SCALE))
    wide = cv2.copyMakeBorder(
        image, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=(_GREY, _GREY, _GREY)
    )
    x, y, side = x + pad, y + pad, half * (1 + _SCALE)
    rows = slice(max(0, int(y - half)), int(y + half * (1 + 2 * _SCALE)))
    columns = slice(max(0, int(x - side)), int(x + side))
    return np.asarray(cv2.resize(wide[rows, columns], (SIDE, SIDE)), dtype=np.uint8)


def crop_faces(images: Iterable[Image], places: Floats) -> Iterator[Image]:
    """Yield the crop of every picture at its position: rows of :func:`smooth_track`.

    Pictures are uint8 RGB, crops uint8 BGR, the order that SyncNet was trained on.
    """
    for image, (half, x, y) in zip(images, places, strict=True):
        yield np.ascontiguousarray(crop_face(image, half, x, y)[..., ::-1])
