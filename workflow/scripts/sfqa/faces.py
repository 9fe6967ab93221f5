"""Detect faces in pictures with the Haar cascades that come with OpenCV."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

VERSION = 1

Image = npt.NDArray[np.uint8]

#: Frontal cascades in the order they are tried: (file, minimum neighbours). alt2 has the fewest
#: false positives; the other two detect painted and drawn faces that it misses.
_FRONTAL = (
    ("haarcascade_frontalface_alt2.xml", 4),
    ("haarcascade_frontalface_default.xml", 6),
    ("haarcascade_frontalface_alt.xml", 3),
)
_PROFILE = ("haarcascade_profileface.xml", 4)
#: Smallest face in pixels, after shrinking; the cascades were trained at 20 to 24.
_MIN_FACE_PX = 24
#: A hit counts if it has at least this share of the raw detections of the strongest hit.
_MIN_RELATIVE_DETECTIONS = 0.25
#: Longer side in pixels of the first search, and of the second, which detects small faces.
_FIRST_SIDE, _SECOND_SIDE = 320, 960
#: Rotations in degrees that are tried if no upright face is detected.
_ROTATIONS = (-15, 15, -30, 30)
#: Hits with fewer raw detections are noise.
_MIN_DETECTIONS = 2
#: A vote is a hit's raw detections divided by the minimum of its cascade; largest possible vote.
_MAX_VOTE = 4.0
#: Hits with a larger intersection over union are the same face.
_SAME_FACE_IOU = 0.45
#: Votes a face needs: two cascades agree, or one has twice its minimum. The second search and the
#: rotated ones test many more positions and need more votes. Tuned on the portraits of
#: docs/materials.md, on rotated, shrunk and darkened copies of them, and on pictures without faces.
_MIN_VOTES, _MIN_VOTES_LATER = 2.0, 4.0
#: If this share of the smaller of two boxes is covered by the other, only one is a face.
_MAX_OVERLAP = 0.4
#: A large painted eye can look like a face. A box is an eye if, enlarged to 80 pixels, the eye
#: cascade has at least 8 raw detections in it that are 56 pixels wide or more and overlap it by
#: 0.3 (intersection over union); real faces had at most six.
_EYE, _EYE_HITS, _EYE_SAME, _EYE_WIDE, _EYE_SIDE = "haarcascade_eye.xml", 8, 0.3, 56, 80
#: A second face needs this share of the votes of the best one.
_MIN_SECOND_SHARE = 0.2
#: A face is followed at 0.4 to 2.6 times its last size, which saves three quarters of the work. A
#: narrower range misses its smallest hits and moves its box (with 0.6: in 5 % of real frames).
_FOLLOW_SIZES = (0.4, 2.6)
_FOLDER = Path(cv2.__file__).parent / "data"
_cache = threading.local()


class Box(NamedTuple):
    """An upright box in pixels: left edge, top edge, width, height."""

    x: float
    y: float
    w: float
    h: float

    @property
    def cx(self) -> float:
        """Horizontal centre in pixels."""
        return self.x + self.w / 2

    @property
    def cy(self) -> float:
        """Vertical centre in pixels."""
        return self.y + self.h / 2

    @property
    def size(self) -> float:
        """The longer side in pixels.

        >>> Box(0, 0, 3, 4).size
        4
        """
        return max(self.w, self.h)


def detect_faces(image: Image, max_side: int = 320) -> list[Box]:
    """Return the faces in a picture, largest first, as boxes in input pixels.

    ``image``: uint8 RGB of shape (height, width, 3). It is shrunk so that its longer side is at
    most ``max_side`` pixels (never enlarged); faces under 24 pixels are then not detected. The
    frontal cascades are tried in turn until one detects a face, each on the picture with equalised
    histogram and on the original, then the profile cascade and its mirror image (Viola and Jones
    2001, as trained by Lienhart; OpenCV). Overlapping boxes are one face. A hit with less than a
    quarter of the raw detections of the strongest hit is ignored. Raises ``ValueError`` for another
    shape or type.

    >>> detect_faces(np.zeros((64, 64, 3), np.uint8))
    []
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"not a uint8 RGB picture: {image.dtype}, shape {image.shape}")
    height, width = image.shape[:2]
    if min(height, width) < 8:
        return []
    grey = _shrink_to_grey(image, max_side)
    fx, fy = width / grey.shape[1], height / grey.shape[0]
    return [Box(b.x * fx, b.y * fy, b.w * fx, b.h * fy) for b in _detect_in_grey(grey)]


