"""Where the faces are in a picture, by the Haar cascades that come with OpenCV."""

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

#: Frontal cascades in the order tried: (file, neighbours a hit needs). alt2 raises the fewest
#: false alarms; the other two find painted and drawn faces that it misses.
_FRONTAL = (
    ("haarcascade_frontalface_alt2.xml", 4),
    ("haarcascade_frontalface_default.xml", 6),
    ("haarcascade_frontalface_alt.xml", 3),
)
_PROFILE = ("haarcascade_profileface.xml", 4)
#: Side in pixels, after shrinking, of the smallest face looked for: the cascades' own is 20 to 24.
_SMALLEST = 24
#: A hit counts when it has at least this share of the raw detections of the strongest hit.
_WEAKEST = 0.25
#: Longer side in pixels of the first look, and of the second, which sees small faces.
_LOOK, _CLOSER = 320, 960
#: Degrees by which the picture is turned when it shows no upright face.
_TURNS = (-15, 15, -30, 30)
#: Hits of a cascade with fewer raw detections are noise.
_FAINT = 2
#: A vote is a hit's raw detections by those its cascade needs alone; the most one cascade can give.
_LOUDEST = 4.0
#: Hits that share this much (intersection over union) are one face.
_SAME = 0.45
#: Votes a face needs: two cascades agree, or one is twice as sure as it must be. The closer look
#: and the turned ones try far more places, so they need more. Values: tuned on the portraits of
#: docs/materials.md, on copies of them turned, shrunk and darkened, and on faceless pictures.
_ENOUGH, _ENOUGH_LATER = 2.0, 4.0
#: Boxes of which the smaller is covered this much by the other cannot both be faces.
_RIVAL = 0.4
#: A large painted eye can look like a face. It is an eye where the eye cascade has this many raw
#: detections of about its place (this much shared) and at least 56 pixels wide in a picture that
#: shows it 80 pixels wide; real faces had six at most.
_EYE, _EYE_HITS, _EYE_SAME, _EYE_WIDE, _EYE_SIDE = "haarcascade_eye.xml", 8, 0.3, 56, 80
#: A face beside another needs this share of its votes.
_BESIDE = 0.2
#: A face is followed at sizes from 0.4 to 2.6 of its last: that leaves out three quarters of the
#: work. Cut closer, its smallest hits are missing and its box moves (0.6: in 5 % of real frames).
_FOLLOWED = (0.4, 2.6)
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


def detect(image: Image, max_side: int = 320) -> list[Box]:
    """Return the faces in a picture, largest first.

    ``image``: uint8 RGB of shape (height, width, 3). It is shrunk so that its longer side is
    ``max_side`` pixels (never enlarged); faces under 24 pixels are then not seen. The boxes are in
    the input's pixels. Frontal cascades are
    tried one after the other until one finds something, each on the picture with its histogram
    equalised and as it is, then the profile cascade and its mirror image (Viola and Jones 2001, as
    trained by Lienhart; OpenCV). Overlapping boxes are one face, and a hit with under a
    quarter of the strongest hit's raw detections is none.
    Raises ``ValueError`` for another shape or type.

    >>> detect(np.zeros((64, 64, 3), np.uint8))
    []
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"not a uint8 RGB picture: {image.dtype}, shape {image.shape}")
    height, width = image.shape[:2]
    if min(height, width) < 8:
        return []
    plain = _shrink(image, max_side)
    fx, fy = width / plain.shape[1], height / plain.shape[0]
    return [Box(b.x * fx, b.y * fy, b.w * fx, b.h * fy) for b in _detect(plain)]


def follow(image: Image, last: Box, max_side: int = 320) -> Box | None:
    """Return the face of the picture before, found again by the first cascade; None: not sure.

    ``last`` is its box there; it is looked for at 0.4 to 2.6 times that size, which takes a third
    of the time of :func:`detect`, and gives the box that :func:`detect` gives, but for other faces,
    which are not seen. None where not exactly one face is found, or not where the last one was
    (intersection over union above a half).

    >>> follow(np.zeros((64, 64, 3), np.uint8), Box(16, 16, 32, 32)) is None
    True
    """
    height, width = image.shape[:2]
    plain = _shrink(image, max_side)
    fx, fy = width / plain.shape[1], height / plain.shape[0]
    smallest, largest = (int(last.w / fx * share) for share in _FOLLOWED)
    even = np.asarray(cv2.equalizeHist(plain), np.uint8)
    hits = _raw_hits(*_FRONTAL[0], even, max(_SMALLEST, smallest), largest)
    if len(hits) != 1:
        return None
    b = hits[0][0]
    box = Box(b.x * fx, b.y * fy, b.w * fx, b.h * fy)
    return box if _shared(box, last) > 0.5 else None


def _shrink(image: Image, max_side: int) -> npt.NDArray[np.uint8]:
    """The grey picture, its longer side at most ``max_side`` pixels (area average)."""
    height, width = image.shape[:2]
    factor = min(1.0, max_side / max(height, width))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if factor < 1:
        shape = (max(8, round(width * factor)), max(8, round(height * factor)))
        grey = cv2.resize(grey, shape, interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.uint8)


def _detect(grey: npt.NDArray[np.uint8]) -> list[Box]:
    even = np.asarray(cv2.equalizeHist(grey), np.uint8)
    for name, neighbours in _FRONTAL:
        for picture in (even, grey):
            found = merge(_run(name, neighbours, picture))
            if found:
                return found
    looking_left = _run(*_PROFILE, even)
    mirrored = _run(*_PROFILE, np.ascontiguousarray(even[:, ::-1]))
    looking_right = [Box(even.shape[1] - b.x - b.w, b.y, b.w, b.h) for b in mirrored]
    return merge([*looking_left, *looking_right])


def _run(name: str, neighbours: int, grey: npt.NDArray[np.uint8]) -> list[Box]:
    """The hits of one cascade, without those far weaker than the strongest: mostly patterns."""
    hits = _raw_hits(name, neighbours, grey)
    strongest = max((n for _, n in hits), default=0)
    return [box for box, n in hits if n >= _WEAKEST * strongest]


def _raw_hits(
    name: str,
    neighbours: int,
    grey: npt.NDArray[np.uint8],
    smallest: int = _SMALLEST,
    largest: int = 0,
) -> list[tuple[Box, int]]:
    """The hits of one cascade file, each with its number of raw detections."""
    hits, strength = _cascade(name).detectMultiScale2(
        grey,
        scaleFactor=1.1,
        minNeighbors=neighbours,
        minSize=(smallest, smallest),
        maxSize=(largest, largest),  # (0, 0): any
    )
    return [(Box(*map(float, hit)), int(n)) for hit, n in zip(hits, strength, strict=True)]


def _cascade(name: str) -> cv2.CascadeClassifier:
    """A cascade, one per thread, since OpenCV's objects keep state while they run."""
    held: dict[str, cv2.CascadeClassifier] = _cache.__dict__.setdefault("held", {})
    if name not in held:
        held[name] = cv2.CascadeClassifier(str(_FOLDER / name))
    return held[name]


