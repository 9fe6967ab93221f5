"""Follow faces through a video and cut out what SyncNet sees of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter

from sfqa.faces import Box

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Detector = Callable[[Image], list[Box]]
Follower = Callable[[Image, Box], Box | None]

SIDE = 224
_LEAST_IOU = 0.5
_LONGEST_GAP = 25
_MEDIAN = 13
#: A face that is alone is followed for so many frames (1 s) before all of the picture is searched
#: again: by then a second face is noticed, and no track bridges a longer gap.
_FOLLOWED_FRAMES = _LONGEST_GAP
_SCALE = 0.4
_GREY = 110


@dataclass
class Search:
    """Finds the faces in one picture after the other.

    Where ``follow`` is given, a face that was alone in the picture before is followed for up to a
    second between full searches: the same box for a third of the time. Where it is not sure,
    the whole picture is searched.
    """

    detect: Detector
    follow: Follower | None = None
    _alone: Box | None = None
    _searched: int = 0

    def look(self, frame: int, image: Image) -> list[Box]:
        """Return the faces in a picture, largest first; ``frame`` numbers rise from call to call.

        >>> Search(lambda image: []).look(0, np.zeros((8, 8, 3), np.uint8))
        []
        """
        box = None
        near = frame - self._searched < _FOLLOWED_FRAMES
        if self.follow is not None and self._alone is not None and near:
            box = self.follow(image, self._alone)
        if box is None:
            found, self._searched = self.detect(image), frame
        else:
            found = [box]
        self._alone = found[0] if len(found) == 1 else None
        return found


@dataclass(frozen=True)
class Track:
    """One face over consecutive frames.

    ``boxes``: (frames, 4) of x, y, width, height in pixels, from frame ``first`` on, interpolated
    where nothing was found; ``found``: in how many of them something was.
    """

    first: int
    boxes: Floats
    found: int

    @property
    def last(self) -> int:
        """The last frame."""
        return self.first + len(self.boxes) - 1

    def overlaps(self, other: Track) -> bool:
        """Say whether both are in the picture at the same time."""
        return self.first <= other.last and other.first <= self.last


def iou(a: Box, b: Box) -> float:
    """Return the area that two boxes share over the area that they cover together.

    >>> iou(Box(0, 0, 2, 2), Box(1, 0, 2, 2)) == 1 / 3
    True
    """
    width = min(a.x + a.w, b.x + b.w) - max(a.x, b.x)
    height = min(a.y + a.h, b.y + b.h) - max(a.y, b.y)
    common = max(0.0, width) * max(0.0, height)
    whole = a.w * a.h + b.w * b.h - common
    return common / whole if whole > 0 else 0.0


def looked_at(frames: int, every: int) -> list[int]:
    """Return the frames in which faces are looked for: every so many, and always the last.

    >>> looked_at(8, 3)
    [0, 3, 6, 7]
    """
    return sorted({*range(0, frames, every), frames - 1} if frames else ())


def needed(min_track: int, frames: int, looks: int) -> int:
    """Return the number of detections that a track must exceed.

    ``min_track`` of the frames, but at most four fifths of a shorter clip; fewer where not every
    frame is looked at (``looks`` of ``frames``).

    >>> needed(50, 150, 150), needed(50, 40, 40), needed(50, 150, 75)
    (50, 32, 25)
    """
    return min(min_track, 4 * frames // 5) * looks // frames if frames else 0


def link(found: Sequence[tuple[int, Sequence[Box]]], least: int) -> list[Track]:
    """Return the tracks with more than ``least`` detections, the longest first.

    ``found`` holds (frame, boxes) of the frames looked at, in order. A box belongs to a track when
    it shares more than half (intersection over union) with the track's last box, at most 25 frames
    before; of several, the closest. Rules of joonson/syncnet_python (run_pipeline.py); tracks of
    one length are ordered by the size of the face, then by their start.
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
            if frame - last_frame > _LONGEST_GAP:
                break
            best = max(boxes, key=lambda box: iou(box, last))
            if iou(best, last) > _LEAST_IOU:
                boxes.remove(best)
                chain.append((frame, best))
        if len(chain) > least:
            tracks.append(_filled(chain))
    return sorted(tracks, key=lambda t: (-len(t.boxes), -float(t.boxes[:, 2:].mean()), t.first))


def _filled(chain: Sequence[tuple[int, Box]]) -> Track:
    frames = [frame for frame, _ in chain]
    every = np.arange(frames[0], frames[-1] + 1)
    sides = np.array([box for _, box in chain], dtype=np.float64)
    boxes = np.stack([np.interp(every, frames, side) for side in sides.T], axis=1)
    return Track(frames[0], boxes, len(chain))


def smooth(track: Track) -> Floats:
    """Return half size, centre x and centre y (frames, 3) of a track, in pixels.

    Each is the median over 13 frames, with zeros beyond the ends as in the reference; where a track
    is so short that they would win (under 7 frames), the unfiltered value stays.
    """
    x, y, w, h = track.boxes.T
    raw = np.stack([np.maximum(w, h) / 2, x + w / 2, y + h / 2], axis=1)
    if len(raw) <= _MEDIAN // 2:
        return raw
    # What scipy.signal.medfilt gives to each column, without half a second of imports.
    return np.asarray(median_filter(raw, (_MEDIAN, 1), mode="constant"))


def crop(image: Image, half: float, x: float, y: float) -> Image:
    """Return the reference crop of a picture, (224, 224, 3) in its own channel order.

    Half size and centre in pixels. From ``half`` above the centre to 1.8 ``half`` below it and 1.4
    ``half`` to both sides; what lies outside the picture is grey 110. Source:
    joonson/syncnet_python (run_pipeline.py, crop scale 0.4).
    """
    pad = int(half * (1 + 2 * _SCALE))
    wide = cv2.copyMakeBorder(
        image, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=(_GREY, _GREY, _GREY)
    )
    x, y, side = x + pad, y + pad, half * (1 + _SCALE)
    rows = slice(max(0, int(y - half)), int(y + half * (1 + 2 * _SCALE)))
    columns = slice(max(0, int(x - side)), int(x + side))
    return np.asarray(cv2.resize(wide[rows, columns], (SIDE, SIDE)), dtype=np.uint8)


def crops(images: Iterable[Image], places: Floats) -> Iterator[Image]:
    """Yield the crop of every picture at its place: rows of :func:`smooth`, one per picture.

    Pictures are uint8 RGB, crops uint8 BGR, the order that SyncNet was trained on.
    """
    for image, (half, x, y) in zip(images, places, strict=True):
        yield np.ascontiguousarray(crop(image, half, x, y)[..., ::-1])