def follow_face(image: Image, last: Box, max_side: int = 320) -> Box | None:
    """Return the box of a face that was detected in the previous frame, or None if unsure.

    ``last`` is its previous box. Only the first cascade is used, at 0.4 to 2.6 times the last size,
    which takes a third of the time of :func:`detect_faces` and gives the same box; other faces are
    not detected. Returns None unless exactly one face is detected and its intersection over union
    with ``last`` is above one half.

    >>> follow_face(np.zeros((64, 64, 3), np.uint8), Box(16, 16, 32, 32)) is None
    True
    """
    height, width = image.shape[:2]
    grey = _shrink_to_grey(image, max_side)
    fx, fy = width / grey.shape[1], height / grey.shape[0]
    smallest, largest = (int(last.w / fx * share) for share in _FOLLOW_SIZES)
    equalized = np.asarray(cv2.equalizeHist(grey), np.uint8)
    hits = _raw_hits(*_FRONTAL[0], equalized, max(_MIN_FACE_PX, smallest), largest)
    if len(hits) != 1:
        return None
    b = hits[0][0]
    box = Box(b.x * fx, b.y * fy, b.w * fx, b.h * fy)
    return box if compute_iou(box, last) > 0.5 else None


def _shrink_to_grey(image: Image, max_side: int) -> npt.NDArray[np.uint8]:
    """Convert to grey and shrink the longer side to at most ``max_side`` pixels (area average)."""
    height, width = image.shape[:2]
    factor = min(1.0, max_side / max(height, width))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if factor < 1:
        shape = (max(8, round(width * factor)), max(8, round(height * factor)))
        grey = cv2.resize(grey, shape, interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.uint8)


def _detect_in_grey(grey: npt.NDArray[np.uint8]) -> list[Box]:
    equalized = np.asarray(cv2.equalizeHist(grey), np.uint8)
    for name, neighbours in _FRONTAL:
        for picture in (equalized, grey):
            boxes = merge_boxes(_run_cascade(name, neighbours, picture))
            if boxes:
                return boxes
    looking_left = _run_cascade(*_PROFILE, equalized)
    mirrored = _run_cascade(*_PROFILE, np.ascontiguousarray(equalized[:, ::-1]))
    looking_right = [Box(equalized.shape[1] - b.x - b.w, b.y, b.w, b.h) for b in mirrored]
    return merge_boxes([*looking_left, *looking_right])


def _run_cascade(name: str, neighbours: int, grey: npt.NDArray[np.uint8]) -> list[Box]:
    """Run one cascade; drop hits much weaker than the strongest, which are mostly patterns."""
    hits = _raw_hits(name, neighbours, grey)
    strongest = max((n for _, n in hits), default=0)
    return [box for box, n in hits if n >= _MIN_RELATIVE_DETECTIONS * strongest]


def _raw_hits(
    name: str,
    neighbours: int,
    grey: npt.NDArray[np.uint8],
    smallest: int = _MIN_FACE_PX,
    largest: int = 0,
) -> list[tuple[Box, int]]:
    """Run one cascade file; return its hits with their numbers of raw detections."""
    hits, strength = _load_cascade(name).detectMultiScale2(
        grey,
        scaleFactor=1.1,
        minNeighbors=neighbours,
        minSize=(smallest, smallest),
        maxSize=(largest, largest),  # (0, 0): any
    )
    return [(Box(*map(float, hit)), int(n)) for hit, n in zip(hits, strength, strict=True)]


def _load_cascade(name: str) -> cv2.CascadeClassifier:
    """Load a cascade once per thread: OpenCV's objects keep state while they run."""
    cascades: dict[str, cv2.CascadeClassifier] = _cache.__dict__.setdefault("held", {})
    if name not in cascades:
        cascades[name] = cv2.CascadeClassifier(str(_FOLDER / name))
    return cascades[name]


