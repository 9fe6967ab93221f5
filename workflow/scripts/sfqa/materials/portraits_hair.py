"""Hair as sheets: each lies between guide lines and is filled with strands that follow them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sfqa.materials.portraits_canvas import Array, Canvas, Points, bump, curve, ellipse, mirror
from sfqa.materials.portraits_shape import neck, outline, shoulders
from sfqa.materials.portraits_traits import Traits

_N = 36


@dataclass(frozen=True)
class Sheet:
    """Guide lines from one edge of a sheet to the other, all of the same number of points."""

    guides: tuple[Points, ...]
    curl: float = 0.0
    dark: float = 1.0

    fray: float = 0.12

    @property
    def edge(self) -> Points:
        """The closed outline of the sheet, without the part near the tips that frays."""
        stop = round(_N * (1 - self.fray))
        starts = np.array([g[0] for g in self.guides])
        ends = np.array([g[stop - 1] for g in self.guides])
        first, last = self.guides[0][:stop], self.guides[-1][:stop]
        return np.vstack([first, ends[1:], last[::-1], starts[::-1][1:]])


@dataclass(frozen=True)
class Style:
    """The sheets behind the head and over it; ``clouds`` are shapes of small curls instead."""

    behind: tuple[Sheet, ...] = ()
    over: tuple[Sheet, ...] = ()
    clouds_behind: tuple[Points, ...] = ()
    clouds_over: tuple[Points, ...] = ()


def _sheet(
    *guides: list[tuple[float, float]], curl: float = 0.0, dark: float = 1.0, fray: float = 0.12
) -> Sheet:
    return Sheet(tuple(curve(g, _N) for g in guides), curl, dark, fray)


def _both(sheet: Sheet) -> tuple[Sheet, Sheet]:
    return sheet, Sheet(tuple(mirror(g) for g in sheet.guides), sheet.curl, sheet.dark, sheet.fray)


def style(t: Traits) -> Style:
    """Return the sheets of the traits' hair style."""
    return _STYLES[t.hair_style](t)


def _falling(end: float, flare: float, curl: float, part: float) -> Style:
    """Hair parted on top that falls at both sides down to ``end``."""
    tip = 0.84 + flare
    behind = _sheet(
        [(-0.2, -1.15), (-0.85, -0.8), (-0.98, 0.0), (-0.92 - flare, 0.7), (-tip, end)],
        [(0.0, -1.1), (-0.3, -0.6), (-0.4, 0.2), (-0.45, 0.8), (-0.45, end + 0.08)],
        [(0.0, -1.1), (0.3, -0.6), (0.4, 0.2), (0.45, 0.8), (0.45, end + 0.08)],
        [(0.2, -1.15), (0.85, -0.8), (0.98, 0.0), (0.92 + flare, 0.7), (tip, end)],
        curl=curl,
        dark=0.55,
    )
    over = []
    for side in (-1, 1):
        p = part * side
        low = 0.55 * end
        guides = [
            [
                (p, -0.76),
                (p + 0.28, -0.64),
                (0.60, -0.30),
                (0.70, 0.12),
                (0.72 + flare / 2, low),
                (0.55 + flare / 2, end),
            ],
            [
                (p, -0.90),
                (p + 0.30, -0.82),
                (0.72, -0.48),
                (0.80, 0.02),
                (0.82 + flare, low),
                (0.68 + flare, end + 0.03),
            ],
            [
                (p, -1.06),
                (p + 0.30, -1.03),
                (0.79, -0.68),
                (0.89, -0.10),
                (0.90 + flare, low),
                (0.78 + flare, end),
            ],
            [
                (p - 0.03, -1.19),
                (p + 0.34, -1.17),
                (0.85, -0.78),
                (0.95, -0.10),
                (0.98 + flare, low),
                (tip + 0.03, end - 0.08),
            ],
        ]
        over.append(_sheet(*[[(side * u, v) for u, v in g] for g in guides], curl=curl, fray=0.2))
    return Style(behind=(behind,), over=tuple(over))


def _long(t: Traits) -> Style:
    return _falling(1.95, 0.04, 0.010, 0.02 + 0.12 * t.light)


