"""What a drawn person looks like: the numbers and colours that a seed decides."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from sfqa import identity

RGB = tuple[float, float, float]

#: The categories in the order drawn, so that any eight portraits cover both looks and all kinds.
CATEGORIES = (
    "photo_woman_young",
    "illustrated_man",
    "photo_man_young",
    "illustrated_woman",
    "photo_woman_old",
    "illustrated_fantasy",
    "photo_man_old",
)

_SKINS: tuple[RGB, ...] = (
    (0.96, 0.79, 0.70),
    (0.93, 0.74, 0.62),
    (0.86, 0.66, 0.52),
    (0.76, 0.54, 0.40),
    (0.60, 0.41, 0.30),
    (0.47, 0.31, 0.23),
)
_HAIR: tuple[RGB, ...] = (
    (0.10, 0.08, 0.08),
    (0.20, 0.13, 0.09),
    (0.36, 0.22, 0.13),
    (0.54, 0.28, 0.13),
    (0.74, 0.56, 0.32),
    (0.15, 0.11, 0.12),
)
_GREY: tuple[RGB, ...] = ((0.52, 0.51, 0.50), (0.40, 0.39, 0.39), (0.60, 0.59, 0.57))
_EYES: tuple[RGB, ...] = (
    (0.30, 0.18, 0.10),
    (0.24, 0.38, 0.52),
    (0.30, 0.42, 0.27),
    (0.42, 0.30, 0.15),
    (0.22, 0.14, 0.09),
)
_FANTASY_SKINS: tuple[RGB, ...] = (
    (0.97, 0.86, 0.80),
    (0.66, 0.80, 0.88),
    (0.68, 0.84, 0.66),
    (0.80, 0.72, 0.92),
)
_WOMEN_HAIR = ("long", "bob", "bun", "curly", "waves", "fringe")
_MEN_HAIR = ("side", "quiff", "curls", "crop")
_FANTASY_HAIR = ("waves", "quiff", "long", "bun")


@dataclass(frozen=True)
class Traits:
    """Everything that tells one portrait from another; lengths are in half heads."""

    category: str
    illustrated: bool
    woman: bool
    old: bool
    fantasy: bool
    skin: RGB
    hair: RGB
    hair_style: str
    eyes: RGB
    lips: RGB
    cheek: float
    jaw: float
    chin: float
    eye_gap: float
    eye_size: float
    brow: float
    nose: float
    mouth: float
    smile: float
    glasses: str
    beard: str
    cloth: RGB
    cloth_style: str
    backdrop: tuple[RGB, RGB]
    light: float
    tilt: float
    freckles: bool
    earrings: bool


def colour(hue: float, saturation: float, value: float) -> RGB:
    """Return an RGB colour, 0..1, from hue, saturation and value.

    >>> colour(0.5, 1.0, 1.0)
    (0.0, 1.0, 1.0)
    """
    return colorsys.hsv_to_rgb(hue % 1.0, saturation, value)


def mix(a: RGB, b: RGB, share: float) -> RGB:
    """Return ``a`` moved towards ``b`` by ``share``.

    >>> mix((0, 0, 0), (1, 1, 1), 0.25)
    (0.25, 0.25, 0.25)
    """
    return (
        a[0] + share * (b[0] - a[0]),
        a[1] + share * (b[1] - a[1]),
        a[2] + share * (b[2] - a[2]),
    )


def draw_traits(category: str, seed: int, image_id: str, number: int) -> Traits:
    """Return the traits of portrait ``number`` (from 0); seed and name decide them.

    Skin and hair style go round with the number, so that neighbours on a sheet differ. Raises
    ``ValueError`` for a category that is not in :data:`CATEGORIES`.
    """
    if category not in CATEGORIES:
        raise ValueError(f"unknown category {category!r}; one of {', '.join(CATEGORIES)}")
    rng = identity.generator(seed, image_id)
    turn = int(identity.generator(seed, "portraits").integers(60))
    fantasy, old = category == "illustrated_fantasy", category.endswith("_old")
    woman = "woman" in category or (fantasy and (number + turn) % 2 == 0)
    lap, place = divmod(number, len(CATEGORIES))
    skin = _SKINS[(5 * place + lap + turn) % len(_SKINS)]
    hair = _HAIR[int(rng.integers(len(_HAIR)))]
    if skin[0] < 0.8:
        hair = _HAIR[(0, 1, 5)[int(rng.integers(3))]]
    if old:
        hair = _GREY[int(rng.integers(len(_GREY)))]
    eyes = _EYES[int(rng.integers(len(_EYES))) if skin[0] > 0.8 else (0, 4)[int(rng.integers(2))]]
    if fantasy:
        skin = _FANTASY_SKINS[(lap + turn) % len(_FANTASY_SKINS)]
        hair = colour(rng.uniform(), rng.uniform(0.35, 0.7), rng.uniform(0.6, 0.9))
        eyes = colour(rng.uniform(), 0.7, 0.75)
    hue, backdrop_hue = rng.uniform(), rng.uniform()
    styles = _FANTASY_HAIR if fantasy else _WOMEN_HAIR if woman else _MEN_HAIR
    style = styles[(5 * lap + place + turn) % len(styles)]
    if old and not woman and rng.uniform() < 0.35:
        style = "bald"
    bearded = not woman and not fantasy and rng.uniform() < (0.6 if old else 0.45)
    rosy = (0.80, 0.28, 0.32) if woman else (0.74, 0.42, 0.40)
    illustrated = category.startswith("illustrated")
    return Traits(
        category=category,
        illustrated=illustrated,
        woman=woman,
        old=old,
        fantasy=fantasy,
        skin=skin,
        hair=hair,
        hair_style=style,
        eyes=eyes,
        lips=mix(skin, rosy, rng.uniform(0.45, 0.7) if woman else rng.uniform(0.25, 0.4)),
        cheek=rng.uniform(-1, 1),
        jaw=rng.uniform(-1, 0.4) if woman else rng.uniform(0, 1),
        chin=rng.uniform(-1, 1),
        eye_gap=rng.uniform(-1, 1),
        eye_size=rng.uniform(-1, 1),
        brow=rng.uniform(-1, 1),
        nose=rng.uniform(-1, 1),
        mouth=rng.uniform(-1, 1),
        smile=rng.uniform(0.1, 1.0),
        glasses=("none", "none", "round", "square")[int(rng.integers(4))]
        if not fantasy
        else "none",
        beard=("full", "stubble", "moustache")[int(rng.integers(3))] if bearded else "none",
        cloth=colour(hue, rng.uniform(0.25, 0.6), rng.uniform(0.3, 0.85)),
        cloth_style=("crew", "vneck", "collar")[int(rng.integers(3))],
        backdrop=(
            colour(backdrop_hue, rng.uniform(0.1, 0.35), rng.uniform(0.55, 0.85)),
            colour(
                backdrop_hue + rng.uniform(0.05, 0.2), rng.uniform(0.2, 0.4), rng.uniform(0.3, 0.6)
            ),
        ),
        light=float(np.where(rng.uniform() < 0.5, -1, 1)),
        tilt=float(np.radians(rng.uniform(-4.5, 4.5))),
        freckles=bool(rng.uniform() < 0.25) and not old and skin[0] > 0.85,
        earrings=woman and bool(rng.uniform() < 0.5),
    )
