"""The illustrated look: flat colours in two tones, ink lines, large eyes."""

from __future__ import annotations

import numpy as np

from sfqa.materials import portraits_hair as hair
from sfqa.materials import portraits_shape as shape
from sfqa.materials.portraits_canvas import (
    Array,
    Canvas,
    Points,
    bump,
    curve,
    ellipse,
    mirror,
    moved,
    smoothstep,
)
from sfqa.materials.portraits_traits import RGB, Traits, mix

_INK: RGB = (0.16, 0.10, 0.12)
_LINE = 0.020


def paint(canvas: Canvas, t: Traits) -> None:
    """Paint a whole illustrated portrait on the canvas."""
    style = hair.style(t)
    _backdrop(canvas, t)
    for edge in style.clouds_behind:
        _cloud(canvas, edge, t, 0.66)
    for sheet in style.behind:
        _sheet(canvas, sheet, t, 0.66)
    _body(canvas, t)
    _head(canvas, t)
    for flip in (False, True):
        _eye(canvas, t, flip)
        _brow(canvas, t, flip)
    _nose(canvas, t)
    _beard(canvas, t)
    _mouth(canvas, t)
    for sheet in style.over:
        _sheet(canvas, sheet, t, 1.0)
    for edge in style.clouds_over:
        _cloud(canvas, edge, t, 1.0)
    if t.fantasy:
        _jewel(canvas, t)
    if t.glasses != "none":
        _glasses(canvas, t)


def _ink(t: Traits) -> RGB:
    return mix(_INK, t.hair, 0.25)


def _dark(colour: RGB) -> RGB:
    """The shadow tone of a flat colour: darker, and a little towards violet."""
    return (colour[0] * 0.78, colour[1] * 0.68, colour[2] * 0.76)


def _line(
    canvas: Canvas, points: Points, colour: RGB, wide: float = _LINE, upright: bool = False
) -> None:
    canvas.paint(canvas.stroke(points, wide, upright=upright), colour)


def _closed(points: Points) -> Points:
    return np.vstack([points, points[:1]])


def _backdrop(canvas: Canvas, t: Traits) -> None:
    """Two flat tones with a disc behind the head, and thin rays on it."""
    top, low = t.backdrop
    share = smoothstep(-1.8, 2.4, canvas.bv)[..., None]
    canvas.rgb[:] = np.asarray(mix(top, (1, 1, 1), 0.45)) * (1 - share) + np.asarray(top) * share
    disc = canvas.mask(ellipse(0.0, -0.05, 1.62, 1.62, 200), upright=True)
    canvas.paint(disc, mix(low, top, 0.35))
    rays = np.sin(14 * np.arctan2(canvas.bv + 0.05, canvas.bu))
    canvas.paint(disc * smoothstep(-0.06, 0.06, rays.astype(np.float32)), mix(low, top, 0.5), 0.55)
    ring = np.vstack(
        [ellipse(0.0, -0.05, 1.72, 1.72, 200), ellipse(0.0, -0.05, 1.72, 1.72, 200)[:1]]
    )
    _line(canvas, ring, mix(low, (1, 1, 1), 0.35), 0.03, upright=True)


def _lit(canvas: Canvas, t: Traits, offset: float) -> Array:
    """Which side of the head lies in shadow: 1 beyond a soft-edged curved line."""
    along = -canvas.u * np.float32(t.light) - 0.22 * canvas.v * canvas.v
    return smoothstep(offset - 0.012, offset + 0.012, np.asarray(along, np.float32))


def _body(canvas: Canvas, t: Traits) -> None:
    neck = canvas.mask(shape.neck(t), upright=True)
    canvas.paint(neck, t.skin)
    chin = shape.outline(t) * [0.92, 1.0] + [-0.05 * t.light, 0.17]
    canvas.paint(neck * canvas.mask(chin), _dark(t.skin))
    _line(canvas, shape.neck(t)[:50], _ink(t), upright=True)
    _line(canvas, mirror(shape.neck(t)[:50]), _ink(t), upright=True)
    for s in (-1, 1):
        bone = curve([(0.12 * s, 1.60), (0.35 * s, 1.55), (0.6 * s, 1.56)], 30)
        _line(canvas, bone, _dark(t.skin), 0.016, upright=True)
    cut = canvas.mask(shape.neckline(t), upright=True)
    cloth = canvas.mask(shape.shoulders(t), upright=True)
    cover = cloth * (1 - cut)
    canvas.paint(cover, t.cloth)
    side = smoothstep(
        0.55, 0.57, np.asarray(-canvas.bu * t.light + 0.25 * (canvas.bv - 1.9), np.float32)
    )
    canvas.paint(cover * side, _dark(t.cloth))
    rim = shape.neckline(t)[:60]
    canvas.paint(
        canvas.stroke(moved(rim, 0, 0.04), 0.08, upright=True) * cloth,
        mix(t.cloth, (1, 1, 1), 0.30),
    )
    for line in (rim, moved(rim, 0, 0.085)):
        canvas.paint(canvas.stroke(line, _LINE * 0.8, upright=True) * cloth, _ink(t))
    _line(canvas, shape.shoulders(t)[:60], _ink(t), upright=True)
    _line(canvas, mirror(shape.shoulders(t)[:60]), _ink(t), upright=True)
    for s in (-1, 1):
        arm = curve([(s * 0.98, 1.95), (s * 0.94, 2.15), (s * 1.0, 2.5)], 30)
        _line(canvas, arm, _ink(t), 0.014, upright=True)