def merge_boxes(boxes: Iterable[Box]) -> list[Box]:
    """Return the boxes, largest first, without those that overlap a larger one by over 40 %.

    The overlap is a share of the smaller box's area.

    >>> merge_boxes([Box(0, 0, 10, 10), Box(1, 1, 9, 9), Box(30, 0, 5, 5)])
    [Box(x=0, y=0, w=10, h=10), Box(x=30, y=0, w=5, h=5)]
    """
    largest: list[Box] = []
    for box in sorted(boxes, key=lambda b: (-b.w * b.h, b.x, b.y)):
        if all(_intersection_area(box, other) <= 0.4 * box.w * box.h for other in largest):
            largest.append(box)
    return largest


def _intersection_area(a: Box, b: Box) -> float:
    width = min(a.x + a.w, b.x + b.w) - max(a.x, b.x)
    height = min(a.y + a.h, b.y + b.h) - max(a.y, b.y)
    return max(0.0, width) * max(0.0, height)


def locate_mouth(box: Box) -> Box:
    """Return the mouth's box within a frontal face box of :func:`detect_faces`.

    OpenCV's frontal boxes run from the middle of the forehead to just above the chin: the lips meet
    at 0.79 of the height, and the mouth is 0.44 wide.

    >>> locate_mouth(Box(0, 0, 100, 100)).cy
    79.0
    """
    return Box(box.x + 0.28 * box.w, box.y + 0.68 * box.h, 0.44 * box.w, 0.22 * box.h)


class _Face(NamedTuple):
    """A candidate face: the mean box of its hits and the sum of their votes."""

    box: Box
    votes: float


