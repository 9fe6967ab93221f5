"""Everything round a photographic head: backdrop, neck, clothes, glasses, film grain."""

from __future__ import annotations

import numpy as np

from sfqa.materials import portraits_shape as shape
from sfqa.materials.portraits_canvas import (
    Canvas,
    bump,
    curve,
    ellipse,
    moved,
    noise,
    smoothstep,
)
from sfqa.materials.portraits_traits import Traits


def backdrop(canvas: Canvas, t: Traits, rng: np.random.Generator) -> None:
    """Paint an out-of-focus background: a gradient with soft spots of light."""
    across = (canvas.bv + 1.7) / np.float32(4.0) + np.float32(0.18 * t.light) * canvas.bu
    share = smoothstep(-0.1, 1.1, across)[..., None]
    top, low = (np.asarray(c, np.float32) for c in t.backdrop)
    canvas.rgb[:] = top * (1 - share) + low * share
    glow = np.exp(-((canvas.bu - np.float32(0.6 * t.light)) ** 2 + (canvas.bv + 0.6) ** 2) / 2.2)
    canvas.paint(np.asarray(glow, np.float32), np.clip(top * 1.25, 0, 1), 0.6)
    for _ in range(int(rng.integers(5, 13))):
        radius = rng.uniform(0.10, 0.34)
        spot = ellipse(rng.uniform(-2.3, 2.3), rng.uniform(-2.0, 1.6), radius, radius)
        tone = np.clip(top * rng.uniform(0.9, 1.4) + 0.05, 0, 1)
        canvas.paint(canvas.mask(spot, 0.03, upright=True), tone, rng.uniform(0.10, 0.30))


def body(canvas: Canvas, t: Traits, rng: np.random.Generator) -> None:
    """Paint neck, chest and clothes, the head's shadow on them."""
    skin = np.asarray(t.skin, np.float32)
    side = np.float32(t.light)
    turn = np.clip(
        1 - (canvas.bu / np.float32(0.62)) ** 2 * 0.50 + 0.28 * side * canvas.bu, 0.35, 1.05
    )
    tone = skin * (np.float32(0.80) * turn)[..., None] * np.array([1.0, 0.95, 0.93], np.float32)
    cover = canvas.mask(shape.neck(t), 0.008, upright=True)
    canvas.paint(cover, np.clip(tone, 0, 1))
    chin = shape.outline(t) * [0.86, 1.0] + [-0.06 * t.light, 0.20]
    canvas.shade(cover * canvas.mask(chin, 0.07), (0.52, 0.40, 0.37), 0.85)
    for s in (-1, 1):
        bone = curve([(0.10 * s, 1.60), (0.45 * s, 1.53), (0.95 * s, 1.48)], 30)
        canvas.shade(cover * canvas.stroke(bone, 0.05, 0.03, upright=True), (0.7, 0.6, 0.56), 0.4)
        cord = curve([(0.30 * s, 0.95), (0.21 * s, 1.22), (0.08 * s, 1.56)], 30)
        canvas.shade(cover * canvas.stroke(cord, 0.06, 0.04, upright=True), (0.7, 0.6, 0.56), 0.35)
    clothes(canvas, t, rng)


def clothes(canvas: Canvas, t: Traits, rng: np.random.Generator) -> None:
    """Paint the clothes: cloth with soft folds, and a rim or a collar round the neck."""
    colour = np.asarray(t.cloth, np.float32)
    cut = canvas.mask(shape.neckline(t), 0.004, upright=True)
    cloth = canvas.mask(shape.shoulders(t), 0.006, upright=True)
    cover = cloth * (1 - cut)
    folds = 0.07 * noise(rng, canvas.height, canvas.width, 0.42 * canvas.unit)
    weave = 0.015 * noise(rng, canvas.height, canvas.width, max(1.0, 0.008 * canvas.unit))
    round_ = 0.92 - 0.16 * (np.abs(canvas.bu) / 1.6) ** 2 + 0.16 * t.light * canvas.bu / 1.6
    fall = 1 - 0.16 * np.clip(canvas.bv - 1.6, 0, 1)
    shade = np.asarray(round_ * fall + folds + weave, np.float32)
    canvas.shade(canvas.blur(cover, 0.04) * cut, (0.6, 0.5, 0.48), 0.6)
    canvas.paint(cover, np.clip(colour * shade[..., None], 0, 1))
    for s in (-1, 1):
        for k in range(3):
            fold = curve(
                [
                    (s * (0.75 + 0.22 * k), 1.65 + 0.1 * k),
                    (s * (0.72 + 0.25 * k), 1.9),
                    (s * (0.85 + 0.2 * k), 2.4),
                ],
                30,
            )
            canvas.shade(cover * canvas.stroke(fold, 0.05, 0.035, upright=True), 0.72, 0.5)
            canvas.shade(
                cover * canvas.stroke(moved(fold, 0.06 * s, 0), 0.05, 0.035, upright=True),
                1.18,
                0.5,
            )
    rim = shape.neckline(t)[:60]
    if t.cloth_style == "collar":
        for s in (-1, 1):
            flap = np.array(
                [
                    (0.38, 1.14),
                    (0.60, 1.40),
                    (0.44, 1.82),
                    (0.05, 2.0 if t.woman else 1.86),
                    (0.34, 1.40),
                ]
            ) * [s, 1]
            canvas.shade(canvas.mask(moved(flap, 0.0, 0.04), 0.03, upright=True) * cloth, 0.6, 0.6)
            bright = 0.12 if s == t.light else 0.0
            canvas.paint(
                canvas.mask(flap, 0.006, upright=True),
                np.clip(colour * (0.98 + bright) + 0.06, 0, 1),
            )
            canvas.paint(
                canvas.stroke(np.vstack([flap, flap[:1]]), 0.008, 0.004, upright=True),
                colour * 0.55,
                0.5,
            )
    else:
        canvas.paint(
            canvas.stroke(moved(rim, 0, 0.03), 0.07, 0.004, upright=True) * cloth,
            np.clip(colour * 0.86, 0, 1),
        )
        canvas.shade(
            canvas.stroke(moved(rim, 0, 0.07), 0.016, 0.008, upright=True) * cloth, 0.65, 0.6
        )


