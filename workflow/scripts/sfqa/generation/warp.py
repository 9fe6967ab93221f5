"""Move a still portrait: open its mouth, close its eyes, sway its head."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from sfqa.generation.anatomy import Anatomy

Pixels = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]

#: Height of the widest open mouth, as a share of the face box.
_WIDEST_SHARE = 0.13
#: Share of the opening by which the lower lip moves; the upper lip moves by the rest.
_LOWER_LIP_SHARE = 0.8
#: The mouth is broadest when it is 1 / _SPREAD open.
_SPREAD = 2.5


class Pose(NamedTuple):
    """The movement in one frame.

    ``mouth`` and ``lids`` are from 0 (still) to 1, ``dx`` and ``dy`` shares of the picture's side.
    """

    mouth: float = 0.0
    lids: float = 0.0
    dx: float = 0.0
    dy: float = 0.0
    roll_rad: float = 0.0
    zoom: float = 1.0


class Puppet:
    """A portrait at its render size, prepared to be posed frame by frame.

    ``image``: uint8 RGB, shape (side, side, 3). ``anatomy`` may be that of a larger version of the
    picture, because its values are shares of the side.

    >>> from sfqa.generation.anatomy import locate_face
    >>> still = np.full((64, 64, 3), 128, np.uint8)
    >>> bool((Puppet(still, locate_face(still)).apply_pose(Pose()) == still).all())
    True
    """

    def __init__(self, image: Pixels, anatomy: Anatomy) -> None:
        self.image = np.ascontiguousarray(image)
        self.side = image.shape[0]
        self.anatomy = anatomy
        self._mouth = _Mouth(self.image, anatomy)
        self._lids = [_Lid(self.image, anatomy, number) for number in range(len(anatomy.eyes))]

    def apply_pose(self, pose: Pose) -> Pixels:
        """Return the portrait in one pose, uint8 RGB of the render size."""
        frame = self.image.copy()
        for lid in self._lids:
            lid.close(frame, pose.lids)
        self._mouth.open(frame, pose.mouth)
        if (pose.dx, pose.dy, pose.roll_rad, pose.zoom) == (0.0, 0.0, 0.0, 1.0):
            return frame
        return self._move_head(frame, pose)

    def _move_head(self, frame: Pixels, pose: Pose) -> Pixels:
        # The head turns about the neck, below the face.
        centre = (self.anatomy.cx * self.side, (self.anatomy.cy + self.anatomy.size) * self.side)
        matrix = cv2.getRotationMatrix2D(centre, math.degrees(pose.roll_rad), pose.zoom)
        matrix[0, 2] += pose.dx * self.side
        matrix[1, 2] += pose.dy * self.side
        moved = cv2.warpAffine(
            frame, matrix, (self.side, self.side),
            flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101,
        )  # fmt: skip
        return np.asarray(moved, dtype=np.uint8)


class _Patch:
    """A part of the picture with coordinates along (u) and across (v) the tilted face."""

    def __init__(
        self, image: Pixels, centre: tuple[float, float], tilt: float, reach: tuple[float, ...]
    ) -> None:
        left, right, up, down = reach
        side = image.shape[0]
        (x, y), spread = centre, abs(math.sin(tilt))
        x0, x1 = x - left - spread * down, x + right + spread * down
        y0, y1 = y - up - spread * left, y + down + spread * right
        self.x0, self.y0 = max(0, int(x0)), max(0, int(y0))
        self.x1, self.y1 = min(side, math.ceil(x1)), min(side, math.ceil(y1))
        self.empty = self.x1 - self.x0 < 2 or self.y1 - self.y0 < 2
        self.cos, self.sin = math.cos(tilt), math.sin(tilt)
        rows, columns = np.mgrid[self.y0 : self.y1, self.x0 : self.x1].astype(np.float32)
        self.rows, self.columns = rows, columns
        self.u: Field = (columns - x) * self.cos + (rows - y) * self.sin
        self.v: Field = (rows - y) * self.cos - (columns - x) * self.sin

    def crop(self, frame: Pixels) -> Pixels:
        """Return the part of a frame, as a view that can be written to."""
        return frame[self.y0 : self.y1, self.x0 : self.x1]

    def sample(self, frame: Pixels, shift_v: Field) -> Pixels:
        """Return the part with each pixel taken from ``shift_v`` pixels further across the face."""
        # float32 maps are exact enough for pictures of a few thousand pixels
        xs = (self.columns - shift_v * self.sin).astype(np.float32)
        ys = (self.rows + shift_v * self.cos).astype(np.float32)
        return np.asarray(
            cv2.remap(frame, xs, ys, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101),
            dtype=np.uint8,
        )


def _fade_out(x: Field, power: float = 1.0) -> Field:
    """Return 1 at 0, falling to 0 at -1 and 1, and 0 outside."""
    return np.asarray(np.clip(1 - x * x, 0, 1) ** power, np.float32)


def _smooth_step(x: Field) -> Field:
    """Return 0 below 0 and 1 above 1, smooth between (3x^2 - 2x^3)."""
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x), np.float32)


def _reduce_saturation(rgb: tuple[int, int, int], share: float) -> Field:
    """Return a colour with a share of its saturation."""
    value = np.array(rgb, np.float32)
    return np.asarray(value.mean() + (value - value.mean()) * share, np.float32)


class _Mouth:
    """The mouth and the jaw: the lower lip moves down and the inside of the mouth appears."""

    def __init__(self, image: Pixels, a: Anatomy) -> None:
        side = image.shape[0]
        self.face = a.size * side
        self.half = a.mouth_half_width * side * 0.72
        reach = (0.55 * self.face, 0.55 * self.face, 0.22 * self.face, 0.62 * self.face)
        centre = (a.mouth_x * side, a.mouth_y * side)
        self.patch = _Patch(image, centre, a.tilt_rad, reach)
        if self.patch.empty:
            return
        u, v = self.patch.u, self.patch.v
        # Share by which the skin moves with the jaw: 1 at the chin, 0 at neck, ears and nose.
        chin = 0.30 * self.face
        jaw = _fade_out(u / (0.52 * self.face), 1.5)
        self.jaw = (
            jaw * _smooth_step(v / chin) * (1 - _smooth_step((v - 1.05 * chin) / (0.9 * chin)))
        )
        self.below = _fade_out(np.maximum(v, 0) / (0.75 * chin), 1.0)
        self.above = _fade_out(np.minimum(v, 0) / (0.20 * self.face), 1.0)
        shade = float(np.clip(self.patch.crop(image).mean() / 110.0, 0.45, 1.1))
        # The mouth of a statue or a pencil drawing is grey.
        view = self.patch.crop(image).astype(np.float32)
        colour = min(1.0, float((view.max(axis=2) - view.min(axis=2)).mean()) / 40.0)
        self.dark = _reduce_saturation((44, 12, 14), colour) * shade
        self.tongue = _reduce_saturation((150, 66, 66), colour) * shade
        self.teeth = _reduce_saturation((226, 218, 204), colour) * min(1.0, shade)

    def open(self, frame: Pixels, amount: float) -> None:
        """Open the mouth in the frame itself; an ``amount`` of 0 changes nothing."""
        if self.patch.empty or amount <= 0.004:
            return
        u, v = self.patch.u, self.patch.v
        gap = amount * _WIDEST_SHARE * self.face
        # A wide open mouth is narrower, as in an "o"; one that begins to open parts in the middle.
        wide = self.half * (0.72 + 0.28 * _SPREAD * amount * math.exp(1 - _SPREAD * amount))
        lens = _fade_out(u / wide, 0.8)
        low, high = _LOWER_LIP_SHARE * gap * lens, -(1 - _LOWER_LIP_SHARE) * gap * lens
        under = v - low
        down = low * _fade_out(np.maximum(under, 0) / (0.24 * self.face)) + 0.75 * gap * self.jaw
        up = high * self.above
        shift = np.where(v > (low + high) / 2, -down, -up).astype(np.float32)
        skin = self.patch.sample(frame, shift).astype(np.float32)
        edge = max(0.8, 0.006 * self.face)
        inside = _smooth_step((v - high) / edge + 0.5) * _smooth_step((low - v) / edge + 0.5)
        inside *= _smooth_step(lens * gap / (2 * edge))
        hole = self._paint_inside(u, v, high, low, gap)
        mask = inside[:, :, None]
        self.patch.crop(frame)[:] = np.clip(skin + (hole - skin) * mask + 0.5, 0, 255).astype(
            np.uint8
        )

    def _paint_inside(self, u: Field, v: Field, high: Field, low: Field, gap: float) -> Field:
        """Return the colours between the lips: dark, some of the upper teeth and of the tongue."""
        depth = np.clip((v - high) / np.maximum(low - high, 1e-3), 0, 1)
        soft = max(1.0, 0.012 * self.face)
        tall = min(0.42 * gap, 0.042 * self.face)
        teeth = 1 - _smooth_step((v - high - tall) / soft + 0.5)
        teeth *= _fade_out(u / (0.80 * self.half), 1.0) * 0.85 * min(1.0, gap / (0.035 * self.face))
        tongue = _smooth_step((depth - 0.5) / 0.5) * _fade_out(u / (0.75 * self.half), 1.0) * 0.75
        hole = self.dark + (self.tongue - self.dark) * tongue[:, :, None]
        # The upper lip casts a shadow on what is behind it.
        shadow = 0.72 + 0.28 * _smooth_step((v - high) / (2 * soft))
        return np.asarray(
            (hole + (self.teeth - hole) * teeth[:, :, None]) * shadow[:, :, None], np.float32
        )


class _Lid:
    """An upper eyelid: the skin above the eye is stretched down over it."""

    def __init__(self, image: Pixels, a: Anatomy, number: int) -> None:
        side = image.shape[0]
        eye = a.eyes[number]
        self.half, self.tall = eye.half_width * side * 1.08, eye.half_height * side
        reach = (self.half, self.half, 3.0 * self.tall, 2.2 * self.tall)
        self.patch = _Patch(image, (eye.cx * side, eye.cy * side), a.tilt_rad, reach)
        if self.patch.empty:
            return
        # The colour of the cheek below replaces dark brows and spectacles in the lid.
        below = (self.patch.v > 1.2 * self.tall) & (np.abs(self.patch.u) < self.half)
        pixels = self.patch.crop(image)[below]
        self.cheek = np.median(pixels, axis=0).astype(np.float32) if len(pixels) else None

    def close(self, frame: Pixels, amount: float) -> None:
        """Close the eye in the frame itself; an ``amount`` of 0 leaves it open, 1 shuts it."""
        if self.patch.empty or amount <= 0.01:
            return
        u, v = self.patch.u / self.half, self.patch.v
        arch = _fade_out(u, 0.6)
        top = -0.95 * self.tall * np.ones_like(arch)
        rim = top + amount * 1.9 * self.tall * arch
        roof = -1.9 * self.tall
        # The skin between the roof and the top of the eye is stretched down to the rim.
        share = np.clip((v - roof) / np.maximum(rim - roof, 1e-3), 0, 1)
        source = roof + share * (top - roof)
        shift = np.where((v > roof) & (v < rim), source - v, 0).astype(np.float32)
        skin = self.patch.sample(frame, shift).astype(np.float32)
        if self.cheek is not None:
            light = float(self.cheek.mean())
            dark = _smooth_step((0.75 * light - skin.mean(axis=2)) / (0.3 * light + 1))
            dark *= _smooth_step((v - top) / (0.4 * self.tall) + 0.5) * _smooth_step(arch * 3)
            skin += (0.86 * self.cheek - skin) * dark[:, :, None]
        edge = max(0.8, 0.16 * self.tall)
        lid = _smooth_step((rim - v) / edge + 0.5) * _smooth_step(arch * 4)
        lash = np.exp(-0.5 * ((v - rim) / (0.09 * self.tall + 0.3)) ** 2) * _smooth_step(arch * 2)
        lash *= 0.45 * min(1.0, 2 * amount)
        view = self.patch.crop(frame)
        old = view.astype(np.float32)
        new = (old + (skin - old) * lid[:, :, None]) * (1 - lash[:, :, None])
        view[:] = np.clip(new + 0.5, 0, 255).astype(np.uint8)
