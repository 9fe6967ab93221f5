"""Prepare image masters: crop every picture of the sheet to an upright square around its head."""

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
from sfqa.materials.crop import Crop, choose_square, crop_picture, cuts_head

VERSION = 2

#: Smallest size of a second face, as a share of the largest face.
_MIN_SECOND_SHARE = 0.5
#: Smallest usable crop in pixels; larger crops may still be flawed as ``small``.
MIN_CROP_PX = 64
#: A crop that is enlarged by a larger factor is flawed as ``small``.
_MAX_ENLARGEMENT = 4
#: Colour behind transparent pixels: a light neutral grey, less glaring than white.
BACKGROUND = (244, 244, 244)
#: Larger pictures are rejected before they are decoded, because they could fill the memory.
MAX_PIXELS = 120_000_000
#: Accepted formats, if Pillow supports them. Its other formats call external programs or are vector
#: graphics.
_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000", "PPM", "TGA")
_HEIC = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


def prepare_images(
    rows: Sequence[Mapping[str, Any]], folder: Path, size: int = 1024
) -> list[dict[str, Any]]:
    """Prepare the masters of an image sheet; return the rows of ``tables.IMAGES`` in order.

    ``rows``: image_id, path (absolute or relative to the working directory), source, category,
    licence and prompt. Each picture is loaded as sRGB (:func:`load_picture`), cropped to a square
    around its head (:func:`sfqa.materials.crop.choose_square`; the centre if no face is detected)
    and resampled (Lanczos) to ``size`` x ``size`` pixels in ``{folder}/{image_id}.png``. Sizes and
    face box refer to the upright original. Failed: ``missing``, ``broken``, ``too_large``,
    ``too_small`` (the square is under 64 pixels wide). Flawed: ``no_face``, ``several_faces``,
    ``head_cut``, ``small`` (enlarged more than fourfold). Raises ``ValueError`` for ``size`` below
    16.
    """
    if size < 16:
        raise ValueError(f"size {size} is too small for a master; take 16 or more")
    return [_prepare_image(row, folder, size) for row in rows]


def _prepare_image(row: Mapping[str, Any], folder: Path, size: int) -> dict[str, Any]:
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
        return _make_failed_row(result, "missing", f"there is no file {str(original)!r}")
    try:
        result["original_sha256"] = identity.sha256_file(original)
        picture = load_picture(original)
    except UnusableError as error:
        return _make_failed_row(result, error.word, error.sentence)
    except OSError as error:
        return _make_failed_row(result, "broken", f"the file cannot be read ({error.strerror})")
    height, width = picture.shape[:2]
    result |= {"original_width": width, "original_height": height}
    detected = find_faces(picture)
    if detected:
        result |= {
            "face_x": detected[0].cx,
            "face_y": detected[0].cy,
            "face_size": detected[0].size,
        }
    crop = choose_square(width, height, detected[0] if detected else None)
    if crop.side < MIN_CROP_PX:
        sentence = f"the square cut out is {crop.side} pixels wide, {MIN_CROP_PX} are the least"
        return _make_failed_row(result, "too_small", sentence)
    target = folder / f"{row['image_id']}.png"
    with store.replacing(target) as temporary:
        crop_picture(picture, crop, size).save(temporary, "PNG", compress_level=6)
    detail = "; ".join(_list_defects(detected, crop, size))
    return result | {
        "status": tables.FLAWED if detail else tables.OK,
        "detail": detail,
        "path": str(target),
        "sha256": identity.sha256_file(target),
        "width": size,
        "height": size,
        "size_bytes": target.stat().st_size,
    }


def _make_failed_row(result: Mapping[str, Any], word: str, sentence: str) -> dict[str, Any]:
    return {**result, "status": tables.FAILED, "detail": tables.flaw(word, sentence)}


class UnusableError(Exception):
    """A file that gives no picture: ``word`` is the reason in the table, ``sentence`` explains."""

    def __init__(self, word: str, sentence: str) -> None:
        super().__init__(sentence)
        self.word, self.sentence = word, sentence


def load_picture(path: Path) -> npt.NDArray[np.uint8]:
    """Load a picture as upright uint8 sRGB (height, width, 3); transparent parts become light grey.

    The orientation tag is applied and an embedded colour profile is converted to sRGB (perceptual
    intent, ICC.1); a missing or broken profile counts as sRGB. 16-bit grey is divided by 257.
    Floating-point pictures range from 0 to 1 or, if they have larger values, to 255. Only the first
    frame of an animation is used. Raises :class:`UnusableError` (``broken``, ``too_large``), and
    ``OSError`` if the file may not be read.
    """
    with open(path, "rb") as handle:
        start = handle.read(16)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # Pillow's warnings about size and tags: checked here, or harmless
            Image.init()
            with Image.open(path, formats=[f for f in _FORMATS if f in Image.OPEN]) as opened:
                if opened.width * opened.height > MAX_PIXELS:
                    raise _make_size_error(f"{opened.width} x {opened.height}")
                opened.load()
                profile = opened.info.get("icc_profile")
                upright: Image.Image = ImageOps.exif_transpose(opened)
            return np.asarray(_remove_transparency(_eight_bits(upright), profile))
    except UnusableError:
        raise
    except UnidentifiedImageError:
        raise UnusableError("broken", _describe_format(start)) from None
    except Image.DecompressionBombError:
        raise _make_size_error(f"over {2 * (Image.MAX_IMAGE_PIXELS or 0)}") from None
    except Exception as error:  # decoders raise many types of exceptions for damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnusableError("broken", f"the picture cannot be read ({reason})") from error


