"""Image masters: every picture of the sheet as an upright square PNG round its head."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from sfqa import faces, identity, store, tables
from sfqa.materials.crop import Crop, cut, cuts_head, square_round

VERSION = 2

#: A second face counts when it is at least this share of the largest one's size.
_SECOND = 0.5
#: Crops under this many pixels are no use to any generator; larger ones may still be ``small``.
FLOOR = 64
#: A crop enlarged more than this is marked ``small``.
_ENLARGED = 4
#: What shows through transparent pixels: a light neutral grey, since pure white would glare.
PAPER = (244, 244, 244)
#: Pictures of more pixels are refused before they are decoded: some would fill any memory.
MOST_PIXELS = 120_000_000
#: Formats read, where Pillow has them. Others of Pillow call outside programs or are drawings.
_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000", "PPM", "TGA")
_HEIC = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


def prepare_images(
    rows: Sequence[Mapping[str, Any]], folder: Path, size: int = 1024
) -> list[dict[str, Any]]:
    """Make the masters of an image sheet and return the rows of ``tables.IMAGES``, in order.

    ``rows``: image_id, path (absolute or relative to the working directory), source, category,
    licence and prompt. Each picture is read as sRGB (:func:`load`), cropped
    to a square round its head (:func:`sfqa.materials.crop.square_round`; the middle where no face
    is found) and resampled (Lanczos) to ``size`` x ``size`` pixels in ``{folder}/{image_id}.png``.
    Sizes and face are those of the upright original. Failed: ``missing``, ``broken``,
    ``too_large``, ``too_small`` (the square is under 64 pixels wide). Flawed: ``no_face``,
    ``several_faces``, ``head_cut``, ``small`` (enlarged more than fourfold). Raises ``ValueError``
    for ``size`` below 16.
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
        "prompt": row.get("prompt") or None,
        "original": str(row["path"]),
    }
    if not original.is_file():
        return _failed(result, "missing", f"there is no file {str(original)!r}")
    try:
        result["original_sha256"] = identity.sha256_file(original)
        picture = load(original)
    except UnusableError as error:
        return _failed(result, error.word, error.sentence)
    except OSError as error:
        return _failed(result, "broken", f"the file cannot be read ({error.strerror})")
    height, width = picture.shape[:2]
    result |= {"original_width": width, "original_height": height}
    found = find_faces(picture)
    if found:
        result |= {"face_x": found[0].cx, "face_y": found[0].cy, "face_size": found[0].size}
    crop = square_round(width, height, found[0] if found else None)
    if crop.side < FLOOR:
        sentence = f"the square cut out is {crop.side} pixels wide, {FLOOR} are the least"
        return _failed(result, "too_small", sentence)
    target = folder / f"{row['image_id']}.png"
    with store.replacing(target) as temporary:
        cut(picture, crop, size).save(temporary, "PNG", compress_level=6)
    detail = "; ".join(_defects(found, crop, size))
    return result | {
        "status": tables.FLAWED if detail else tables.OK,
        "detail": detail,
        "path": str(target),
        "sha256": identity.sha256_file(target),
        "width": size,
        "height": size,
        "size_bytes": target.stat().st_size,
    }


def _failed(result: Mapping[str, Any], word: str, sentence: str) -> dict[str, Any]:
    return {**result, "status": tables.FAILED, "detail": tables.flaw(word, sentence)}


class UnusableError(Exception):
    """Raised for a file that gives no picture: one word for the table, and a sentence."""

    def __init__(self, word: str, sentence: str) -> None:
        super().__init__(sentence)
        self.word, self.sentence = word, sentence


