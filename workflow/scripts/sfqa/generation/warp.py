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

#: How far the widest mouth opens, in shares of the face box.
_WIDEST = 0.13
#: Of the opening, the lower lip takes this share; the upper lip the rest.
_LOWER = 0.8
#: The mouth is at its widest when it is 1 / _SPREAD open.
_SPREAD = 2.5


class Pose(NamedTuple):
    """One frame's movement: mouth 0..1, eyelids 0..1, shift in shares of the side, roll, zoom."""

    mouth: float = 0.0
    lids: float = 0.0
    dx: float = 0.0
    dy: float = 0.0
    roll_rad: float = 0.0
    zoom: float = 1.0


class Puppet:
    """A portrait at its render size, ready to be posed frame by frame.

    ``image``: uint8 RGB (side, side, 3) at the render size; ``anatomy`` as located on it or on a
    larger version of it (its values are shares of the side).

    >>> from sfqa.generation.anatomy import locate
    >>> still = np.full((64, 64, 3), 128, np.uint8)
    >>> bool((Puppet(still, locate(still)).pose(Pose()) == still).all())
    True
    """

    def __init__(self, image: Pixels, anatomy: Anatomy) -> None:
        self.image = np.ascontiguousarray(image)
        self.side = image.shape[0]
        self.anatomy = anatomy
        self._mouth = _Mouth(self.image, anatomy)
        self._lids = [_Lid(self.image, anatomy, number) for number in range(len(anatomy.eyes))]

    def pose(self, pose: Pose) -> Pixels:
        """Return the portrait in one pose, uint8 RGB of the render size."""
        frame = self.image.copy()
        for lid in self._lids:
            lid.close(frame, pose.lids)
        self._mouth.open(frame, pose.mouth)
        if (pose.dx, pose.dy, pose.roll_rad, pose.zoom) == (0.0, 0.0, 0.0, 1.0):
            return frame
        return self._moved(frame, pose)

    def _moved(self, frame: Pixels, pose: Pose) -> Pixels:
        # The head turns about the neck, somewhat below the face.
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
        self, image: Pixels, place: tuple[float, float], tilt: float, reach: tuple[float, ...]
    ) -> None:
        left, right, up, down = reach
        side = image.shape[0]
        (x, y), spread = place, abs(math.sin(tilt))
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

    def view(self, frame: Pixels) -> Pixels:
        return frame[self.y0 : self.y1, self.x0 : self.x1]

    def sample(self, frame: Pixels, shift_v: Field) -> Pixels:
        """The patch with each pixel fetched from ``shift_v`` pixels further across the face."""
        # float32 maps: exact enough for any picture below some thousand pixels
        xs = (self.columns - shift_v * self.sin).astype(np.float32)
        ys = (self.rows + shift_v * self.cos).astype(np.float32)
        return np.asarray(
            cv2.remap(frame, xs, ys, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101),
            dtype=np.uint8,
        )


def _bump(x: Field, power: float = 1.0) -> Field:
    """1 at 0, falling to 0 at -1 and 1, and 0 outside."""
    return np.asarray(np.clip(1 - x * x, 0, 1) ** power, np.float32)


def _ramp(x: Field) -> Field:
    """0 below 0, 1 above 1, smooth between (3x^2 - 2x^3)."""
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x), np.float32)


def _tinted(rgb: tuple[int, int, int], colour: float) -> Field:
    """A colour with only a share of its saturation."""
    value = np.array(rgb, np.float32)
    return np.asarray(value.mean() + (value - value.mean()) * colour, np.float32)