def _waves(t: Traits) -> Style:
    return _falling(1.75, 0.14, 0.035, 0.16 * t.light)


def _bob(t: Traits) -> Style:
    return _falling(0.92, 0.05, 0.006, 0.10 * t.light)


def _fringe(t: Traits) -> Style:
    base = _falling(1.15, 0.02, 0.006, 0.0)
    fringe = _sheet(
        [(-0.10, -1.14), (-0.45, -0.95), (-0.66, -0.55), (-0.71, -0.18)],
        [(-0.05, -1.14), (-0.25, -0.90), (-0.36, -0.55), (-0.38, -0.25)],
        [(0.0, -1.14), (0.0, -0.90), (0.0, -0.6), (0.0, -0.28)],
        [(0.05, -1.14), (0.25, -0.90), (0.36, -0.55), (0.38, -0.25)],
        [(0.10, -1.14), (0.45, -0.95), (0.66, -0.55), (0.71, -0.18)],
        curl=0.004,
        fray=0.16,
    )
    return Style(base.behind, (*base.over, fringe))


def _swept(top: float, side: float, line: float) -> list[list[tuple[float, float]]]:
    """Guides from the hairline up and back over the skull, from ear to ear."""
    guides = []
    for a in np.linspace(-1, 1, 9):
        angle = a * 1.75
        root_u, root_v = 0.74 * np.sin(angle), -0.04 + line * np.cos(angle)
        tip_u, tip_v = side * np.sin(angle) * 0.97, -0.14 + top * np.cos(angle)
        lean = 0.05 * np.sin(angle)
        guides.append(
            [(root_u, root_v), ((root_u + tip_u) / 2 + lean, (root_v + tip_v) / 2), (tip_u, tip_v)]
        )
    return guides


def _bun(t: Traits) -> Style:
    sheet = _sheet(*_swept(-1.06, 0.89, -0.66), curl=0.002)
    knot = _sheet(
        [(-0.36, -1.10), (-0.40, -1.32), (-0.15, -1.52), (0.0, -1.55)],
        [(-0.15, -1.05), (-0.18, -1.28), (0.0, -1.42), (0.2, -1.48)],
        [(0.15, -1.05), (0.20, -1.22), (0.28, -1.36), (0.32, -1.40)],
        [(0.36, -1.08), (0.40, -1.18), (0.41, -1.28), (0.39, -1.34)],
        dark=0.9,
    )
    return Style(behind=(knot,), over=(sheet,))


def _side(t: Traits) -> Style:
    s = t.light
    main = [
        [(-0.40, -0.80), (-0.1, -0.80), (0.35, -0.72), (0.66, -0.50), (0.75, -0.22), (0.77, 0.02)],
        [(-0.42, -0.92), (-0.1, -0.96), (0.40, -0.86), (0.74, -0.58), (0.82, -0.25), (0.80, 0.02)],
        [(-0.42, -1.02), (-0.1, -1.12), (0.42, -1.00), (0.78, -0.68), (0.86, -0.30), (0.82, 0.0)],
        [(-0.42, -1.10), (-0.1, -1.25), (0.45, -1.15), (0.84, -0.76), (0.89, -0.36), (0.84, -0.04)],
    ]
    other = [
        [(-0.40, -0.80), (-0.56, -0.66), (-0.68, -0.42), (-0.75, -0.15), (-0.77, 0.04)],
        [(-0.41, -0.95), (-0.62, -0.82), (-0.77, -0.52), (-0.82, -0.20), (-0.80, 0.02)],
        [(-0.42, -1.10), (-0.68, -0.95), (-0.84, -0.62), (-0.87, -0.30), (-0.83, -0.02)],
    ]
    return Style(
        over=tuple(_sheet(*[[(s * u, v) for u, v in g] for g in sheet]) for sheet in (other, main))
    )