def _head(canvas: Canvas, t: Traits) -> None:
    for flip in (False, True):
        edge = mirror(shape.ear(t)) if flip else shape.ear(t)
        side = -1 if flip else 1
        canvas.paint(canvas.mask(edge), t.skin if side == t.light else _dark(t.skin))
        _line(canvas, _closed(edge), _ink(t))
        middle = edge.mean(axis=0)
        inner = (edge - middle) * 0.5 + middle
        canvas.paint(canvas.mask(inner), _dark(t.skin))
    edge = shape.outline(t)
    face = canvas.mask(edge)
    canvas.paint(face, t.skin)
    canvas.paint(face * _lit(canvas, t, 0.50), mix(t.skin, _dark(t.skin), 0.75))
    hairline = canvas.blur(np.roll(hair.cover(canvas, t), round(0.07 * canvas.unit), axis=0), 0.01)
    canvas.paint(face * smoothstep(0.4, 0.6, hairline), mix(t.skin, _dark(t.skin), 0.75))
    _line(canvas, _closed(edge), _ink(t), _LINE * 1.1)
    flush = mix(t.skin, (0.95, 0.30, 0.30), 0.45)
    for s in (-1, 1):
        canvas.paint(bump(canvas, s * 0.45, 0.36, 0.13, 0.075), flush, 0.55 if t.woman else 0.3)


def _eye(canvas: Canvas, t: Traits, flip: bool) -> None:
    e = shape.eye(t)
    turn = mirror if flip else np.asarray
    side = -1 if flip else 1
    socket = bump(canvas, side * e.u, -0.10, 0.19, 0.07)
    canvas.paint(socket, _dark(t.skin), 0.55)
    opening = canvas.mask(turn(e.opening))
    canvas.paint(opening, (0.98, 0.97, 0.96))
    u, v, r = side * e.u, e.v, e.iris
    iris = opening * canvas.mask(ellipse(u, v, r, r * 1.14))
    canvas.paint(iris, np.asarray(t.eyes) * 0.50)
    lower = opening * canvas.mask(ellipse(u, v + 0.25 * r, 0.80 * r, 0.80 * r))
    canvas.paint(lower * iris, np.clip(np.asarray(t.eyes) * 1.35, 0, 1))
    canvas.paint(opening * canvas.mask(ellipse(u, v, 0.46 * r, 0.52 * r)), (0.05, 0.03, 0.04))
    canvas.shade(
        opening * canvas.stroke(moved(turn(e.upper), 0, 0.03), 0.055), (0.70, 0.66, 0.74), 0.9
    )
    canvas.paint(
        opening * canvas.mask(ellipse(u + 0.36 * r * t.light, v - 0.40 * r, 0.27 * r, 0.27 * r)),
        (1, 1, 1),
    )
    canvas.paint(
        opening * canvas.mask(ellipse(u - 0.36 * r * t.light, v + 0.45 * r, 0.13 * r, 0.13 * r)),
        (1, 1, 1),
        0.85,
    )
    ink = _ink(t)
    _line(canvas, turn(e.upper), ink, 0.042 if t.woman else 0.032)
    _line(canvas, turn(e.lower[18:]), ink, 0.014)
    crease = moved(e.upper[6:-2], 0.0, -0.055)
    _line(canvas, turn(crease), _dark(_dark(t.skin)), 0.012)
    if t.woman:
        end = e.upper[-1]
        for du, dv in ((0.075, -0.055), (0.06, -0.085)):
            flick = np.array([(0.0, 0.0), (du * 0.6 + 0.02, dv * 0.4), (du + 0.02, dv)])
            start = end - np.array([0.02, 0.0])
            _line(canvas, turn(start + flick), ink, 0.018)


def _brow(canvas: Canvas, t: Traits, flip: bool) -> None:
    line = shape.brow(t)
    turn = mirror if flip else np.asarray
    width = (0.045 if t.woman else 0.075) * np.sin(np.linspace(0.55, np.pi - 0.12, len(line)))[
        :, None
    ]
    body = np.vstack([line - width * [0, 0.5], (line + width * [0, 0.5])[::-1]])
    canvas.paint(canvas.mask(turn(body)), mix(t.hair, _INK, 0.55))


