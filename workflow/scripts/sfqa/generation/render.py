"""The frames of a procedural video, one by one, and its file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from sfqa import identity, media
from sfqa.generation.adapters import RenderJob
from sfqa.generation.anatomy import locate
from sfqa.generation.loudness import delayed, frame_rms, frozen, openness
from sfqa.generation.warp import Pixels, Pose, Puppet
from sfqa.options import Option, fill_defaults

Array = npt.NDArray[np.float64]

SAMPLE_RATE = 16000
#: Length in seconds of the stretches in which frozen lips stand still.
_FREEZE_SEC = 0.4


def render(job: RenderJob, known: Mapping[str, Option]) -> None:
    """Write ``job.output``: the portrait moved by the clip, with the defects of the options.

    Raises :class:`media.MediaError` where the image or the clip cannot be read.
    """
    options = {n: float(v) for n, v in fill_defaults(job.options, known).items()}
    sound = media.read_audio(job.clip, SAMPLE_RATE)
    rms = frame_rms(sound, SAMPLE_RATE, job.fps)
    cut = round(options["cut_end_sec"] * job.fps)
    count = max(2, len(rms) - cut)
    audio = job.clip if cut == 0 else _shortened(job, count / job.fps)
    poses = course(rms, job, options)[:count]
    pictures = frames(read_image(job.image), poses, job, options)
    media.write_video(job.output, pictures, job.fps, audio)


def read_image(path: Path) -> Pixels:
    """Return a picture as uint8 RGB (height, width, 3), for example a portrait's master."""
    # Not cv2.imread: OpenCV's PNG reader breaks once decord's zlib is in the process.
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError) as error:
        raise media.MediaError(f"{path}: cannot be read as a picture ({error})") from error


def _shortened(job: RenderJob, seconds: float) -> Path:
    rate = media.probe(job.clip).sample_rate
    path = job.work / "cut.wav"
    media.write_wave(path, media.read_audio(job.clip, rate)[: round(seconds * rate)], rate)
    return path


def course(rms: Array, job: RenderJob, options: Mapping[str, float]) -> list[Pose]:
    """Return the pose of every frame: mouth by loudness, blinks and sway by chance.

    ``rms``: shape (frames,), see :func:`frame_rms`.
    """
    natural = openness(rms)
    mouth = delayed(natural, round(options["lip_delay_frames"])) * options["lip_gain"]
    block = max(1, round(_FREEZE_SEC * job.fps))
    mouth = frozen(mouth, options["lip_freeze_share"], block, _random(job, "freeze"))
    lids = _blinks(len(rms), job.fps, _random(job, "blink")) * options["blink"]
    seconds = np.arange(len(rms)) / job.fps
    rng, sway = _random(job, "sway"), options["sway"]
    dx, dy, roll, zoom = (_wander(seconds, rng) for _ in range(4))
    # A louder voice lifts the head a little.
    lift = np.convolve(np.pad(natural, 4, mode="edge"), np.full(9, 1 / 9), mode="valid")
    return [
        Pose(
            mouth=float(mouth[n]),
            lids=float(lids[n]),
            dx=float(sway * 0.010 * dx[n]),
            dy=float(sway * (0.006 * dy[n] - 0.008 * lift[n])),
            roll_rad=float(sway * 0.020 * roll[n]),
            # Slightly enlarged, so that the reflected border stays out of sight.
            zoom=float(1 + sway * (0.022 + 0.006 * zoom[n])),
        )
        for n in range(len(rms))
    ]