def _make_size_error(pixels: str) -> UnusableError:
    sentence = f"the picture has {pixels} pixels, {MAX_PIXELS} are the most, shrink it"
    return UnusableError("too_large", sentence)


def _describe_format(start: bytes) -> str:
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


def _remove_transparency(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert to sRGB and place transparent parts on the background colour."""
    clear = image.has_transparency_data
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if clear else "RGB")
    elif clear:
        image = image.convert("LA" if image.mode in ("1", "L", "LA") else "RGBA")
    if not clear:
        return _convert_to_srgb(image, profile)
    alpha = image.getchannel("A")
    colour = _convert_to_srgb(image.convert(image.mode[:-1]), profile)
    colour.putalpha(alpha)
    paper = Image.new("RGBA", image.size, (*BACKGROUND, 255))
    return Image.alpha_composite(paper, colour).convert("RGB")


def _convert_to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(
                image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            return image.convert("RGB")  # broken, or a profile for another colour mode
        if converted is not None:
            return converted
    return image.convert("RGB")


def find_faces(picture: npt.NDArray[np.uint8]) -> list[faces.Box]:
    """Return the faces of a picture, largest first, without those under half the largest's size."""
    detected = sorted(faces.find_portrait_faces(picture), key=lambda box: -box.size)
    return [box for box in detected if box.size >= _MIN_SECOND_SHARE * detected[0].size]


def _list_defects(detected: list[faces.Box], crop: Crop, size: int) -> list[str]:
    defects = []
    if not detected:
        sentence = "no face was found, so the middle of the picture is used"
        defects.append(tables.flaw("no_face", sentence))
    elif cuts_head(crop, detected[0]):
        sentence = "the picture ends too near the face, so that the head is not whole"
        defects.append(tables.flaw("head_cut", sentence))
    if len(detected) > 1:
        sides = " and ".join(str(round(box.size)) for box in detected)
        sentence = f"{len(detected)} faces of {sides} pixels were found, the largest is used"
        defects.append(tables.flaw("several_faces", sentence))
    if crop.side * _MAX_ENLARGEMENT < size:
        sentence = f"the square cut out is {crop.side} pixels wide, enlarged to {size}"
        defects.append(tables.flaw("small", f"{sentence}, more than fourfold"))
    return defects


def draw_contact_sheet(
    rows: Sequence[Mapping[str, Any]], path: Path, columns: int = 6, tile: int = 160
) -> None:
    """Write a PNG that shows the masters of ``tables.IMAGES`` rows in a grid.

    ``columns`` tiles of ``tile`` pixels per line, each with its name below; the bar under a tile is
    green (ok), amber (flawed) or red (failed). Raises ``ValueError`` for no rows.
    """
    if not rows:
        raise ValueError("no images to show")
    gap, label = max(4, tile // 20), max(14, tile // 8)
    line_count = math.ceil(len(rows) / columns)
    sheet_width = min(columns, len(rows)) * (tile + gap) + gap
    sheet = Image.new(
        "RGB", (sheet_width, line_count * (tile + gap + label) + gap), (250, 250, 250)
    )
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=max(9, tile // 13))
    for number, row in enumerate(rows):
        line, column = divmod(number, columns)
        x, y = gap + column * (tile + gap), gap + line * (tile + gap + label)
        if row.get("path"):
            with Image.open(row["path"]) as master:
                thumbnail = master.convert("RGB").resize((tile, tile), Image.Resampling.LANCZOS)
            sheet.paste(thumbnail, (x, y))
        else:
            draw.rectangle((x, y, x + tile - 1, y + tile - 1), fill=(225, 225, 225))
            word = str(row["detail"]).split(":", 1)[0]
            draw.text((x + tile / 2, y + tile / 2), word, (120, 40, 40), font, anchor="mm")
        draw.rectangle((x, y + tile, x + tile - 1, y + tile + 2), fill=_SIGNAL[row["status"]])
        middle = (x + tile / 2, y + tile + 3 + label / 2)
        draw.text(
            middle, _shorten_name(row["image_id"], font, tile), (40, 40, 40), font, anchor="mm"
        )
    with store.replacing(path) as temporary:
        sheet.save(temporary, "PNG", compress_level=6)


_SIGNAL = {tables.OK: (60, 150, 80), tables.FLAWED: (225, 160, 40), tables.FAILED: (200, 60, 50)}


def _shorten_name(text: str, font: Any, width: int) -> str:
    """The text, its middle left out where it is wider than ``width`` pixels."""
    shortened = text
    for keep in range(len(text) - 1, 1, -1):
        if font.getlength(shortened) <= width:
            break
        head = (keep + 1) // 2
        shortened = f"{text[:head]}…{text[len(text) - (keep - head) :]}"
    return shortened