def _nose(canvas: Canvas, t: Traits) -> None:
    s, tip = -t.light, 0.41 + 0.015 * t.nose
    side = np.vstack(
        [
            curve(
                [
                    (0.05 * s, 0.02),
                    (0.06 * s, 0.2),
                    (0.12 * s, tip + 0.03),
                    (0.09 * s, tip + 0.085),
                ],
                40,
            ),
            [[0.0, tip + 0.05]],
        ]
    )
    canvas.paint(canvas.mask(side, 0.004), mix(t.skin, _dark(t.skin), 0.7))
    gleam = canvas.mask(ellipse(-0.012 * s, tip - 0.01, 0.022, 0.03), 0.004)
    canvas.paint(gleam, mix(t.skin, (1, 1, 1), 0.6), 0.9)
    under = curve(
        [
            (-0.10, tip + 0.06),
            (-0.05, tip + 0.095),
            (0.0, tip + 0.085),
            (0.05, tip + 0.095),
            (0.10, tip + 0.06),
        ],
        40,
    )
    _line(canvas, under, mix(_ink(t), t.skin, 0.25), 0.016)


def _mouth(canvas: Canvas, t: Traits) -> None:
    upper, lower, line = shape.lips(t)
    strength = 1.0 if t.woman else 0.55
    canvas.paint(canvas.mask(upper), mix(t.lips, _INK, 0.18), strength)
    canvas.paint(canvas.mask(lower), t.lips, strength)
    gleam = canvas.mask(ellipse(0.03 * t.light, shape.MOUTH + 0.045, 0.06, 0.014))
    canvas.paint(gleam, mix(t.lips, (1, 1, 1), 0.6), 0.8 * strength)
    _line(canvas, line, _ink(t), 0.018)
    for s in (-1, 1):
        tick = curve(
            [(s * abs(line[0, 0]), line[0, 1]), (s * (abs(line[0, 0]) + 0.02), line[0, 1] - 0.015)],
            6,
        )
        _line(canvas, tick, _ink(t), 0.018)
    chin = curve([(-0.07, 0.905), (0.0, 0.92), (0.07, 0.905)], 20)
    _line(canvas, chin, _dark(t.skin), 0.014)


def _beard(canvas: Canvas, t: Traits) -> None:
    if t.beard == "none":
        return
    tone = mix(t.hair, t.skin, 0.15)
    if t.beard in ("full", "stubble"):
        edge = shape.outline(t)
        below = smoothstep(
            0.0, 0.02, canvas.v - 0.60 + 0.75 * (np.abs(canvas.u) - 0.25).clip(-0.3, 0.6)
        )
        area = canvas.mask(edge * [1.0, 1.015]) * (
            below - canvas.mask(ellipse(0, shape.MOUTH, 0.24, 0.12)) * below
        )
        canvas.paint(area, tone, 1.0 if t.beard == "full" else 0.30)
        if t.beard == "full":
            _line(canvas, edge[(edge[:, 1] > 0.1)], _ink(t), _LINE * 1.1)
    if t.beard in ("full", "moustache"):
        top = curve([(-0.27, 0.67), (-0.16, 0.575), (0.0, 0.55), (0.16, 0.575), (0.27, 0.67)], 40)
        low = curve([(0.27, 0.67), (0.12, 0.635), (0.0, 0.635), (-0.12, 0.635), (-0.27, 0.67)], 40)
        shape_ = np.vstack([top, low])
        canvas.paint(canvas.mask(shape_), tone)
        _line(canvas, _closed(shape_), _ink(t), 0.010)


def _sheet(canvas: Canvas, sheet: hair.Sheet, t: Traits, dark: float) -> None:
    """A sheet of hair: a flat shape with an ink edge, some strands, a band of shine."""
    full = hair.Sheet(sheet.guides, sheet.curl, sheet.dark, 0.0)
    base = np.asarray(t.hair) * dark
    edge = _wavy(full) if sheet.fray > 0.15 else full.edge
    cover = canvas.mask(edge)
    canvas.paint(cover, np.clip(base, 0, 1))
    canvas.paint(cover * _lit(canvas, t, 0.45), base * [0.74, 0.68, 0.76])
    if dark == 1.0:
        band = np.abs(canvas.v + 0.80 - 0.10 * np.cos(6 * canvas.u) - 0.2 * canvas.u * canvas.u)
        shine = (1 - smoothstep(0.03, 0.05, np.asarray(band, np.float32))) * cover
        shine *= smoothstep(-0.5, -0.45, np.asarray(canvas.u * t.light, np.float32))
        canvas.paint(shine, np.clip(base * 1.25 + 0.12, 0, 1), 0.75)
    guides = np.array(sheet.guides)
    for place in np.linspace(0, len(guides) - 1, 9)[1:-1]:
        k = min(int(place), len(guides) - 2)
        line = guides[k] * (1 - place + k) + guides[k + 1] * (place - k)
        canvas.paint(canvas.stroke(line[4:-3], 0.010), base * 0.55, 0.8)
    _line(canvas, _closed(edge), _ink(t))