def _quiff(t: Traits) -> Style:
    sides = _both(
        _sheet(
            [(0.52, -0.72), (0.64, -0.52), (0.72, -0.28), (0.76, 0.02)],
            [(0.60, -0.90), (0.76, -0.60), (0.81, -0.30), (0.79, 0.02)],
            [(0.62, -1.02), (0.82, -0.70), (0.86, -0.36), (0.81, -0.02)],
            dark=0.8,
        )
    )
    s = t.light
    top = [
        [(-0.62, -0.66), (-0.72, -0.86), (-0.58, -1.10), (-0.36, -1.20)],
        [(-0.30, -0.76), (-0.42, -1.00), (-0.28, -1.26), (-0.05, -1.34)],
        [(0.05, -0.78), (-0.05, -1.04), (0.05, -1.32), (0.25, -1.36)],
        [(0.40, -0.74), (0.30, -1.00), (0.36, -1.22), (0.52, -1.26)],
        [(0.62, -0.64), (0.68, -0.84), (0.70, -0.96), (0.74, -1.00)],
    ]
    return Style(over=(*sides, _sheet(*[[(s * u, v) for u, v in g] for g in top], curl=0.004)))


def _crop(t: Traits) -> Style:
    return Style(over=(_sheet(*_swept(-1.08, 0.86, -0.66), curl=0.003),))


def _curls(t: Traits) -> Style:
    cap = np.vstack(
        [
            curve(
                [
                    (-0.80, 0.05),
                    (-0.93, -0.45),
                    (-0.75, -1.05),
                    (0.0, -1.36),
                    (0.75, -1.05),
                    (0.93, -0.45),
                    (0.80, 0.05),
                ],
                80,
            ),
            curve(
                [
                    (0.74, -0.15),
                    (0.66, -0.48),
                    (0.42, -0.66),
                    (0.0, -0.70),
                    (-0.42, -0.66),
                    (-0.66, -0.48),
                    (-0.74, -0.15),
                ],
                60,
            ),
        ]
    )
    return Style(clouds_over=(cap,))


def _curly(t: Traits) -> Style:
    cap = np.vstack(
        [
            curve(
                [
                    (-0.74, 0.25),
                    (-1.12, -0.2),
                    (-0.95, -1.05),
                    (0.0, -1.48),
                    (0.95, -1.05),
                    (1.12, -0.2),
                    (0.74, 0.25),
                ],
                80,
            ),
            curve(
                [
                    (0.72, -0.05),
                    (0.62, -0.44),
                    (0.40, -0.62),
                    (0.0, -0.68),
                    (-0.40, -0.62),
                    (-0.62, -0.44),
                    (-0.72, -0.05),
                ],
                60,
            ),
        ]
    )
    return Style(clouds_behind=(ellipse(0.0, -0.10, 1.15, 1.12),), clouds_over=(cap,))


def _bald(t: Traits) -> Style:
    sides = _sheet(
        [(0.70, -0.40), (0.74, -0.25), (0.76, -0.05), (0.77, 0.12)],
        [(0.77, -0.48), (0.83, -0.28), (0.84, -0.05), (0.80, 0.12)],
        dark=0.9,
    )
    return Style(over=_both(sides))


_STYLES = {
    "long": _long,
    "waves": _waves,
    "bob": _bob,
    "fringe": _fringe,
    "bun": _bun,
    "side": _side,
    "quiff": _quiff,
    "crop": _crop,
    "curls": _curls,
    "curly": _curly,
    "bald": _bald,
}


def strands(sheet: Sheet, count: int, rng: np.random.Generator) -> list[Points]:
    """Return ``count`` lines between the guides of a sheet, each a little off its way."""
    guides = np.array(sheet.guides)
    along = np.linspace(0, 1, guides.shape[1])
    lines = []
    for place in np.sort(rng.uniform(0, 1, count))[rng.permutation(count)]:
        at = place * (len(guides) - 1)
        k = min(int(at), len(guides) - 2)
        line = guides[k] * (1 - at + k) + guides[k + 1] * (at - k)
        drift = rng.normal(0, 0.014) * along + rng.normal(0, 0.006)
        wave = sheet.curl * np.sin(2 * np.pi * (rng.uniform(2.2, 2.8) * along + 0.9 * place))
        wave = wave * (0.3 + along) + rng.normal(0, 0.004) * np.sin(9 * along + rng.uniform(0, 6))
        tip = max(6, round(_N * (1 - sheet.fray * rng.uniform(0, 1.6) ** 2 / 1.3)))
        lines.append((line + np.stack([drift + wave, 0.3 * drift], 1))[:tip])
    return lines


