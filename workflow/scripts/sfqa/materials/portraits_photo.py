"""The photographic look: a lit surface of a head, with eyes, lips, brows and the marks of age."""

from __future__ import annotations

import numpy as np

from sfqa.materials import portraits_shape as shape
from sfqa.materials.portraits_canvas import (
    Array,
    Canvas,
    Colour,
    Points,
    bump,
    curve,
    ellipse,
    mirror,
    moved,
    noise,
    smoothstep,
    window,
)
from sfqa.materials.portraits_traits import Traits

_LIPS = shape.MOUTH


def surface(canvas: Canvas, t: Traits) -> Array:
    """Return the height of the face towards the viewer, in half heads, for every pixel.

    A flattened dome over the outline (1 - rho^4)^(1/2), rho being 1 on the outline, plus Gaussian
    hills and hollows for nose, sockets, brows, cheeks, lips and chin.
    """
    edge = shape.outline(t)
    middle = np.float32(0.05)
    angles = np.arctan2(edge[:, 1] - float(middle), edge[:, 0])
    order = np.argsort(angles)
    radii = np.hypot(edge[:, 0], edge[:, 1] - float(middle))
    angle = np.arctan2(canvas.v - middle, canvas.u)
    reach = np.interp(angle, angles[order], radii[order], period=2 * np.pi).astype(np.float32)
    rho = np.hypot(canvas.u, canvas.v - middle) / reach
    z = 0.62 * np.sqrt(np.maximum(0.004, 1 - np.minimum(rho, 1.0) ** 4))
    wide = 0.075 + 0.010 * t.nose + (0.0 if t.woman else 0.008)
    tip = 0.41 + 0.015 * t.nose
    hills = [
        (0.0, 0.14, 0.075, 0.21, 0.085),
        (0.0, tip, wide * 1.05, 0.075, 0.120),
        (-wide * 1.7, tip + 0.045, 0.055, 0.055, 0.070),
        (wide * 1.7, tip + 0.045, 0.055, 0.055, 0.070),
        (0.0, tip + 0.13, 0.05, 0.045, -0.02),
        (0.0, _LIPS + 0.01, 0.25, 0.13, 0.06),
        (0.0, _LIPS - 0.045, 0.15, 0.032, 0.020),
        (0.0, _LIPS + 0.062, 0.13, 0.042, 0.036),
        (0.0, _LIPS, 0.21, 0.016, -0.022),
        (0.0, _LIPS + 0.16, 0.12, 0.04, -0.025),
        (0.0, 1.00, 0.17, 0.10, 0.055 if t.woman else 0.08),
        (0.0, -0.62, 0.45, 0.28, 0.05),
    ]
    for side in (-1, 1):
        hills += [
            (side * 0.31, 0.01, 0.17, 0.105, -0.085),
            (side * 0.335, 0.005, 0.115, 0.075, 0.045),
            (side * 0.29, -0.22, 0.20, 0.06, 0.032 if t.woman else 0.05),
            (side * 0.42, 0.33, 0.17, 0.15, 0.060),
            (side * 0.27, 0.735, 0.05, 0.05, -0.015),
        ]
        if t.old or not t.woman:
            hills.append((side * 0.45, 0.62, 0.12, 0.15, -0.03))
    for u, v, a, b, height in hills:
        z += np.float32(height) * bump(canvas, u, v, a, b)
    return np.asarray(z, np.float32)


def light(canvas: Canvas, z: Array, t: Traits) -> tuple[Array, Array]:
    """Return diffuse light (height, width, 3) and specular light (height, width) on a surface.

    Lambert's law wrapped round the edge, red more than blue, as skin does; a key light from one
    side above, a weaker fill from the other, and Blinn-Phong for the shine.
    """
    zy, zx = np.gradient(z * np.float32(canvas.unit))
    length = np.sqrt(zx * zx + zy * zy + 1)
    nx, ny, nz = -zx / length, -zy / length, 1 / length
    key = np.array([0.50 * t.light, -0.40, 0.77], np.float32)
    fill = np.array([-0.75 * t.light, 0.12, 0.65], np.float32)
    lit = nx * key[0] + ny * key[1] + nz * key[2]
    filled = np.clip(nx * fill[0] + ny * fill[1] + nz * fill[2], 0, 1)
    wrap = np.array([0.42, 0.30, 0.25], np.float32)
    warm = np.array([0.84, 0.81, 0.78], np.float32)
    cool = np.array([0.19, 0.20, 0.22], np.float32)
    ambient = np.array([0.20, 0.185, 0.185], np.float32)
    diffuse = np.clip((lit[..., None] + wrap) / (1 + wrap), 0, 1) * warm
    diffuse = diffuse + filled[..., None] * cool + ambient
    half = key + np.array([0, 0, 1], np.float32)
    half = half / np.linalg.norm(half)
    shine = np.clip(nx * half[0] + ny * half[1] + nz * half[2], 0, 1) ** 22
    return np.asarray(diffuse, np.float32), np.asarray(shine, np.float32)