def merge(boxes: Iterable[Box]) -> list[Box]:
    """Return boxes largest first, without those that share over 40 % of their area with a larger.

    >>> merge([Box(0, 0, 10, 10), Box(1, 1, 9, 9), Box(30, 0, 5, 5)])
    [Box(x=0, y=0, w=10, h=10), Box(x=30, y=0, w=5, h=5)]
    """
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda b: (-b.w * b.h, b.x, b.y)):
        if all(_common(box, other) <= 0.4 * box.w * box.h for other in kept):
            kept.append(box)
    return kept


def _common(a: Box, b: Box) -> float:
    width = min(a.x + a.w, b.x + b.w) - max(a.x, b.x)
    height = min(a.y + a.h, b.y + b.h) - max(a.y, b.y)
    return max(0.0, width) * max(0.0, height)


def mouth_box(box: Box) -> Box:
    """Return where the mouth lies in a frontal face box of :func:`detect`.

    The proportions are those of OpenCV's frontal boxes, which run from the middle of the forehead
    to just above the chin: the lips meet at 0.79 of the height, the mouth is 0.44 wide.

    >>> mouth_box(Box(0, 0, 100, 100)).cy
    79.0
    """
    return Box(box.x + 0.28 * box.w, box.y + 0.68 * box.h, 0.44 * box.w, 0.22 * box.h)


class _Face(NamedTuple):
    """A place that got votes: the mean box and its votes."""

    box: Box
    votes: float