def glasses(canvas: Canvas, t: Traits) -> None:
    """Paint glasses: rims, bridge, arms, their shadow and a reflex."""
    e = shape.eye(t)
    rims = []
    for s in (-1, 1):
        if t.glasses == "round":
            rims.append(ellipse(s * e.u, 0.03, 0.245, 0.225))
        else:
            p = [
                (s * e.u + x, y)
                for x, y in (
                    (-0.25, -0.14),
                    (0.0, -0.165),
                    (0.25, -0.14),
                    (0.26, 0.03),
                    (0.2, 0.19),
                    (0.0, 0.205),
                    (-0.2, 0.19),
                    (-0.26, 0.03),
                )
            ]
            rims.append(curve(p, 80, closed=True))
    bridge = curve([(-0.10, 0.0), (0.0, -0.035), (0.10, 0.0)], 20)
    frame = np.zeros((canvas.height, canvas.width), np.float32)
    for rim in rims:
        canvas.paint(canvas.mask(rim, 0.01), (1, 1, 1), 0.035)
        frame = np.maximum(frame, canvas.stroke(np.vstack([rim, rim[:1]]), 0.019))
    frame = np.maximum(frame, canvas.stroke(bridge, 0.019))
    for s in (-1, 1):
        frame = np.maximum(
            frame, canvas.stroke(np.array([(s * (e.u + 0.24), -0.03), (s * 0.77, -0.06)]), 0.017)
        )
    shadow = canvas.blur(
        np.roll(frame, (round(0.035 * canvas.unit), round(-0.02 * canvas.unit * t.light)), (0, 1)),
        0.015,
    )
    canvas.shade(shadow, (0.6, 0.48, 0.45), 0.55)
    canvas.paint(frame, (0.10, 0.085, 0.08) if t.glasses == "square" else (0.30, 0.22, 0.14))
    for rim in rims:
        arc = rim[44:66] if t.light < 0 else rim[54:76]
        canvas.paint(canvas.stroke(arc, 0.008, 0.004), (0.95, 0.93, 0.9), 0.55)


def earrings(canvas: Canvas, t: Traits) -> None:
    """Paint a small pearl below each ear."""
    for s in (-1, 1):
        u, v = s * (0.775 + 0.02 * t.cheek), 0.42
        canvas.paint(canvas.mask(ellipse(u, v, 0.042, 0.042), 0.004), (0.86, 0.83, 0.78))
        canvas.shade(bump(canvas, u - 0.012 * t.light, v + 0.02, 0.03, 0.02), 0.6, 0.6)
        canvas.paint(
            canvas.mask(ellipse(u + 0.012 * t.light, v - 0.014, 0.012, 0.012), 0.004), (1, 1, 1)
        )


def film(canvas: Canvas, rng: np.random.Generator) -> None:
    """Finish a photograph: vignette, a touch of contrast, grain."""
    far = (canvas.bu**2 + (canvas.bv - 0.3) ** 2) / 7.0
    canvas.rgb *= (1 - 0.22 * np.clip(far, 0, 1.4))[..., None].astype(np.float32)
    np.clip(canvas.rgb, 0, 1, out=canvas.rgb)
    curved = canvas.rgb * canvas.rgb * (3 - 2 * canvas.rgb)
    canvas.rgb += np.float32(0.22) * (curved - canvas.rgb)
    grain = rng.standard_normal((canvas.height, canvas.width)).astype(np.float32)
    canvas.rgb += (canvas.blur(grain, 0.5 / canvas.unit) * np.float32(0.010))[..., None]