def head(canvas: Canvas, t: Traits, rng: np.random.Generator) -> None:
    """Paint ears and face with everything in it, but no hair on top."""
    for flip in (False, True):
        _ear(canvas, t, flip)
    z = canvas.blur(surface(canvas, t), 0.012)
    diffuse, shine = light(canvas, z, t)
    cover = canvas.mask(shape.outline(t), 0.006)
    skin = _skin(canvas, t, rng)
    gloss = 0.10 if t.skin[0] > 0.7 else 0.17
    canvas.paint(cover, np.clip(skin * diffuse + gloss * shine[..., None], 0, 1))
    _hollows(canvas, t)
    if t.old:
        _age(canvas, t)
    if t.beard != "none":
        _beard(canvas, t, rng)
    _mouth(canvas, t, diffuse)
    for flip in (False, True):
        _eye(canvas, t, flip, rng)
        _brow(canvas, t, flip, rng)


def _skin(canvas: Canvas, t: Traits, rng: np.random.Generator) -> Array:
    """The colour of the skin before light falls on it: flush, freckles, pores."""
    h, w = canvas.height, canvas.width
    skin = np.broadcast_to(np.asarray(t.skin, np.float32), (h, w, 3)).copy()
    flush = np.zeros((h, w), np.float32)
    for side in (-1, 1):
        flush += 0.9 * bump(canvas, side * 0.43, 0.36, 0.16, 0.13)
    flush += 0.8 * bump(canvas, 0, 0.42, 0.10, 0.08) + 0.4 * bump(canvas, 0, 1.02, 0.13, 0.08)
    flush *= 0.6 if t.woman else 0.45
    skin *= 1 - flush[..., None] * np.array([0.02, 0.16, 0.13], np.float32)
    blotch = (
        noise(rng, h, w, 0.16 * canvas.unit) * 0.012 + noise(rng, h, w, 0.03 * canvas.unit) * 0.009
    )
    pores = noise(rng, h, w, max(1.0, 0.008 * canvas.unit)) * (0.016 if t.old else 0.010)
    skin *= 1 + (blotch + pores)[..., None]
    if t.freckles:
        spots = np.zeros((h, w), np.float32)
        for _ in range(170):
            u, v = rng.normal(0, 0.28), rng.normal(0.26, 0.11)
            size = rng.uniform(0.004, 0.009)
            spots = np.maximum(
                spots, bump(canvas, u, v, size, size) * np.float32(rng.uniform(0.3, 1))
            )
        skin *= 1 - spots[..., None] * np.array([0.14, 0.24, 0.28], np.float32)
    return skin


def _hollows(canvas: Canvas, t: Traits) -> None:
    """Shadows that a single light does not draw: sockets, nostrils, beside and under the nose."""
    red = (0.62, 0.44, 0.40)
    for side in (-1, 1):
        canvas.shade(bump(canvas, side * 0.20, -0.07, 0.06, 0.09), red, 0.42)
        canvas.shade(bump(canvas, side * 0.34, -0.085, 0.15, 0.04), red, 0.50)
        canvas.shade(bump(canvas, side * 0.34, 0.10, 0.13, 0.028), red, 0.20)
        wing = 0.125 + 0.018 * t.nose + (0.0 if t.woman else 0.012)
        tip = 0.41 + 0.015 * t.nose
        canvas.shade(
            bump(canvas, side * (wing + 0.045), tip + 0.045, 0.022, 0.05, -side * 0.5), red, 0.35
        )
        nostril = ellipse(side * 0.068, tip + 0.086, 0.030, 0.013, turn=-side * 0.3)
        canvas.paint(canvas.mask(nostril, 0.009), np.asarray(t.skin) * 0.22, 0.85)
    canvas.shade(bump(canvas, 0, 0.41 + 0.015 * t.nose + 0.118, 0.09, 0.024), red, 0.32)
    canvas.shade(bump(canvas, -0.11 * t.light, 0.2, 0.035, 0.16), red, 0.25)
    canvas.shade(bump(canvas, 0, _LIPS + 0.155, 0.13, 0.028), red, 0.40)