def load(path: Path) -> npt.NDArray[np.uint8]:
    """Return a picture as upright uint8 sRGB (height, width, 3), transparent parts on light grey.

    The orientation tag is applied and an embedded colour profile converted to sRGB (perceptual
    intent, ICC.1); pictures without a profile, or with a broken one, count as sRGB. 16-bit grey is
    divided by 257, floating-point pictures go from 0 to 1 or, where they have larger values, to
    255. Of an animation the first frame is taken. Raises :class:`UnusableError` (``broken``,
    ``too_large``), and ``OSError`` where the file may not be read.
    """
    with open(path, "rb") as handle:
        start = handle.read(16)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's on size and odd tags: checked here, or moot
            Image.init()
            with Image.open(path, formats=[f for f in _FORMATS if f in Image.OPEN]) as opened:
                if opened.width * opened.height > MOST_PIXELS:
                    raise _too_large(f"{opened.width} x {opened.height}")
                opened.load()
                profile = opened.info.get("icc_profile")
                upright: Image.Image = ImageOps.exif_transpose(opened)
            return np.asarray(_opaque(_eight_bits(upright), profile))
    except UnusableError:
        raise
    except UnidentifiedImageError:
        raise UnusableError("broken", _not_a_picture(start)) from None
    except Image.DecompressionBombError:
        raise _too_large(f"over {2 * (Image.MAX_IMAGE_PIXELS or 0)}") from None
    except Exception as error:  # a damaged file makes decoders raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnusableError("broken", f"the picture cannot be read ({reason})") from error


def _too_large(pixels: str) -> UnusableError:
    sentence = f"the picture has {pixels} pixels, {MOST_PIXELS} are the most, shrink it"
    return UnusableError("too_large", sentence)


def _not_a_picture(start: bytes) -> str:
    if not start:
        return "the file is empty"
    if start[4:8] == b"ftyp" and start[8:12] in _HEIC:
        return "HEIC pictures are not read, save it as JPEG or PNG"
    if start.lstrip()[:5] in (b"<?xml", b"<svg "):
        return "drawings are not read, save it as PNG"
    return "not a picture format that is read, save it as JPEG or PNG"


def _eight_bits(image: Image.Image) -> Image.Image:
    if not (image.mode.startswith("I") or image.mode == "F"):
        return image
    values = np.asarray(image, np.float64)
    top = values.max(initial=0)
    if image.mode == "F":
        values = values * 255 if top <= 1 else values
    elif image.mode != "I" or top > 255:
        values = values / 257
    return Image.fromarray(np.round(np.clip(values, 0, 255)).astype(np.uint8))


def _opaque(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The picture as sRGB, laid on the paper where it is transparent."""
    clear = image.has_transparency_data
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if clear else "RGB")
    elif clear:
        image = image.convert("LA" if image.mode in ("1", "L", "LA") else "RGBA")
    if not clear:
        return _srgb(image, profile)
    alpha = image.getchannel("A")
    colour = _srgb(image.convert(image.mode[:-1]), profile)
    colour.putalpha(alpha)
    paper = Image.new("RGBA", image.size, (*PAPER, 255))
    return Image.alpha_composite(paper, colour).convert("RGB")


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            made = ImageCms.profileToProfile(
                image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            return image.convert("RGB")  # broken, or made for another kind of picture
        if made is not None:
            return made
    return image.convert("RGB")


def find_faces(picture: npt.NDArray[np.uint8]) -> list[faces.Box]:
    """Return the faces of a picture, largest first, without those under half the first's size."""
    found = sorted(faces.find_portrait_faces(picture), key=lambda box: -box.size)
    return [box for box in found if box.size >= _SECOND * found[0].size]


def _defects(found: list[faces.Box], crop: Crop, size: int) -> list[str]:
    defects = []
    if not found:
        sentence = "no face was found, so the middle of the picture is used"
        defects.append(tables.flaw("no_face", sentence))
    elif cuts_head(crop, found[0]):
        sentence = "the picture ends too near the face, so that the head is not whole"
        defects.append(tables.flaw("head_cut", sentence))
    if len(found) > 1:
        sides = " and ".join(str(round(box.size)) for box in found)
        sentence = f"{len(found)} faces of {sides} pixels were found, the largest is used"
        defects.append(tables.flaw("several_faces", sentence))
    if crop.side * _ENLARGED < size:
        sentence = f"the square cut out is {crop.side} pixels wide, enlarged to {size}"
        defects.append(tables.flaw("small", f"{sentence}, more than fourfold"))
    return defects


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