def find_portrait_faces(picture: npt.NDArray[np.uint8]) -> list[Box]:
    """Return the faces of a still picture as boxes in its pixels, the most votes first.

    ``picture``: uint8 RGB (height, width, 3). Three frontal cascades, each on the grey picture and
    on its equalised histogram, and the profile cascade in both directions (Viola and Jones 2001, as
    trained by Lienhart; OpenCV) vote; hits on one position are one face, whose box is their mean
    weighted by votes. If no face has enough votes, the search is repeated at three times the size,
    then with rotations by 15 and 30 degrees. Slower and more reliable than :func:`detect_faces`,
    which uses the first cascade that detects a face and is meant for video frames. Raises
    ``ValueError`` for another shape or type.

    >>> find_portrait_faces(np.zeros((64, 64, 3), np.uint8))
    []
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"not a uint8 RGB picture: {picture.dtype}, shape {picture.shape}")
    longer_side = max(picture.shape[:2])
    if min(picture.shape[:2]) < 8:
        return []
    detected = _find_faces(_shrink_to_grey(picture, _FIRST_SIDE), _MIN_VOTES)
    side = _FIRST_SIDE
    if not detected and longer_side > _FIRST_SIDE:
        detected, side = (
            _find_faces(_shrink_to_grey(picture, _SECOND_SIDE), _MIN_VOTES_LATER),
            _SECOND_SIDE,
        )
    if not detected:
        detected, side = _find_rotated_faces(_shrink_to_grey(picture, _FIRST_SIDE)), _FIRST_SIDE
    scale = max(1.0, longer_side / side)
    return [Box(*(value * scale for value in face.box)) for face in detected]


def _find_faces(grey: npt.NDArray[np.uint8], min_votes: float) -> list[_Face]:
    candidates = [face for face in _group_votes(_collect_votes(grey)) if face.votes >= min_votes]
    accepted: list[_Face] = []
    for face in sorted(candidates, key=lambda f: (-f.votes * math.sqrt(f.box.size), f.box)):
        if any(_covered_share(face.box, k.box) >= _MAX_OVERLAP for k in accepted) or _is_eye(
            grey, face.box
        ):
            continue
        if face.votes >= _MIN_SECOND_SHARE * max((k.votes for k in accepted), default=0.0):
            accepted.append(face)
    return accepted


def _is_eye(grey: npt.NDArray[np.uint8], box: Box) -> bool:
    margin = 0.3 * box.size
    left, top = max(0, math.floor(box.x - margin)), max(0, math.floor(box.y - margin))
    right, bottom = math.ceil(box.x + box.w + margin), math.ceil(box.y + box.h + margin)
    zoom = _EYE_SIDE / box.size
    enlarged = cv2.resize(
        grey[top:bottom, left:right],
        None,
        fx=zoom,
        fy=zoom,
        interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR,
    )
    face_box = Box((box.x - left) * zoom, (box.y - top) * zoom, box.w * zoom, box.h * zoom)
    hits = _raw_hits(_EYE, _MIN_DETECTIONS, np.asarray(enlarged, np.uint8), _EYE_SIDE // 2)
    return any(
        count >= _EYE_HITS and hit.w >= _EYE_WIDE and compute_iou(face_box, hit) > _EYE_SAME
        for hit, count in hits
    )


def _collect_votes(grey: npt.NDArray[np.uint8]) -> list[tuple[Box, float, str]]:
    """Return all hits: box, votes, and which cascade on which picture gave them."""
    equalized = np.asarray(cv2.equalizeHist(grey), np.uint8)
    votes = []
    for name, min_detections in _FRONTAL:
        for variant, picture in (("even", equalized), ("plain", grey)):
            for box, count in _raw_hits(name, _MIN_DETECTIONS, picture):
                votes.append((box, min(count / min_detections, _MAX_VOTE), name + variant))
    name, min_detections = _PROFILE
    for box, count in _raw_hits(name, _MIN_DETECTIONS, equalized):
        votes.append((box, min(count / min_detections, _MAX_VOTE), "profile left"))
    for box, count in _raw_hits(name, _MIN_DETECTIONS, np.ascontiguousarray(equalized[:, ::-1])):
        mirrored_box = box._replace(x=equalized.shape[1] - box.x - box.w)
        votes.append((mirrored_box, min(count / min_detections, _MAX_VOTE), "profile right"))
    return votes


def _group_votes(votes: list[tuple[Box, float, str]]) -> list[_Face]:
    """Group hits on one position; of each cascade only the hit with the most votes counts."""
    groups: list[tuple[Box, list[tuple[Box, float, str]]]] = []
    for hit in sorted(votes, key=lambda v: (-v[1] * v[0].w, v)):
        for index, (mean_box, hits) in enumerate(groups):
            if compute_iou(mean_box, hit[0]) > _SAME_FACE_IOU:
                hits.append(hit)
                weight = sum(v for _, v, _ in hits)
                mean = (sum(b[axis] * v for b, v, _ in hits) / weight for axis in range(4))
                groups[index] = (Box(*mean), hits)
                break
        else:
            groups.append((hit[0], [hit]))
    faces = []
    for box, hits in groups:
        vote_by_source: dict[str, float] = {}
        for _, vote, source in hits:
            vote_by_source[source] = max(vote, vote_by_source.get(source, 0.0))
        faces.append(_Face(box, sum(vote_by_source.values())))
    return faces


def compute_iou(a: Box, b: Box) -> float:
    """Return the intersection over union of two boxes; 0 for two empty ones.

    >>> compute_iou(Box(0, 0, 2, 2), Box(1, 0, 2, 2)) == 1 / 3
    True
    """
    intersection = _intersection_area(a, b)
    union = a.w * a.h + b.w * b.h - intersection
    return intersection / union if union > 0 else 0.0


def _covered_share(a: Box, b: Box) -> float:
    """Return the share of the smaller box that the other covers."""
    return _intersection_area(a, b) / min(a.w * a.h, b.w * b.h)


def _find_rotated_faces(grey: npt.NDArray[np.uint8]) -> list[_Face]:
    """Return the faces of the rotation whose best face has the most votes, as upright boxes."""
    height, width = grey.shape
    best: list[_Face] = []
    for degrees in _ROTATIONS:
        rotation = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
        rotated = cv2.warpAffine(grey, rotation, (width, height), borderMode=cv2.BORDER_REPLICATE)
        inverse = cv2.invertAffineTransform(rotation)
        detected = []
        for face in _find_faces(np.asarray(rotated, np.uint8), _MIN_VOTES_LATER):
            x, y = inverse @ (face.box.cx, face.box.cy, 1.0)
            moved = face.box._replace(x=x - face.box.w / 2, y=y - face.box.h / 2)
            detected.append(face._replace(box=Box(*map(float, moved))))
        if detected and (not best or detected[0].votes > best[0].votes):
            best = detected
    return best