def _age(canvas: Canvas, t: Traits) -> None:
    """Folds beside the mouth, lines on the forehead and beside the eyes, bags below them."""
    dark = np.asarray(t.skin) * np.array([0.55, 0.45, 0.42])
    bright = np.clip(np.asarray(t.skin) * 1.08, 0, 1)
    lines = []
    for side in (-1, 1):
        lines += [
            ([(0.17, 0.46), (0.26, 0.58), (0.31, 0.74)], 0.020, 0.50),
            ([(0.28, 0.78), (0.31, 0.86), (0.30, 0.95)], 0.016, 0.30),
            ([(0.20, 0.10), (0.32, 0.155), (0.46, 0.12)], 0.014, 0.45),
            ([(0.53, -0.02), (0.60, -0.05), (0.65, -0.07)], 0.009, 0.40),
            ([(0.53, 0.02), (0.61, 0.03), (0.66, 0.05)], 0.009, 0.40),
            ([(0.52, 0.05), (0.58, 0.09), (0.62, 0.14)], 0.009, 0.30),
            ([(0.05, -0.14), (0.045, -0.21), (0.06, -0.27)], 0.010, 0.40),
        ]
        for points, wide, strength in lines:
            line = curve([(side * u, v) for u, v in points], 30)
            canvas.paint(canvas.stroke(line, wide, 0.012), dark, strength)
            canvas.paint(
                canvas.stroke(moved(line, side * 0.02, 0.02), wide, 0.014), bright, strength * 0.3
            )
        lines = []
    for k, v in enumerate((-0.42, -0.52, -0.62)):
        line = curve(
            [
                (-0.36 + 0.03 * k, v + 0.015),
                (-0.15, v - 0.01),
                (0.15, v - 0.008),
                (0.36 - 0.03 * k, v + 0.018),
            ],
            40,
        )
        canvas.paint(canvas.stroke(line, 0.009, 0.010), dark, 0.38)
        canvas.paint(canvas.stroke(moved(line, 0, 0.02), 0.012, 0.012), bright, 0.15)


def _beard(canvas: Canvas, t: Traits, rng: np.random.Generator) -> None:
    """Stubble, a moustache or a full beard, as short hairs over a soft shadow."""
    upper = curve([(-0.31, 0.70), (-0.2, 0.585), (0.0, 0.56), (0.2, 0.585), (0.31, 0.70)], 40)
    under = curve([(0.31, 0.70), (0.16, 0.66), (0.0, 0.655), (-0.16, 0.66), (-0.31, 0.70)], 40)
    moustache = canvas.mask(np.vstack([upper, under]), 0.018)
    if t.beard == "moustache":
        area, density = moustache, 500
    else:
        edge = shape.outline(t)
        jaw = np.vstack([edge[(edge[:, 1] > 0.30)] * [1.0, 1.02]])
        right = [(0.74, 0.30), (0.62, 0.50), (0.42, 0.66), (0.30, 0.72), (0.22, 0.62), (0.0, 0.585)]
        inner = curve(right, 50)
        top = np.vstack([inner, mirror(inner)[::-1]])
        order = np.argsort(-np.arctan2(jaw[:, 1] - 0.3, jaw[:, 0]))[::-1]
        ring = np.vstack([jaw[order], top[::-1]])
        area, density = canvas.mask(ring, 0.03), 2600
        gap = canvas.mask(ellipse(0, _LIPS + 0.005, 0.215, 0.085), 0.012)
        area = area * (1 - gap)
    if t.beard == "stubble":
        canvas.shade(area, (0.72, 0.72, 0.75), 0.55)
        grain = smoothstep(0.6, 1.6, noise(rng, canvas.height, canvas.width, 0.006 * canvas.unit))
        canvas.paint(area * grain, t.hair, 0.35)
        return
    canvas.paint(area, np.asarray(t.hair) * 0.55, 0.80)
    starts = np.stack([rng.uniform(-0.75, 0.75, density), rng.uniform(0.3, 1.2, density)], 1)
    if t.beard == "moustache":
        starts = np.stack([rng.uniform(-0.3, 0.3, density), rng.uniform(0.56, 0.72, density)], 1)
    steps = np.linspace(0, 1, 5)
    lines, colours = [], []
    for u, v in starts:
        lean = 0.35 * u + rng.normal(0, 0.04)
        length = rng.uniform(0.05, 0.10)
        lines.append(np.stack([u + lean * length * 2 * steps, v + length * steps], 1))
        colours.append(np.asarray(t.hair) * rng.uniform(0.55, 1.35))
    canvas.strands(lines, np.array(colours), 0.006, area, 0.85)