def _wavy(sheet: hair.Sheet) -> Points:
    """The outline of a sheet whose tips end in points, as inked hair does."""
    guides = np.array(sheet.guides)
    tips: list[Points] = []
    for place in np.linspace(0, len(guides) - 1, 2 * len(guides) + 1):
        k = min(int(place), len(guides) - 2)
        line = guides[k] * (1 - place + k) + guides[k + 1] * (place - k)
        tips.append(line[-1] if len(tips) % 2 else line[-4])
    starts = guides[::-1, 0][1:]
    return np.vstack([guides[0, :-3], tips[1:-1], guides[-1, :-3][::-1], starts])


def _cloud(canvas: Canvas, edge: Points, t: Traits, dark: float) -> None:
    """A shape of curls: a scalloped flat shape with ink edge and a few curls inside."""
    steps = np.hypot(*np.diff(_closed(edge), axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    count = max(12, round(along[-1] / 0.22))
    at = np.linspace(0, along[-1], count * 12 + 1)[:-1]
    ring = np.stack([np.interp(at, along, _closed(edge)[:, k]) for k in (0, 1)], 1)
    middle = np.array([0.0, -0.15])
    out = (ring - middle) / np.linalg.norm(ring - middle, axis=1, keepdims=True)
    ring = ring + out * (0.055 * np.abs(np.sin(np.pi * count * at / along[-1])))[:, None]
    cover = canvas.mask(ring)
    base = np.asarray(t.hair) * dark
    canvas.paint(cover, base)
    canvas.paint(cover * _lit(canvas, t, 0.45), base * [0.74, 0.68, 0.76])
    low, high = ring.min(axis=0), ring.max(axis=0)
    curl = np.linspace(0.4, 4.2, 14)
    for i in range(15):
        for j in range(15):
            u = low[0] + (high[0] - low[0]) * (i + 0.5 * (j % 2) + 0.3) / 15
            v = low[1] + (high[1] - low[1]) * (j + 0.5) / 15
            arc = np.stack([u + 0.05 * np.cos(curl + i), v + 0.05 * np.sin(curl + i)], 1)
            x, y = np.round(canvas.pixels(np.array([[u, v]]))[0]).astype(int)
            inside = 0 <= x < canvas.width and 0 <= y < canvas.height and cover[y, x] > 0.99
            if inside and (i * 7 + j * 3) % 3:
                tone = base * 1.5 + 0.06 if (i + j) % 4 == 0 else base * 0.55
                canvas.paint(canvas.stroke(arc, 0.013) * cover, np.clip(tone, 0, 1), 0.85)
    _line(canvas, _closed(ring), _ink(t))


def _jewel(canvas: Canvas, t: Traits) -> None:
    """A thin circlet with a stone on the forehead."""
    band = curve([(-0.72, -0.42), (-0.35, -0.53), (0.0, -0.50), (0.35, -0.53), (0.72, -0.42)], 60)
    _line(canvas, band, _ink(t), 0.034)
    _line(canvas, band, (0.88, 0.76, 0.42), 0.020)
    stone = np.array([(0, -0.58), (0.06, -0.49), (0, -0.38), (-0.06, -0.49)])
    canvas.paint(canvas.mask(stone), np.clip(np.asarray(t.eyes) * 1.2, 0, 1))
    canvas.paint(canvas.mask(stone * [0.45, 0.45] + [-0.012, -0.28]), (1, 1, 1), 0.6)
    _line(canvas, _closed(stone), _ink(t), 0.016)


def _glasses(canvas: Canvas, t: Traits) -> None:
    e = shape.eye(t)
    for s in (-1, 1):
        rim = ellipse(s * e.u, 0.02, 0.27, 0.25 if t.glasses == "round" else 0.21)
        canvas.paint(canvas.mask(rim), (1, 1, 1), 0.10)
        _line(canvas, _closed(rim), _ink(t), 0.028)
        _line(canvas, np.array([(s * (e.u + 0.26), -0.03), (s * 0.78, -0.07)]), _ink(t), 0.024)
    _line(canvas, curve([(-0.08, 0.0), (0.0, -0.03), (0.08, 0.0)], 12), _ink(t), 0.026)
