"""A picture in face units to paint on: soft and hard shapes, strands of hair, noise."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

Array = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]
Colour = Sequence[float] | npt.NDArray[np.floating]

#: Fractional bits of OpenCV's drawing coordinates.
_BITS = 4


class Canvas:
    """An RGB picture (values 0..1) whose coordinates are those of a head.

    One unit is half the height of a head; (0, 0) lies between the eyes, u grows to the right and
    v downwards. ``centre`` is that point in pixels, ``unit`` one unit in pixels and ``tilt`` the
    head's lean in radians (clockwise as seen).
    """

    def __init__(
        self, width: int, height: int, centre: tuple[float, float], unit: float, tilt: float
    ) -> None:
        self.width, self.height, self.unit, self.tilt = width, height, unit, tilt
        self.centre = centre
        self.rgb: Array = np.zeros((height, width, 3), np.float32)
        x, y = np.meshgrid(
            np.arange(width, dtype=np.float32) - centre[0],
            np.arange(height, dtype=np.float32) - centre[1],
        )
        c, s = math.cos(tilt) / unit, math.sin(tilt) / unit
        #: Head coordinates of every pixel, and the same without the tilt (for body, background).
        self.u, self.v = (
            x * np.float32(c) + y * np.float32(s),
            y * np.float32(c) - x * np.float32(s),
        )
        self.bu, self.bv = x / np.float32(unit), y / np.float32(unit)

    def pixels(self, points: Points, upright: bool = False) -> Points:
        """Return head coordinates (n, 2) as pixels (n, 2); ``upright`` ignores the tilt."""
        angle = 0.0 if upright else self.tilt
        c, s = math.cos(angle) * self.unit, math.sin(angle) * self.unit
        u, v = points[:, 0], points[:, 1]
        return np.stack([u * c - v * s + self.centre[0], u * s + v * c + self.centre[1]], 1)

    def mask(self, points: Points, soft: float = 0.0, upright: bool = False) -> Array:
        """Return the cover, 0..1, of a polygon, its edge blurred by ``soft`` units.

        OpenCV's smooth edges reach up to a pixel outwards.
        """
        cover = np.zeros((self.height, self.width), np.uint8)
        cv2.fillPoly(cover, [self._fixed(points, upright)], 255, cv2.LINE_AA, _BITS)
        return self.blur(cover.astype(np.float32) / np.float32(255), soft)

    def stroke(
        self, points: Points, thickness: float, soft: float = 0.0, upright: bool = False
    ) -> Array:
        """Return the cover, 0..1, of an open line of the given thickness in units."""
        cover = np.zeros((self.height, self.width), np.uint8)
        wide = max(1, round(thickness * self.unit))
        line = self._fixed(points, upright)
        cv2.polylines(cover, [line], False, 255, wide, cv2.LINE_AA, _BITS)
        return self.blur(cover.astype(np.float32) / np.float32(255), soft)

    def _fixed(self, points: Points, upright: bool) -> npt.NDArray[np.int32]:
        return np.round(self.pixels(points, upright) * (1 << _BITS)).astype(np.int32)

    def blur(self, cover: Array, soft: float) -> Array:
        """Return a cover blurred by a Gaussian of ``soft`` units; wide ones at a smaller size."""
        sigma = soft * self.unit
        if sigma < 0.4:
            return cover
        if sigma > 12:
            small = cv2.resize(cover, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
            small = cv2.GaussianBlur(small, (0, 0), sigma / 4)
            size = (self.width, self.height)
            return cv2.resize(small, size, interpolation=cv2.INTER_LINEAR).astype(np.float32)
        part = window(cover, math.ceil(4 * sigma))
        result = np.zeros_like(cover)
        if part is not None:
            result[part] = cv2.GaussianBlur(cover[part], (0, 0), sigma)
        return result

    def paint(self, cover: Array, colour: Colour | Array, strength: float = 1.0) -> None:
        """Lay a colour, or a picture of colours, over the canvas where ``cover`` says."""
        part = window(cover)
        if part is None:
            return
        alpha = (cover[part] * np.float32(strength))[..., None]
        colours = np.asarray(colour, np.float32)
        colours = colours[part] if colours.ndim == 3 else colours
        self.rgb[part] += alpha * (colours - self.rgb[part])

    def shade(self, cover: Array, factor: Colour | float, strength: float = 1.0) -> None:
        """Multiply the canvas by ``factor`` (one number or RGB) where ``cover`` says."""
        part = window(cover)
        if part is None:
            return
        alpha = (cover[part] * np.float32(strength))[..., None]
        self.rgb[part] *= 1 + alpha * (np.asarray(factor, np.float32) - 1)

    def strands(
        self,
        lines: Sequence[Points],
        colours: npt.NDArray[np.floating],
        thickness: float,
        clip: Array | None = None,
        strength: float = 1.0,
        upright: bool = False,
    ) -> None:
        """Draw thin lines, each in its own colour (n, 3), over the canvas, inside ``clip``."""
        layer = np.clip(self.rgb * 255, 0, 255).astype(np.uint8)
        wide = max(1, round(thickness * self.unit))
        for line, colour in zip(lines, np.clip(np.asarray(colours) * 255, 0, 255), strict=True):
            shade = tuple(float(c) for c in colour)
            fixed = self._fixed(line, upright)
            cv2.polylines(layer, [fixed], False, shade, wide, cv2.LINE_AA, _BITS)
        cover = np.ones((self.height, self.width), np.float32) if clip is None else clip
        self.paint(cover, layer.astype(np.float32) / 255, strength)

    def image(self) -> npt.NDArray[np.uint8]:
        """Return the picture as uint8 RGB."""
        return np.round(np.clip(self.rgb, 0, 1) * 255).astype(np.uint8)


def window(cover: Array, margin: int = 0) -> tuple[slice, slice] | None:
    """Return the part of the picture where a cover is not nothing, None where it is nowhere.

    Painting there alone keeps small shapes cheap. ``margin``: pixels added on every side.

    >>> window(np.eye(3, dtype=np.float32)[:2])
    (slice(0, 2, None), slice(0, 2, None))
    """
    rows, columns = np.flatnonzero(cover.any(axis=1)), np.flatnonzero(cover.any(axis=0))
    if not len(rows):
        return None
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + margin + 1),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + margin + 1),
    )


def curve(points: Sequence[tuple[float, float]], n: int = 60, closed: bool = False) -> Points:
    """Return a smooth line of ``n`` points through the given ones (cubic spline).

    >>> curve([(0, 0), (1, 1), (2, 0)], 5)[2].round(6).tolist()
    [1.0, 1.0]
    """
    array = np.asarray(points, float)
    if closed:
        array = np.vstack([array, array[:1]])
    steps = np.sqrt(np.maximum(1e-9, np.hypot(*np.diff(array, axis=0).T)))
    along = np.concatenate([[0.0], np.cumsum(steps)])
    spline = CubicSpline(along, array, bc_type="periodic" if closed else "natural")
    return np.asarray(spline(np.linspace(0, along[-1], n)))


def moved(points: Points, du: float, dv: float) -> Points:
    """Return points shifted by (du, dv).

    >>> moved(np.zeros((1, 2)), 1, 2).tolist()
    [[1.0, 2.0]]
    """
    return points + np.array([du, dv])


def mirror(points: Points) -> Points:
    """Return points with left and right exchanged.

    >>> mirror(np.array([[1.0, 2.0]])).tolist()
    [[-1.0, 2.0]]
    """
    return points * np.array([-1.0, 1.0])


def ellipse(u: float, v: float, a: float, b: float, n: int = 80, turn: float = 0.0) -> Points:
    """Return an ellipse with half axes ``a``, ``b`` round (u, v), turned by ``turn`` radians."""
    t = np.linspace(0, 2 * math.pi, n, endpoint=False)
    x, y = a * np.cos(t), b * np.sin(t)
    c, s = math.cos(turn), math.sin(turn)
    return np.stack([u + x * c - y * s, v + x * s + y * c], 1)


def bump(canvas: Canvas, u: float, v: float, a: float, b: float, turn: float = 0.0) -> Array:
    """Return a Gaussian hill of height 1 and widths ``a``, ``b`` at (u, v), for every pixel."""
    (x0, y0), reach = canvas.pixels(np.array([[u, v]]))[0], 4.2 * max(a, b) * canvas.unit
    rows = slice(max(0, math.floor(y0 - reach)), max(0, math.ceil(y0 + reach)))
    columns = slice(max(0, math.floor(x0 - reach)), max(0, math.ceil(x0 + reach)))
    x, y = canvas.u[rows, columns] - np.float32(u), canvas.v[rows, columns] - np.float32(v)
    c, s = np.float32(math.cos(turn)), np.float32(math.sin(turn))
    p, q = (x * c + y * s) / np.float32(a), (y * c - x * s) / np.float32(b)
    result = np.zeros((canvas.height, canvas.width), np.float32)
    result[rows, columns] = np.exp(-0.5 * (p * p + q * q))
    return result


def noise(rng: np.random.Generator, height: int, width: int, grain: float) -> Array:
    """Return smooth noise of mean 0 and standard deviation 1, its grains ``grain`` pixels wide."""
    step = max(1.0, grain)
    shape = (math.ceil(height / step) + 3, math.ceil(width / step) + 3)
    coarse = rng.standard_normal(shape).astype(np.float32)
    if step > 1:
        size = (math.ceil(shape[1] * step), math.ceil(shape[0] * step))
        coarse = np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), np.float32)
    field = coarse[:height, :width]
    return np.asarray((field - field.mean()) / max(1e-6, float(field.std())), np.float32)


def smoothstep(low: float, high: float, value: Array) -> Array:
    """Return 0 below ``low``, 1 above ``high`` and a smooth ramp between.

    >>> float(smoothstep(0, 1, np.float32([0.5]))[0])
    0.5
    """
    t = np.clip((value - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
