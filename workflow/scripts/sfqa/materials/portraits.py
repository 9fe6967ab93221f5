"""Portraits drawn by a parametric face model, for a dataset that needs nobody's pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from sfqa import identity, store
from sfqa.materials import portraits_drawn as drawn
from sfqa.materials import portraits_hair as hair
from sfqa.materials import portraits_photo as photo
from sfqa.materials import portraits_scene as scene
from sfqa.materials.portraits_canvas import Canvas
from sfqa.materials.portraits_traits import CATEGORIES, Traits, draw_traits

VERSION = 1

LICENCE = "CC0-1.0"


def draw_portraits(folder: Path, count: int, seed: int, size: int = 1024) -> list[dict[str, str]]:
    """Draw ``count`` portraits into ``folder`` and return their rows for an image sheet.

    Each is a PNG ``{image_id}.png`` of ``size`` x ``size`` pixels, every sixth a quarter taller.
    Rows have the keys image_id, path (the file's name), source, category and licence. Seed and
    name decide every pixel, so that a longer list repeats the shorter one. Raises ``ValueError``
    for ``size`` below 64.

    >>> import tempfile
    >>> draw_portraits(Path(tempfile.mkdtemp()), 1, 7, 96)[0]["category"]
    'photo_woman_young'
    """
    if size < 64:
        raise ValueError(f"size {size} is too small for a face; take 64 or more")
    rows = []
    for number in range(count):
        image_id = f"portrait{number + 1:02d}"
        category = CATEGORIES[number % len(CATEGORIES)]
        traits = draw_traits(category, seed, image_id, number)
        tall = number % 6 == 5
        picture = render(traits, seed, image_id, size, size + size // 4 if tall else size)
        name = f"{image_id}.png"
        with store.replacing(folder / name) as temporary:
            Image.fromarray(picture).save(temporary, "PNG", compress_level=6)
        rows.append(
            {
                "image_id": image_id,
                "path": name,
                "source": "synthetic",
                "category": category,
                "licence": LICENCE,
            }
        )
    return rows


def render(t: Traits, seed: int, image_id: str, width: int, height: int) -> npt.NDArray[np.uint8]:
    """Return a portrait as uint8 RGB of shape (height, width, 3)."""
    rng = identity.generator(seed, image_id, "paint")
    unit = 0.245 * width
    canvas = Canvas(
        width, height, (0.5 * width, 0.455 * width + (height - width) / 2), unit, t.tilt
    )
    if t.illustrated:
        drawn.paint(canvas, t)
    else:
        _photograph(canvas, t, rng)
    return canvas.image()


def frame(t: Traits, width: int, height: int) -> Canvas:
    """Return the empty canvas of a portrait: the head stands in the middle, a little high."""
    centre = (0.5 * width, 0.455 * width + (height - width) / 2)
    return Canvas(width, height, centre, 0.245 * width, t.tilt)


def _photograph(canvas: Canvas, t: Traits, rng: np.random.Generator) -> None:
    style = hair.style(t)
    scene.backdrop(canvas, t, rng)
    for edge in style.clouds_behind:
        hair.paint_cloud(canvas, edge, t, rng, 0.7)
    for sheet in style.behind:
        hair.paint_sheet(canvas, sheet, t, rng, behind=True)
    scene.body(canvas, t, rng)
    photo.head(canvas, t, rng)
    if t.earrings:
        scene.earrings(canvas, t)
    for sheet in style.over:
        hair.paint_sheet(canvas, sheet, t, rng)
    for edge in style.clouds_over:
        hair.paint_cloud(canvas, edge, t, rng, 1.0)
    if t.glasses != "none":
        scene.glasses(canvas, t)
    scene.film(canvas, rng)
