"""Image masters: every picture of the sheet as an upright square PNG round its face."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from sfqa import faces, identity, store, tables

VERSION = 1

#: Side of the crop in face boxes: a Haar box ends at forehead and chin, and 2.2 of them hold hair,
#: neck and the first of the shoulders.
ROOM = 2.2
#: A crop that would leave out less than this share of the short side keeps all of it.
_NEARLY_ALL = 0.15
#: How far above the box's centre the head's centre lies, in boxes.
_LIFT = 0.06
#: Longer sides tried by the detector; the second finds small faces in large pictures.
_LOOKS = (320, 960)
#: A second face counts when it is at least this share of the first one's size.
_SECOND = 0.5
#: What shows through transparent pixels: a light neutral grey, since pure white would glare.
_PAPER = (244, 244, 244)


class Crop(NamedTuple):
    """A square of whole pixels inside a picture: left and top edge, side."""

    left: int
    top: int
    side: int


def prepare_images(
    rows: Sequence[Mapping[str, Any]], folder: Path, size: int = 1024
) -> list[dict[str, Any]]:
    """Make the masters of an image sheet and return the rows of ``tables.IMAGES``, in order.

    ``rows``: image_id, path (absolute or relative to the working directory), source, category and
    licence. Each picture is turned upright (EXIF), freed of transparency, cropped to a square
    round its largest face (:func:`square_round`; the middle where none is found) and resampled
    (Lanczos) to ``size`` x ``size`` pixels in ``{folder}/{image_id}.png``. Sizes and face are
    those of the upright original. Failed: ``missing``, ``broken``. Flawed: ``no_face``,
    ``several_faces``, ``small`` (enlarged more than fourfold). Raises ``ValueError`` for ``size``
    below 16.
    """
    if size < 16:
        raise ValueError(f"size {size} is too small for a master; take 16 or more")
    return [_prepare(row, folder, size) for row in rows]


def _prepare(row: Mapping[str, Any], folder: Path, size: int) -> dict[str, Any]:
    original = Path(row["path"])
    result: dict[str, Any] = {
        "image_id": row["image_id"],
        "source": row["source"],
        "category": row["category"],
        "licence": row.get("licence") or None,
        "original": str(row["path"]),
    }
    if not original.is_file():
        detail = f"missing: there is no file {str(original)!r}"
        return result | {"status": tables.FAILED, "detail": detail}
    try:
        result["original_sha256"] = identity.sha256_file(original)
        picture = load(original)
    except Exception as error:  # a damaged file makes decoders raise nearly anything
        detail = f"broken: the picture cannot be read ({_reason(error)})"
        return result | {"status": tables.FAILED, "detail": detail}
    height, width = picture.shape[:2]
    found = find_faces(picture)
    crop = square_round(width, height, found[0] if found else None)
    target = folder / f"{row['image_id']}.png"
    with store.replacing(target) as temporary:
        _resample(picture, crop, size).save(temporary, "PNG", compress_level=6)
    detail = "; ".join(_defects(found, crop, size))
    result |= {
        "status": tables.FLAWED if detail else tables.OK,
        "detail": detail,
        "path": str(target),
        "sha256": identity.sha256_file(target),
        "width": size,
        "height": size,
        "original_width": width,
        "original_height": height,
        "size_bytes": target.stat().st_size,
    }
    if found:
        result |= {"face_x": found[0].cx, "face_y": found[0].cy, "face_size": found[0].size}
    return result


def load(path: Path) -> npt.NDArray[np.uint8]:
    """Return a picture as upright uint8 RGB (height, width, 3), transparent parts on light grey.

    16-bit pictures are brought to 8 bits; of an animation the first frame is taken. Raises what
    Pillow raises for files that it cannot read.
    """
    with Image.open(path) as opened:
        opened.load()
        image: Image.Image = ImageOps.exif_transpose(opened)
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, np.float64)
        values = values / 257 if values.max(initial=0) > 255 else values
        image = Image.fromarray(np.round(np.clip(values, 0, 255)).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, (*_PAPER, 255))
        image = Image.alpha_composite(paper, image)
    return np.asarray(image.convert("RGB"))


def find_faces(picture: npt.NDArray[np.uint8]) -> list[faces.Box]:
    """Return the faces of a picture, largest first, without those under half the first's size."""
    found: list[faces.Box] = []
    for side in _LOOKS:
        found = faces.detect(picture, side)
        if found or max(picture.shape[:2]) <= side:
            break
    return [box for box in found if box.size >= _SECOND * found[0].size]