def _mouth(canvas: Canvas, t: Traits, diffuse: Array) -> None:
    upper, lower, line = shape.lips(t)
    colour = np.asarray(t.lips, np.float32)
    canvas.paint(canvas.mask(upper, 0.010), np.clip(colour * 0.84 * diffuse, 0, 1), 0.85)
    canvas.paint(canvas.mask(lower, 0.010), np.clip(colour * diffuse, 0, 1), 0.85)
    dark = colour * np.float32(0.30)
    canvas.paint(canvas.stroke(line, 0.016, 0.007), dark, 0.80)
    canvas.shade(canvas.stroke(moved(line, 0, 0.012), 0.03, 0.014), 0.72, 0.5)
    for side in (-1, 1):
        canvas.shade(
            bump(canvas, side * abs(line[0, 0]), line[0, 1], 0.022, 0.020), (0.55, 0.4, 0.4), 0.6
        )
    gleam = bump(canvas, 0.03 * t.light, _LIPS + 0.055, 0.075, 0.014)
    canvas.paint(gleam, (1.0, 0.93, 0.92), 0.30 if t.woman else 0.14)


def _side(points: Points, flip: bool) -> Points:
    return mirror(points) if flip else points


def _eye(canvas: Canvas, t: Traits, flip: bool, rng: np.random.Generator) -> None:
    e = shape.eye(t)
    side = -1.0 if flip else 1.0
    opening = canvas.mask(_side(e.opening, flip), 0.006)
    canvas.shade(canvas.stroke(_side(e.upper, flip), 0.05, 0.028), (0.55, 0.42, 0.40), 0.5)
    canvas.paint(opening, (0.90, 0.88, 0.87))
    u, v = side * e.u + 0.004 * t.light, e.v
    canvas.shade(
        opening * bump(canvas, side * (e.u - e.half), 0.02, 0.045, 0.05), (0.85, 0.60, 0.58), 0.7
    )
    canvas.shade(
        opening * bump(canvas, side * (e.u + e.half), 0.0, 0.06, 0.06), (0.75, 0.66, 0.66), 0.6
    )
    _iris(canvas, t, (u, v), e.iris, opening, rng)
    lid = canvas.stroke(moved(_side(e.upper, flip), 0, 0.022), 0.05, 0.016)
    canvas.shade(opening * lid, (0.35, 0.32, 0.34), 0.75)
    glint = ellipse(u + 0.32 * e.iris * t.light, v - 0.36 * e.iris, 0.24 * e.iris, 0.20 * e.iris)
    canvas.paint(canvas.mask(glint, 0.004) * smoothstep(0.2, 0.6, opening), (1, 1, 1), 0.95)
    low = ellipse(u - 0.35 * e.iris * t.light, v + 0.42 * e.iris, 0.16 * e.iris, 0.10 * e.iris)
    canvas.paint(canvas.mask(low, 0.01) * opening, (1, 1, 1), 0.30)
    lashes = np.asarray(t.hair if not t.old else (0.25, 0.22, 0.2)) * 0.25
    canvas.paint(
        canvas.stroke(_side(e.upper, flip), 0.026 if t.woman and not t.old else 0.023, 0.006),
        lashes,
        0.92,
    )
    canvas.paint(canvas.stroke(_side(e.lower, flip)[10:], 0.010, 0.006), lashes, 0.55)
    canvas.paint(
        canvas.stroke(moved(_side(e.lower, flip), 0, 0.018), 0.014, 0.008),
        np.clip(np.asarray(t.skin) * 1.06, 0, 1),
        0.35,
    )
    crease = e.upper * [1.0, 1.0] + np.stack(
        [np.zeros(40), -0.040 - 0.012 * np.sin(np.linspace(0, np.pi, 40))], 1
    )
    canvas.paint(
        canvas.stroke(_side(crease[3:], flip), 0.012, 0.009),
        np.asarray(t.skin) * [0.42, 0.30, 0.28],
        0.60,
    )
    if t.woman and not t.old:
        _lashes(canvas, e, flip, lashes)