def frames(
    image: Pixels, poses: list[Pose], job: RenderJob, options: Mapping[str, float]
) -> Iterator[Pixels]:
    """Yield the frames, uint8 RGB (size, size, 3), picture defects applied."""
    side = max(16, 2 * round(job.size * options["scale"] / 2))
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    puppet = Puppet(_pixels(small), locate(image))
    tints = _tints(len(poses), options["colour_drift"], job)
    grain = _Grain(job, options["noise_sigma"])
    held = _dropped(len(poses), options["drop_share"], _random(job, "drop"))
    frame = puppet.image
    for number, pose in enumerate(poses):
        if number not in held:
            frame = puppet.pose(pose)
            if side != job.size:
                frame = _pixels(
                    cv2.resize(frame, (job.size, job.size), interpolation=cv2.INTER_CUBIC)
                )
            if tints is not None:
                frame = _pixels(cv2.LUT(frame, tints[number]))
            if options["blur_sigma_px"] > 0:
                frame = _pixels(cv2.GaussianBlur(frame, (0, 0), options["blur_sigma_px"]))
            frame = grain.add(frame)
        yield frame


def _pixels(picture: npt.NDArray[Any]) -> Pixels:
    """What OpenCV's type hints leave open: 8 bits in, 8 bits out."""
    return np.asarray(picture, dtype=np.uint8)


def _random(job: RenderJob, what: str) -> np.random.Generator:
    """One stream for each purpose, so that one defect does not change the others' draws."""
    return identity.generator(job.seed, job.sample_id, what)


def _wander(seconds: Array, rng: np.random.Generator) -> Array:
    """A slow smooth course in about -1..1."""
    rates, phases = rng.uniform((0.10, 0.25, 0.5), (0.2, 0.45, 0.8)), rng.uniform(0, math.tau, 3)
    waves = np.sin(math.tau * rates[:, None] * seconds + phases[:, None])
    return np.asarray((np.array([0.55, 0.3, 0.15])[:, None] * waves).sum(axis=0))


def _blinks(count: int, fps: float, rng: np.random.Generator) -> Array:
    """Eyelids, 0 open to 1 shut: a blink of about 0.3 s every 2 to 5 seconds."""
    seconds, lids = np.arange(count) / fps, np.zeros(count)
    at = float(rng.uniform(0.6, 2.5))
    while count and at < seconds[-1]:
        course = np.where(seconds < at, (seconds - at + 0.10) / 0.10, (at + 0.24 - seconds) / 0.20)
        lids = np.maximum(lids, np.clip(course, 0, 1))
        at += float(rng.uniform(2.0, 5.0))
    return lids


def _dropped(count: int, share: float, rng: np.random.Generator) -> set[int]:
    """Numbers of the frames that repeat the one before; never the first."""
    return set((rng.permutation(max(0, count - 1)) + 1)[: round(share * (count - 1))].tolist())


def _tints(count: int, drift: float, job: RenderJob) -> list[Pixels] | None:
    """One table (1, 256, 3) for each frame: a colour cast that turns once round in 4 seconds."""
    if drift == 0:
        return None
    start = _random(job, "drift").uniform(0, math.tau)
    angle = start + math.tau * np.arange(count) / (4 * job.fps)
    channels = angle[:, None] + np.array([0, 1, 2]) * math.tau / 3
    gain = 1 + 0.5 * drift * np.sin(channels)
    tables = np.arange(256)[None, :, None] * gain[:, None, :]
    return [np.clip(np.round(t), 0, 255).astype(np.uint8)[None] for t in tables]


class _Grain:
    """Gaussian noise from a pool, shifted at random: as good to the eye as a fresh draw, faster."""

    _SPARE = 64

    def __init__(self, job: RenderJob, sigma: float) -> None:
        self.size, self.sigma, self.rng = job.size, sigma, _random(job, "noise")
        if sigma > 0:
            side = job.size + self._SPARE
            noise = self.rng.standard_normal((side, side, 3), np.float32) * np.float32(sigma)
            self.pool = np.round(noise).astype(np.int16)

    def add(self, frame: Pixels) -> Pixels:
        if self.sigma <= 0:
            return frame
        x, y = (int(v) for v in self.rng.integers(0, self._SPARE, 2))
        part = np.ascontiguousarray(self.pool[y : y + self.size, x : x + self.size])
        return _pixels(cv2.add(frame, part, dtype=cv2.CV_8U))
