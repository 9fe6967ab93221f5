"""Stage the inputs of a generator: a picture and a sound in the formats that it reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from sfqa import media


def stage_image(source: Path, target: Path) -> None:
    """Write a picture as 8-bit RGB in the format of the target's suffix.

    Raises :class:`media.MediaError` if it cannot be read, ``OSError`` if it cannot be written.
    """
    try:
        with Image.open(source) as image:
            picture = image.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise media.MediaError(f"{source}: cannot be read as a picture ({error})") from error
    if target.suffix in (".jpg", ".jpeg"):
        picture.save(target, quality=98, subsampling=0)  # losses should be those of the generator
    else:
        picture.save(target)


def stage_sound(source: Path, target: Path, padded_sec: Callable[[float], float]) -> float:
    """Write a sound as 16-bit mono wave, padded with silence; return its length before padding.

    ``padded_sec`` returns the length to pad to, in seconds, given that of the sound; the sound is
    never cut. Raises :class:`media.MediaError` if it cannot be read, ``OSError`` if it cannot be
    written.
    """
    rate = media.probe(source).sample_rate
    if rate <= 0:
        raise media.MediaError(f"{source}: holds no sound")
    sound = media.read_audio(source, rate)
    seconds = len(sound) / rate
    missing = round(padded_sec(seconds) * rate) - len(sound)
    media.write_wave(target, np.pad(sound, (0, max(0, missing))), rate)
    return seconds