def _iris(
    canvas: Canvas,
    t: Traits,
    middle: tuple[float, float],
    radius: float,
    opening: Array,
    rng: np.random.Generator,
) -> None:
    """Iris with fibres and a dark rim, brighter below, and the pupil."""
    part = window(opening)
    phases = rng.uniform(0, 2 * np.pi, 3)
    if part is None:
        return
    x = (canvas.u[part] - np.float32(middle[0])) / np.float32(radius)
    y = (canvas.v[part] - np.float32(middle[1])) / np.float32(radius)
    distance, angle, cover = np.hypot(x, y), np.arctan2(y, x), opening[part]
    rays = np.zeros_like(x)
    for n, phase in zip((17, 29, 41), phases, strict=True):
        rays += np.sin(n * angle + np.float32(phase)) / 3
    colours = np.asarray(t.eyes, np.float32) * (1 + 0.28 * rays[..., None])
    colours = np.clip(1.25 * colours * (0.80 + 0.75 * smoothstep(-0.2, 0.9, y))[..., None], 0, 1)
    disc = cover * (1 - smoothstep(0.93, 1.05, distance))
    pupil = cover * (1 - smoothstep(0.36, 0.46, distance))
    layers: tuple[tuple[Array, Colour | Array], ...] = (
        (disc, colours),
        (0.85 * disc * smoothstep(0.72, 1.0, distance), np.asarray(t.eyes) * 0.22),
        (pupil, (0.02, 0.015, 0.015)),
    )
    for alpha, colour in layers:
        here = canvas.rgb[part]
        here += alpha[..., None] * (np.asarray(colour, np.float32) - here)


def _lashes(canvas: Canvas, e: shape.Eye, flip: bool, colour: Points) -> None:
    lines = []
    for k in range(16, 40, 2):
        start = e.upper[k]
        out = (k / 40 - 0.35) * 0.075
        length = 0.018 + 0.036 * k / 40
        bend = np.linspace(0, 1, 6)[:, None]
        lines.append(
            _side(start + bend * [out, -length * 0.6] + bend**2 * [0.25 * out, -length * 0.4], flip)
        )
    canvas.strands(lines, np.tile(np.asarray(colour, float), (len(lines), 1)), 0.006, strength=0.8)


def _brow(canvas: Canvas, t: Traits, flip: bool, rng: np.random.Generator) -> None:
    line = shape.brow(t)
    thick = (0.040 if t.woman else 0.062) * (1 + 0.15 * t.brow)
    base = np.asarray(t.hair) * (0.62 if not t.old else 0.45)
    along = np.linspace(0, 1, len(line))
    width = thick * (0.55 + 0.65 * np.sin(np.pi * (0.12 + 0.75 * along))) * (1 - 0.55 * along**3)
    body = np.vstack(
        [
            line + np.stack([0 * width, -width / 2], 1),
            (line + np.stack([0 * width, width / 2], 1))[::-1],
        ]
    )
    canvas.paint(canvas.mask(_side(body, flip), 0.014), base, 0.62)
    hairs, colours = [], []
    steps = np.linspace(0, 1, 5)
    for _ in range(150):
        k = int(rng.integers(0, len(line) - 1))
        u, v = line[k] + [0, rng.uniform(-0.5, 0.5) * width[k]]
        rise = np.interp(along[k], [0, 0.3, 1], [-0.9, -0.5, 0.25])
        length = rng.uniform(0.035, 0.06)
        hairs.append(
            _side(
                np.stack([u + length * steps * (0.6 + along[k] / 2), v + length * rise * steps], 1),
                flip,
            )
        )
        colours.append(base * rng.uniform(0.6, 1.2))
    canvas.strands(hairs, np.array(colours), 0.005, strength=0.75)


def _ear(canvas: Canvas, t: Traits, flip: bool) -> None:
    edge = mirror(shape.ear(t)) if flip else shape.ear(t)
    cover = canvas.mask(edge, 0.006)
    side = -1 if flip else 1
    bright = 0.98 if side == t.light else 0.72
    canvas.paint(cover, np.asarray(t.skin) * [bright, bright * 0.92, bright * 0.90])
    inner = edge * [0.98, 0.9] + [0.005 * side, 0.0]
    canvas.shade(cover * canvas.blur(1 - canvas.mask(edge, 0.0), 0.02), (0.7, 0.55, 0.5), 0.6)
    middle = inner.mean(axis=0)
    canvas.shade(
        cover * bump(canvas, middle[0], middle[1], 0.03, 0.11, side * 0.2), (0.45, 0.30, 0.27), 0.75
    )