def find_portrait(picture: npt.NDArray[np.uint8]) -> list[Box]:
    """Return the faces of a still picture, the best supported first, in its pixels.

    ``picture``: uint8 RGB (height, width, 3). Three frontal cascades, each on the grey picture and
    on its equalised histogram, and the profile cascade both ways (Viola and Jones 2001, as trained
    by Lienhart; OpenCV) give votes; hits on one place are one face, its box their mean by votes.
    Where nothing has enough votes the picture is looked at three times as large, then turned by
    15 and 30 degrees. Slower and surer than :func:`detect`, which takes the first cascade's word
    and is made for the many frames of a video. Raises ``ValueError`` for another shape or type.

    >>> find_portrait(np.zeros((64, 64, 3), np.uint8))
    []
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"not a uint8 RGB picture: {picture.dtype}, shape {picture.shape}")
    longer = max(picture.shape[:2])
    if min(picture.shape[:2]) < 8:
        return []
    found = _look(_shrink(picture, _LOOK), _ENOUGH)
    side = _LOOK
    if not found and longer > _LOOK:
        found, side = _look(_shrink(picture, _CLOSER), _ENOUGH_LATER), _CLOSER
    if not found:
        found, side = _turned(_shrink(picture, _LOOK)), _LOOK
    scale = max(1.0, longer / side)
    return [Box(*(value * scale for value in face.box)) for face in found]


def _look(grey: npt.NDArray[np.uint8], enough: float) -> list[_Face]:
    places = [face for face in _places(_votes(grey)) if face.votes >= enough]
    kept: list[_Face] = []
    for face in sorted(places, key=lambda f: (-f.votes * math.sqrt(f.box.size), f.box)):
        if any(_covered(face.box, k.box) >= _RIVAL for k in kept) or _is_eye(grey, face.box):
            continue
        if face.votes >= _BESIDE * max((k.votes for k in kept), default=0.0):
            kept.append(face)
    return kept


def _is_eye(grey: npt.NDArray[np.uint8], box: Box) -> bool:
    rim = 0.3 * box.size
    left, top = max(0, math.floor(box.x - rim)), max(0, math.floor(box.y - rim))
    right, bottom = math.ceil(box.x + box.w + rim), math.ceil(box.y + box.h + rim)
    zoom = _EYE_SIDE / box.size
    shown = cv2.resize(
        grey[top:bottom, left:right],
        None,
        fx=zoom,
        fy=zoom,
        interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR,
    )
    place = Box((box.x - left) * zoom, (box.y - top) * zoom, box.w * zoom, box.h * zoom)
    hits = _raw_hits(_EYE, _FAINT, np.asarray(shown, np.uint8), _EYE_SIDE // 2)
    return any(
        count >= _EYE_HITS and hit.w >= _EYE_WIDE and _shared(place, hit) > _EYE_SAME
        for hit, count in hits
    )


def _votes(grey: npt.NDArray[np.uint8]) -> list[tuple[Box, float, str]]:
    """All hits: box, votes, and which cascade on which picture gave them."""
    even = np.asarray(cv2.equalizeHist(grey), np.uint8)
    given = []
    for name, needed in _FRONTAL:
        for tag, shown in (("even", even), ("plain", grey)):
            for box, count in _raw_hits(name, _FAINT, shown):
                given.append((box, min(count / needed, _LOUDEST), name + tag))
    name, needed = _PROFILE
    for box, count in _raw_hits(name, _FAINT, even):
        given.append((box, min(count / needed, _LOUDEST), "profile left"))
    for box, count in _raw_hits(name, _FAINT, np.ascontiguousarray(even[:, ::-1])):
        there = box._replace(x=even.shape[1] - box.x - box.w)
        given.append((there, min(count / needed, _LOUDEST), "profile right"))
    return given


def _places(votes: list[tuple[Box, float, str]]) -> list[_Face]:
    """Group hits on one place; of one cascade only the loudest hit counts there."""
    groups: list[tuple[Box, list[tuple[Box, float, str]]]] = []
    for hit in sorted(votes, key=lambda v: (-v[1] * v[0].w, v)):
        for number, (middle, hits) in enumerate(groups):
            if _shared(middle, hit[0]) > _SAME:
                hits.append(hit)
                weight = sum(v for _, v, _ in hits)
                mean = (sum(b[axis] * v for b, v, _ in hits) / weight for axis in range(4))
                groups[number] = (Box(*mean), hits)
                break
        else:
            groups.append((hit[0], [hit]))
    made = []
    for box, hits in groups:
        loudest: dict[str, float] = {}
        for _, votes_given, tag in hits:
            loudest[tag] = max(votes_given, loudest.get(tag, 0.0))
        made.append(_Face(box, sum(loudest.values())))
    return made


def _shared(a: Box, b: Box) -> float:
    """Intersection over union."""
    both = _common(a, b)
    return both / (a.w * a.h + b.w * b.h - both)


def _covered(a: Box, b: Box) -> float:
    """The share of the smaller box that the other covers."""
    return _common(a, b) / min(a.w * a.h, b.w * b.h)


def _turned(grey: npt.NDArray[np.uint8]) -> list[_Face]:
    """The faces of the turn that shows the best supported one, upright boxes round them."""
    height, width = grey.shape
    best: list[_Face] = []
    for degrees in _TURNS:
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
        shown = cv2.warpAffine(grey, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
        back = cv2.invertAffineTransform(turn)
        found = []
        for face in _look(np.asarray(shown, np.uint8), _ENOUGH_LATER):
            x, y = back @ (face.box.cx, face.box.cy, 1.0)
            middle = face.box._replace(x=x - face.box.w / 2, y=y - face.box.h / 2)
            found.append(face._replace(box=Box(*map(float, middle))))
        if found and (not best or found[0].votes > best[0].votes):
            best = found
    return best