def square_round(width: int, height: int, face: faces.Box | None) -> Crop:
    """Return the square to cut from a picture of ``width`` x ``height`` pixels.

    Its side is 2.2 face boxes, at most the short side of the picture and all of it where little
    would be left out; its middle is the head's, moved as little as keeps it inside the picture. It
    holds a face box that the picture holds, within a pixel. Without a face: the middle square.

    >>> square_round(1000, 600, faces.Box(50, 200, 100, 100))
    Crop(left=0, top=134, side=220)
    >>> square_round(100, 60, None)
    Crop(left=20, top=0, side=60)
    """
    short = min(width, height)
    if face is None:
        return Crop((width - short) // 2, (height - short) // 2, short)
    side = round(ROOM * face.size)
    if side > (1 - _NEARLY_ALL) * short:
        side = short
    left = _place(face.cx, face.x, face.w, side, width)
    top = _place(face.cy - _LIFT * face.size, face.y, face.h, side, height)
    return Crop(left, top, side)


def _place(middle: float, start: float, length: float, side: int, limit: int) -> int:
    """Where a crop begins along one axis: round the middle, round the face, inside the picture."""
    place = round(middle - side / 2)
    place = min(max(place, math.ceil(start + length - side)), max(0, math.floor(start)))
    return min(max(place, 0), limit - side)


def _resample(picture: npt.NDArray[np.uint8], crop: Crop, size: int) -> Image.Image:
    rows = slice(crop.top, crop.top + crop.side)
    columns = slice(crop.left, crop.left + crop.side)
    square = Image.fromarray(np.ascontiguousarray(picture[rows, columns]))
    return square.resize((size, size), Image.Resampling.LANCZOS)


def _defects(found: list[faces.Box], crop: Crop, size: int) -> list[str]:
    defects = []
    if not found:
        defects.append("no_face: no face was found, so the middle of the picture is used")
    elif len(found) > 1:
        sides = " and ".join(str(round(box.size)) for box in found)
        defects.append(
            f"several_faces: {len(found)} faces of {sides} pixels were found, the largest is used"
        )
    if crop.side < size / 4:
        defects.append(
            f"small: the square cut out is {crop.side} pixels wide, enlarged to {size}, "
            "more than fourfold"
        )
    return defects


def _reason(error: Exception) -> str:
    """An error in one phrase: no path, no separator of the detail column."""
    if isinstance(error, UnidentifiedImageError):
        return "not a picture format that Pillow knows"
    text = " ".join(str(error).split()) or type(error).__name__
    return text.replace(";", ",")


def contact_sheet(
    rows: Sequence[Mapping[str, Any]], path: Path, columns: int = 6, tile: int = 160
) -> None:
    """Write a PNG that shows the masters of ``tables.IMAGES`` rows in a grid, for looking.

    ``columns`` tiles of ``tile`` pixels in a row, each with its name below; the line under a tile
    is green (ok), amber (flawed) or red (failed). Raises ``ValueError`` for no rows.
    """
    if not rows:
        raise ValueError("no images to show")
    gap, label = max(4, tile // 20), max(14, tile // 8)
    lines = math.ceil(len(rows) / columns)
    across = min(columns, len(rows)) * (tile + gap) + gap
    sheet = Image.new("RGB", (across, lines * (tile + gap + label) + gap), (250, 250, 250))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=max(9, tile // 13))
    for number, row in enumerate(rows):
        line, column = divmod(number, columns)
        x, y = gap + column * (tile + gap), gap + line * (tile + gap + label)
        if row.get("path"):
            with Image.open(row["path"]) as master:
                shown = master.convert("RGB").resize((tile, tile), Image.Resampling.LANCZOS)
            sheet.paste(shown, (x, y))
        else:
            draw.rectangle((x, y, x + tile - 1, y + tile - 1), fill=(225, 225, 225))
            word = str(row["detail"]).split(":", 1)[0]
            draw.text((x + tile / 2, y + tile / 2), word, (120, 40, 40), font, anchor="mm")
        draw.rectangle((x, y + tile, x + tile - 1, y + tile + 2), fill=_SIGNAL[row["status"]])
        middle = (x + tile / 2, y + tile + 3 + label / 2)
        draw.text(middle, _shorten(row["image_id"], font, tile), (40, 40, 40), font, anchor="mm")
    with store.replacing(path) as temporary:
        sheet.save(temporary, "PNG", compress_level=6)


_SIGNAL = {tables.OK: (60, 150, 80), tables.FLAWED: (225, 160, 40), tables.FAILED: (200, 60, 50)}


def _shorten(text: str, font: Any, width: int) -> str:
    """The text, its middle left out where it is wider than ``width`` pixels."""
    shown = text
    for keep in range(len(text) - 1, 1, -1):
        if font.getlength(shown) <= width:
            break
        head = (keep + 1) // 2
        shown = f"{text[:head]}…{text[len(text) - (keep - head) :]}"
    return shown