def paint_sheet(
    canvas: Canvas, sheet: Sheet, t: Traits, rng: np.random.Generator, behind: bool = False
) -> None:
    """Paint a sheet in the photographic look: body, strands from dark to light, shine, shadow."""
    base = np.asarray(t.hair) * sheet.dark
    cover = canvas.mask(sheet.edge, 0.020)
    if not behind:
        shadow = canvas.blur(np.roll(cover, round(0.05 * canvas.unit), axis=0), 0.05)
        canvas.shade(shadow * (1 - cover) * _person(canvas, t), (0.62, 0.50, 0.48), 0.6)
    canvas.paint(np.clip(cover * 1.2, 0, 1), base * 0.50, 0.97)
    area = float(cover.sum()) / canvas.unit**2
    for share, low, high, wide in (
        (200, 0.45, 0.85, 0.014),
        (380, 0.6, 1.2, 0.008),
        (320, 0.8, 1.6, 0.004),
    ):
        lines = strands(sheet, max(60, int(share * area)), rng)
        tone = rng.uniform(low, high, (len(lines), 1))
        canvas.strands(lines, base * tone + 0.02 * (tone - 0.6), wide, strength=0.85)
    gleam = bump(canvas, 0.35 * t.light, -0.86, 0.50, 0.10, 0.35 * t.light) + 0.6 * bump(
        canvas, 0.80 * t.light, 0.05, 0.10, 0.30
    )
    white = np.clip(base * 1.5 + 0.14, 0, 1)
    canvas.paint(cover * gleam, white, 0.22)
    canvas.shade(cover * bump(canvas, -0.85 * t.light, -0.2, 0.28, 0.8), 0.6, 0.55)


def _person(canvas: Canvas, t: Traits) -> Array:
    """Where skin and clothes are, for hair throws its shadow on nothing else."""
    body = np.maximum(canvas.mask(neck(t), upright=True), canvas.mask(shoulders(t), upright=True))
    return np.maximum(body, canvas.mask(outline(t)))


def paint_cloud(
    canvas: Canvas, edge: Points, t: Traits, rng: np.random.Generator, dark: float
) -> None:
    """Paint a shape full of small curls in the photographic look."""
    base = np.asarray(t.hair) * dark
    cover = canvas.mask(edge, 0.03)
    shadow = canvas.blur(np.roll(cover, round(0.04 * canvas.unit), axis=0), 0.06)
    canvas.shade(shadow * (1 - cover) * _person(canvas, t), (0.6, 0.5, 0.48), 0.6)
    canvas.paint(cover, base * 0.45, 0.98)
    low, high = edge.min(axis=0), edge.max(axis=0)
    inside = canvas.mask(edge, 0.0)
    steps = np.linspace(0, 1, 14)
    for low_tone, high_tone, count in ((0.4, 0.9, 1500), (0.7, 1.4, 1500), (1.0, 1.9, 500)):
        lines, colours = [], []
        for _ in range(count):
            u, v = rng.uniform(low, high)
            x, y = canvas.pixels(np.array([[u, v]]))[0]
            if (
                not (0 <= x < canvas.width and 0 <= y < canvas.height)
                or inside[int(y), int(x)] < 0.5
            ):
                continue
            radius, turn = rng.uniform(0.018, 0.05), rng.uniform(0, 2 * np.pi)
            angle = turn + steps * rng.uniform(2.5, 5.5)
            grow = radius * (0.6 + 0.6 * steps)
            lines.append(np.stack([u + grow * np.cos(angle), v + grow * np.sin(angle)], 1))
            lit = 1 + 0.35 * (u * t.light) - 0.25 * (v + 0.5)
            colours.append(base * rng.uniform(low_tone, high_tone) * max(0.3, lit))
        if lines:
            canvas.strands(lines, np.array(colours), 0.009, strength=0.85)


def cover(canvas: Canvas, t: Traits) -> Array:
    """Return where hair lies over the head, 0..1."""
    s = style(t)
    result = np.zeros((canvas.height, canvas.width), np.float32)
    for edge in [*(sheet.edge for sheet in s.over), *s.clouds_over]:
        result = np.maximum(result, canvas.mask(edge))
    return result
