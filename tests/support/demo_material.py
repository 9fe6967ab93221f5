"""The demo's portraits and clips (resources/demo) for tests: arrays, small sheets, true places."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from sfqa import media

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "resources" / "demo"
#: Side in pixels of the portraits; only portrait06 is taller.
SIDE = 1024


class Face(NamedTuple):
    """Where a portrait's face is, in pixels of the file: points (x, y), the lips' line as a box."""

    nose: tuple[float, float]
    mouth: tuple[float, float]
    lips: tuple[float, float, float, float]


#: The places at which the portraits were drawn.
FACES = {
    1: Face((511.3, 516.1), (509.6, 642.8), (444.4, 636.0, 575.0, 645.0)),
    2: Face((510.7, 516.1), (507.3, 642.7), (455.2, 638.8, 559.4, 644.9)),
    3: Face((508.9, 516.0), (501.2, 642.5), (440.6, 634.0, 562.4, 645.5)),
    4: Face((514.6, 516.0), (521.3, 642.5), (472.1, 633.9, 569.9, 645.2)),
    5: Face((510.3, 516.1), (506.0, 642.7), (446.2, 635.0, 566.2, 645.2)),
    6: Face((514.8, 644.0), (521.9, 770.5), (475.3, 762.1, 567.8, 773.2)),
    7: Face((510.4, 516.1), (506.4, 642.7), (441.6, 636.5, 571.5, 645.1)),
    8: Face((512.0, 516.1), (512.1, 642.8), (452.6, 641.4, 571.5, 644.8)),
}
#: Start and end of the two phrases of each clip, in seconds, as they were composed.
PHRASES = {
    "pop_zh_01": ((0.5769, 3.4615), (4.0385, 10.6731)),
    "rock_en_02": ((0.7143, 3.8095), (4.5238, 10.2381)),
    "folk_zh_03": ((0.6522, 6.8478), (7.5000, 10.4348)),
    "classical_en_04": ((0.8696, 6.0870), (6.5217, 9.5652)),
    "rap_zh_05": ((0.8523, 6.3068), (6.8182, 10.0568)),
    "rnb_en_06": ((0.7895, 3.5526), (4.3421, 10.2632)),
}
CLIPS = tuple(PHRASES)


@cache
def _read_portrait(number: int) -> Image.Image:
    return Image.open(FOLDER / f"portrait{number:02d}.webp").convert("RGB")


def load_portrait(number: int, side: int = SIDE) -> np.ndarray:
    """Return portrait ``number`` (1 to 8), ``side`` pixels wide, as uint8 RGB (height, width, 3)."""
    picture = _read_portrait(number)
    if side != SIDE:
        height = round(picture.height * side / SIDE)
        picture = picture.resize((side, height), Image.Resampling.BOX)
    return np.array(picture)


def save_portrait(path: Path, number: int, side: int = SIDE) -> Path:
    """Write portrait ``number`` as a PNG, ``side`` pixels wide; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(load_portrait(number, side)).save(path)
    return path


def load_clip(clip_id: str, rate: int) -> np.ndarray:
    """Return a clip (:data:`CLIPS`) as float32 (n,) at ``rate`` hertz."""
    return media.read_audio(FOLDER / f"{clip_id}.flac", rate)


def change_speed(samples: np.ndarray, factor: float) -> np.ndarray:
    """Return the sound ``factor`` times as fast, and so as much higher in pitch."""
    positions = np.arange(0, len(samples) - 1, factor)
    return np.interp(positions, np.arange(len(samples)), samples).astype(np.float32)


def play_band(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Return held chords, a bass and drums as float64 (n,) of RMS 1: music without a voice."""
    rng = np.random.default_rng(seed)
    clock = np.arange(round(seconds * rate)) / rate
    beat = 0.55
    in_bar = clock % (4 * beat)
    held = np.minimum(1.0, in_bar / 0.05) * np.clip((4 * beat - in_bar) / 0.05, 0.0, 1.0)
    chords = np.array([(48, 52, 55), (45, 48, 52), (41, 45, 48), (43, 47, 50)])
    bar = (clock // (4 * beat)).astype(int) % len(chords)
    band = np.zeros(len(clock))
    for voice in range(3):
        hertz = 440.0 * 2.0 ** ((chords[bar, voice] - 69) / 12)
        for harmonic, level in ((1, 1.0), (2, 0.4), (3, 0.15)):
            band += level * held * np.sin(2 * np.pi * harmonic * hertz * clock)
    hertz = 440.0 * 2.0 ** ((chords[bar, 0] - 81) / 12)
    band += 1.2 * np.exp(-(clock % beat) / 0.35) * np.sin(2 * np.pi * hertz * clock)
    hiss = np.diff(rng.standard_normal(len(clock) + 1))
    band += 0.4 * hiss * np.exp(-(clock % (beat / 2)) / 0.02)
    return band / np.sqrt(np.mean(band**2))


def read_rows(kind: str) -> list[dict[str, str]]:
    """Return the rows of the demo's sheet of ``images`` or ``clips`` as they are written."""
    with open(FOLDER / f"{kind}.csv", encoding="utf-8", newline="") as sheet:
        return list(csv.DictReader(sheet))


def write_sheets(folder: Path, images: int, clips: int) -> dict[str, Any]:
    """Write ``images.csv`` and ``clips.csv`` with the first rows of the demo's sheets.

    The paths in them lead to ``folder / "resources/demo"``, the way the checkout has them. Returns
    the section ``materials`` of a configuration for a run in ``folder``.
    """
    for kind, count in (("images", images), ("clips", clips)):
        rows = read_rows(kind)[:count]
        with open(folder / f"{kind}.csv", "w", encoding="utf-8", newline="") as sheet:
            writer = csv.DictWriter(sheet, list(rows[0]))
            writer.writeheader()
            writer.writerows(row | {"path": f"resources/demo/{row['path']}"} for row in rows)
    return {"images": "images.csv", "clips": "clips.csv"}
