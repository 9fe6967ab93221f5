"""Pictures of one face, and their preparation."""

import numpy as np
from PIL import Image

from sfqa import store, tables
from sfqa.materials import images

SIDE = 240


def row(path, name="a"):
    return {
        "image_id": name,
        "path": str(path),
        "source": "ai",
        "category": "c",
        "licence": "CC0",
        "prompt": "photo_01",
    }


def prepare(tmp_path, picture, size=128, name="a.png", **options):
    """Save a picture, prepare it, check the row against the schema, return row and master."""
    path = tmp_path / name
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(path, **options)
    (result,) = images.prepare_images([row(path)], tmp_path / "masters", size)
    store.to_arrow(tables.IMAGES, [result])
    with Image.open(result["path"]) as master:
        assert (master.format, master.mode, master.size) == ("PNG", "RGB", (size, size))
        return result, np.asarray(master)


def backdrop(height, width, colour=(90, 140, 120)):
    return np.tile(np.array(colour, np.uint8), (height, width, 1))