class _Mouth:
    """The mouth and the jaw: the lower lip goes down, what is behind the lips comes to light."""

    def __init__(self, image: Pixels, a: Anatomy) -> None:
        side = image.shape[0]
        self.face = a.size * side
        self.half = a.mouth_half_width * side * 0.72
        reach = (0.55 * self.face, 0.55 * self.face, 0.22 * self.face, 0.62 * self.face)
        place = (a.mouth_x * side, a.mouth_y * side)
        self.patch = _Patch(image, place, a.tilt_rad, reach)
        if self.patch.empty:
            return
        u, v = self.patch.u, self.patch.v
        # How far the skin goes with the jaw: all of the chin, none of the neck, ears and nose.
        chin = 0.30 * self.face
        jaw = _bump(u / (0.52 * self.face), 1.5)
        self.jaw = jaw * _ramp(v / chin) * (1 - _ramp((v - 1.05 * chin) / (0.9 * chin)))
        self.below = _bump(np.maximum(v, 0) / (0.75 * chin), 1.0)
        self.above = _bump(np.minimum(v, 0) / (0.20 * self.face), 1.0)
        shade = float(np.clip(self.patch.view(image).mean() / 110.0, 0.45, 1.1))
        # A statue or a pencil drawing has a grey mouth.
        view = self.patch.view(image).astype(np.float32)
        colour = min(1.0, float((view.max(axis=2) - view.min(axis=2)).mean()) / 40.0)
        self.dark = _tinted((44, 12, 14), colour) * shade
        self.tongue = _tinted((150, 66, 66), colour) * shade
        self.teeth = _tinted((226, 218, 204), colour) * min(1.0, shade)

    def open(self, frame: Pixels, amount: float) -> None:
        """Open the mouth in place; ``amount`` 0 leaves the picture as it is."""
        if self.patch.empty or amount <= 0.004:
            return
        u, v = self.patch.u, self.patch.v
        gap = amount * _WIDEST * self.face
        # A wide open mouth is narrower, as in an "o"; one that just opens parts in the middle.
        wide = self.half * (0.72 + 0.28 * _SPREAD * amount * math.exp(1 - _SPREAD * amount))
        lens = _bump(u / wide, 0.8)
        low, high = _LOWER * gap * lens, -(1 - _LOWER) * gap * lens
        under = v - low
        down = low * _bump(np.maximum(under, 0) / (0.24 * self.face)) + 0.75 * gap * self.jaw
        up = high * self.above
        shift = np.where(v > (low + high) / 2, -down, -up).astype(np.float32)
        skin = self.patch.sample(frame, shift).astype(np.float32)
        edge = max(0.8, 0.006 * self.face)
        inside = _ramp((v - high) / edge + 0.5) * _ramp((low - v) / edge + 0.5)
        inside *= _ramp(lens * gap / (2 * edge))
        hole = self._hole(u, v, high, low, gap)
        mask = inside[:, :, None]
        self.patch.view(frame)[:] = np.clip(skin + (hole - skin) * mask + 0.5, 0, 255).astype(
            np.uint8
        )

    def _hole(self, u: Field, v: Field, high: Field, low: Field, gap: float) -> Field:
        """What is seen between the lips: the dark, a hint of upper teeth, a hint of tongue."""
        depth = np.clip((v - high) / np.maximum(low - high, 1e-3), 0, 1)
        soft = max(1.0, 0.012 * self.face)
        tall = min(0.42 * gap, 0.042 * self.face)
        teeth = 1 - _ramp((v - high - tall) / soft + 0.5)
        teeth *= _bump(u / (0.80 * self.half), 1.0) * 0.85 * min(1.0, gap / (0.035 * self.face))
        tongue = _ramp((depth - 0.5) / 0.5) * _bump(u / (0.75 * self.half), 1.0) * 0.75
        hole = self.dark + (self.tongue - self.dark) * tongue[:, :, None]
        # The lips throw a shadow onto what lies just behind the upper one.
        shadow = 0.72 + 0.28 * _ramp((v - high) / (2 * soft))
        return np.asarray(
            (hole + (self.teeth - hole) * teeth[:, :, None]) * shadow[:, :, None], np.float32
        )


class _Lid:
    """One upper eyelid: the skin above the eye is stretched down over it."""

    def __init__(self, image: Pixels, a: Anatomy, number: int) -> None:
        side = image.shape[0]
        eye = a.eyes[number]
        self.half, self.tall = eye.half_width * side * 1.08, eye.half_height * side
        reach = (self.half, self.half, 3.0 * self.tall, 2.2 * self.tall)
        self.patch = _Patch(image, (eye.cx * side, eye.cy * side), a.tilt_rad, reach)
        if self.patch.empty:
            return
        # What the cheek just below looks like, for lids that would be made of brow or spectacles.
        below = (self.patch.v > 1.2 * self.tall) & (np.abs(self.patch.u) < self.half)
        pixels = self.patch.view(image)[below]
        self.cheek = np.median(pixels, axis=0).astype(np.float32) if len(pixels) else None

    def close(self, frame: Pixels, amount: float) -> None:
        """Close the eye in place; ``amount`` 0 leaves it open, 1 shuts it."""
        if self.patch.empty or amount <= 0.01:
            return
        u, v = self.patch.u / self.half, self.patch.v
        arch = _bump(u, 0.6)
        top = -0.95 * self.tall * np.ones_like(arch)
        rim = top + amount * 1.9 * self.tall * arch
        roof = -1.9 * self.tall
        # From the roof to the rim stands what was between the roof and the top of the eye.
        share = np.clip((v - roof) / np.maximum(rim - roof, 1e-3), 0, 1)
        source = roof + share * (top - roof)
        shift = np.where((v > roof) & (v < rim), source - v, 0).astype(np.float32)
        skin = self.patch.sample(frame, shift).astype(np.float32)
        if self.cheek is not None:
            light = float(self.cheek.mean())
            dark = _ramp((0.75 * light - skin.mean(axis=2)) / (0.3 * light + 1))
            dark *= _ramp((v - top) / (0.4 * self.tall) + 0.5) * _ramp(arch * 3)
            skin += (0.86 * self.cheek - skin) * dark[:, :, None]
        edge = max(0.8, 0.16 * self.tall)
        lid = _ramp((rim - v) / edge + 0.5) * _ramp(arch * 4)
        lash = np.exp(-0.5 * ((v - rim) / (0.09 * self.tall + 0.3)) ** 2) * _ramp(arch * 2)
        lash *= 0.45 * min(1.0, 2 * amount)
        view = self.patch.view(frame)
        old = view.astype(np.float32)
        new = (old + (skin - old) * lid[:, :, None]) * (1 - lash[:, :, None])
        view[:] = np.clip(new + 0.5, 0, 255).astype(np.uint8)
