"""The lines of a drawn head: outline, eyes, brows, mouth, ears, neck, shoulders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sfqa.materials.portraits_canvas import Points, curve, mirror
from sfqa.materials.portraits_traits import Traits

#: Height of the line between the lips, in half heads below the eyes. OpenCV's boxes around these
#: heads put it where :func:`sfqa.faces.locate_mouth` looks for it.
MOUTH = 0.705


@dataclass(frozen=True)
class Eye:
    """The right-hand eye as seen (u > 0): middle, half width, iris radius, and its lids."""

    u: float
    v: float
    half: float
    iris: float
    upper: Points
    lower: Points

    @property
    def opening(self) -> Points:
        """The closed outline between the lids."""
        return np.vstack([self.upper, self.lower[::-1]])


def outline(t: Traits) -> Points:
    """Return the closed outline of the head without hair and ears."""
    cheek = 0.02 * t.cheek + (0.0 if t.woman else 0.015)
    jaw = 0.05 * t.jaw
    chin = 1.13 + 0.03 * t.chin + (0.0 if t.woman else 0.03) - (0.04 if t.illustrated else 0.0)
    taper = -0.03 if t.woman else 0.0
    taper -= 0.03 if t.illustrated else 0.0
    right = [
        (0.40, -1.02),
        (0.67, -0.74),
        (0.775 + cheek, -0.30),
        (0.775 + cheek, 0.08),
        (0.740 + cheek + jaw / 2, 0.42),
        (0.645 + jaw + taper, 0.74),
        (0.455 + jaw + taper, chin - 0.15),
        (0.215 + 0.6 * jaw + taper, chin - 0.022),
    ]
    left = [(-u, v) for u, v in reversed(right)]
    return curve([(0.0, -1.10), *right, (0.0, chin + 0.005), *left], 240, closed=True)


def eye(t: Traits) -> Eye:
    """Return the eye on the right-hand side; the other is its mirror image."""
    grow = 1.28 if t.illustrated else 1.0
    u = 0.335 + 0.012 * t.eye_gap
    half = (0.152 + 0.008 * t.eye_size) * (1.13 if t.illustrated else 1.0)
    up = (0.078 + 0.008 * t.eye_size) * grow * (1.12 if t.woman else 0.95)
    down = 0.047 * grow
    if t.old:
        up *= 0.86
    slant = 0.014 if t.woman else 0.006
    inner, outer = (u - half, 0.022), (u + half, -slant)
    upper = curve(
        [
            inner,
            (u - 0.55 * half, -0.72 * up),
            (u + 0.05 * half, -up),
            (u + 0.6 * half, -0.8 * up),
            outer,
        ],
        40,
    )
    lower = curve(
        [
            inner,
            (u - 0.4 * half, 0.78 * down + 0.008),
            (u + 0.2 * half, down),
            (u + 0.7 * half, 0.55 * down),
            outer,
        ],
        40,
    )
    return Eye(u, -0.008, half, 0.084 * (1.2 if t.illustrated else 1.0), upper, lower)


def brow(t: Traits) -> Points:
    """Return the line along the middle of the right-hand brow, from the nose outwards."""
    lift = -0.015 * t.brow - (0.02 if t.illustrated else 0.0)
    high = -0.255 if t.woman else -0.215
    arch = 0.045 if t.woman else 0.025
    return curve(
        [
            (0.135, high + 0.035 + lift),
            (0.33, high - 0.3 * arch + lift),
            (0.45, high - 0.2 * arch + lift),
            (0.56, high + arch + lift),
        ],
        40,
    )


def lips(t: Traits) -> tuple[Points, Points, Points]:
    """Return upper lip, lower lip (closed outlines) and the line between them, left to right."""
    half = 0.245 + 0.018 * t.mouth - (0.045 if t.illustrated else 0.0)
    full = (1.12 if t.woman else 0.85) * (0.8 if t.old else 1.0) * (0.85 if t.illustrated else 1.0)
    corner = MOUTH - 0.03 * t.smile
    line = curve(
        [
            (-half, corner),
            (-0.5 * half, MOUTH + 0.004),
            (0.0, MOUTH + 0.008),
            (0.5 * half, MOUTH + 0.004),
            (half, corner),
        ],
        60,
    )
    top = curve(
        [
            (-half, corner),
            (-0.55 * half, MOUTH - 0.048 * full),
            (-0.2 * half, MOUTH - 0.078 * full),
            (0.0, MOUTH - 0.062 * full),
            (0.2 * half, MOUTH - 0.078 * full),
            (0.55 * half, MOUTH - 0.048 * full),
            (half, corner),
        ],
        60,
    )
    low = curve(
        [
            (-half, corner),
            (-0.6 * half, MOUTH + 0.062 * full),
            (0.0, MOUTH + 0.112 * full),
            (0.6 * half, MOUTH + 0.062 * full),
            (half, corner),
        ],
        60,
    )
    return np.vstack([top, line[::-1]]), np.vstack([line, low[::-1]]), line


def ear(t: Traits) -> Points:
    """Return the closed outline of the right-hand ear, pointed for fantasy folk."""
    edge = 0.765 + 0.02 * t.cheek
    if t.fantasy:
        points = [
            (edge - 0.06, -0.02),
            (edge + 0.13, -0.2),
            (edge + 0.40, -0.50),
            (edge + 0.25, -0.02),
            (edge + 0.1, 0.25),
            (edge - 0.04, 0.36),
        ]
        return np.vstack([curve(points[:3], 30), curve(points[2:], 40)])
    points = [
        (edge - 0.06, -0.08),
        (edge + 0.06, -0.17),
        (edge + 0.125, -0.07),
        (edge + 0.10, 0.12),
        (edge + 0.055, 0.29),
        (edge - 0.01, 0.36),
        (edge - 0.06, 0.28),
    ]
    return curve(points, 70, closed=True)


def neck(t: Traits) -> Points:
    """Return the closed outline of neck and bare chest, for upright coordinates."""
    wide = 0.36 if t.woman else 0.45
    right = curve(
        [
            (wide + 0.04, 0.6),
            (wide, 1.0),
            (wide + 0.01, 1.18),
            (wide + 0.11, 1.37),
            (wide + 0.5, 1.58),
            (1.3, 1.9),
        ],
        50,
    )
    down = np.array([[1.3, 3.4], [-1.3, 3.4]])
    return np.vstack([right, down, mirror(right)[::-1]])


def shoulders(t: Traits) -> Points:
    """Return the closed outline of the clothes, without the cut of the neck."""
    wide = 1.55 if t.woman else 1.8
    right = curve(
        [
            (0.40, 1.28),
            (0.72, 1.46),
            (1.15, 1.61),
            (wide - 0.1, 1.83),
            (wide + 0.12, 2.3),
            (wide + 0.2, 3.4),
        ],
        60,
    )
    return np.vstack([right, mirror(right)[::-1]])


def neckline(t: Traits) -> Points:
    """Return the closed shape cut out of the clothes round the neck."""
    wide, deep = (0.50, 1.66) if t.woman else (0.50, 1.52)
    if t.cloth_style == "crew":
        low = curve(
            [(-wide, 1.28), (-0.36, deep - 0.1), (0.0, deep), (0.36, deep - 0.1), (wide, 1.28)], 60
        )
    else:
        low = curve([(-wide, 1.28), (-0.30, 1.64), (0.0, deep + 0.36)], 30)
        low = np.vstack([low, mirror(low)[::-1]])
    return np.vstack([low, [[wide, 0.9], [-wide, 0.9]]])
