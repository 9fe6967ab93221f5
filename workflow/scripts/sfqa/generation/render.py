"""Render a procedural video: its frames, one by one, and its file."""

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
from sfqa.arrays import Floats
from sfqa.generation.adapters import RenderJob
from sfqa.generation.anatomy import locate_face
from sfqa.generation.mouth_opening import (
    delay_frames,
    estimate_opening,
    freeze_blocks,
    measure_frame_rms,
)
from sfqa.generation.warp import Pixels, Pose, Puppet
from sfqa.options import Option, fill_defaults

SAMPLE_RATE = 16000
#: Length in seconds of the blocks in which frozen lips stand still.
_FREEZE_SEC = 0.4


def render_video(job: RenderJob, declared: Mapping[str, Option]) -> None:
    """Write ``job.output``: the portrait moved by the clip, with the defects of the options.

    ``declared`` are the options of the adapter. Raises :class:`media.MediaError` if the image or
    the clip cannot be read.
    """
    options = {n: float(v) for n, v in fill_defaults(job.options, declared).items()}
    sound = media.read_audio(job.clip, SAMPLE_RATE)
    rms = measure_frame_rms(sound, SAMPLE_RATE, job.fps)
    cut = round(options["cut_end_sec"] * job.fps)
    count = max(2, len(rms) - cut)
    audio = job.clip if cut == 0 else _write_cut_sound(job, count / job.fps)
    poses = plan_poses(rms, job, options)[:count]
    frames = render_frames(read_image(job.image), poses, job, options)
    media.write_video(job.output, frames, job.fps, audio)


def read_image(path: Path) -> Pixels:
    """Return a picture as uint8 RGB (height, width, 3), for example a portrait's master."""
    # Not cv2.imread: OpenCV's PNG reader breaks once decord's zlib is in the process.
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError) as error:
        raise media.MediaError(f"{path}: cannot be read as a picture ({error})") from error


def _write_cut_sound(job: RenderJob, seconds: float) -> Path:
    rate = media.probe(job.clip).sample_rate
    path = job.work / "cut.wav"
    media.write_wave(path, media.read_audio(job.clip, rate)[: round(seconds * rate)], rate)
    return path


def plan_poses(rms: Floats, job: RenderJob, options: Mapping[str, float]) -> list[Pose]:
    """Return the pose of every frame: the mouth follows the loudness, blinks and sway are random.

    ``rms``: shape (frames,), see :func:`sfqa.generation.mouth_opening.measure_frame_rms`.
    """
    natural = estimate_opening(rms)
    mouth = delay_frames(natural, round(options["lip_delay_frames"])) * options["lip_gain"]
    block = max(1, round(_FREEZE_SEC * job.fps))
    rng = _random_stream(job, "freeze")
    mouth = freeze_blocks(mouth, options["lip_freeze_share"], block, rng)
    lids = _draw_blinks(len(rms), job.fps, _random_stream(job, "blink")) * options["blink"]
    seconds = np.arange(len(rms)) / job.fps
    rng, sway = _random_stream(job, "sway"), options["sway"]
    dx, dy, roll, zoom = (_draw_motion(seconds, rng) for _ in range(4))
    # A louder voice lifts the head a little.
    lift = np.convolve(np.pad(natural, 4, mode="edge"), np.full(9, 1 / 9), mode="valid")
    return [
        Pose(
            mouth=float(mouth[n]),
            lids=float(lids[n]),
            dx=float(sway * 0.010 * dx[n]),
            dy=float(sway * (0.006 * dy[n] - 0.008 * lift[n])),
            roll_rad=float(sway * 0.020 * roll[n]),
            # Slightly enlarged, so that the reflected border stays outside the frame.
            zoom=float(1 + sway * (0.022 + 0.006 * zoom[n])),
        )
        for n in range(len(rms))
    ]


def render_frames(
    image: Pixels, poses: list[Pose], job: RenderJob, options: Mapping[str, float]
) -> Iterator[Pixels]:
    """Yield the frames with their defects, uint8 RGB of shape (size, size, 3)."""
    side = max(16, 2 * round(job.size * options["scale"] / 2))
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    puppet = Puppet(_as_pixels(small), locate_face(image))
    tints = _make_tint_tables(len(poses), options["colour_drift"], job)
    noise = _NoisePool(job, options["noise_sigma"])
    dropped = _draw_dropped(len(poses), options["drop_share"], _random_stream(job, "drop"))
    frame = puppet.image
    for number, pose in enumerate(poses):
        if number not in dropped:
            frame = puppet.apply_pose(pose)
            if side != job.size:
                frame = _as_pixels(
                    cv2.resize(frame, (job.size, job.size), interpolation=cv2.INTER_CUBIC)
                )
            if tints is not None:
                frame = _as_pixels(cv2.LUT(frame, tints[number]))
            if options["blur_sigma_px"] > 0:
                frame = _as_pixels(cv2.GaussianBlur(frame, (0, 0), options["blur_sigma_px"]))
            frame = noise.add_noise(frame)
        yield frame


def _as_pixels(picture: npt.NDArray[Any]) -> Pixels:
    """Return a picture of OpenCV with the type that its hints leave open: 8 bits in, 8 bits out."""
    return np.asarray(picture, dtype=np.uint8)


def _random_stream(job: RenderJob, purpose: str) -> np.random.Generator:
    """Return the random numbers of one purpose, so that one defect does not change another."""
    return identity.random_generator(job.seed, job.sample_id, purpose)


def _draw_motion(seconds: Floats, rng: np.random.Generator) -> Floats:
    """Return a slow, smooth motion in about -1..1 at each time."""
    rates, phases = rng.uniform((0.10, 0.25, 0.5), (0.2, 0.45, 0.8)), rng.uniform(0, math.tau, 3)
    waves = np.sin(math.tau * rates[:, None] * seconds + phases[:, None])
    return np.asarray((np.array([0.55, 0.3, 0.15])[:, None] * waves).sum(axis=0))


def _draw_blinks(count: int, fps: float, rng: np.random.Generator) -> Floats:
    """Return the eyelids of each frame, 0 open to 1 shut: a blink of 0.3 s every 2 to 5 seconds."""
    seconds, lids = np.arange(count) / fps, np.zeros(count)
    start = float(rng.uniform(0.6, 2.5))
    while count and start < seconds[-1]:
        closing, opening = (seconds - start + 0.10) / 0.10, (start + 0.24 - seconds) / 0.20
        blink = np.where(seconds < start, closing, opening)
        lids = np.maximum(lids, np.clip(blink, 0, 1))
        start += float(rng.uniform(2.0, 5.0))
    return lids


def _draw_dropped(count: int, share: float, rng: np.random.Generator) -> set[int]:
    """Return the numbers of the frames that repeat the one before; never the first."""
    return set((rng.permutation(max(0, count - 1)) + 1)[: round(share * (count - 1))].tolist())


def _make_tint_tables(count: int, drift: float, job: RenderJob) -> list[Pixels] | None:
    """Return a table (1, 256, 3) for each frame: a colour cast that turns around in 4 seconds."""
    if drift == 0:
        return None
    start = _random_stream(job, "drift").uniform(0, math.tau)
    angle = start + math.tau * np.arange(count) / (4 * job.fps)
    channels = angle[:, None] + np.array([0, 1, 2]) * math.tau / 3
    gain = 1 + 0.5 * drift * np.sin(channels)
    tables = np.arange(256)[None, :, None] * gain[:, None, :]
    return [np.clip(np.round(t), 0, 255).astype(np.uint8)[None] for t in tables]


class _NoisePool:
    """Gaussian noise, drawn once and shifted at random for each frame, which is faster."""

    _SPARE_PX = 64

    def __init__(self, job: RenderJob, sigma: float) -> None:
        self.size, self.sigma, self.rng = job.size, sigma, _random_stream(job, "noise")
        if sigma > 0:
            side = job.size + self._SPARE_PX
            noise = self.rng.standard_normal((side, side, 3), np.float32) * np.float32(sigma)
            self.pool = np.round(noise).astype(np.int16)

    def add_noise(self, frame: Pixels) -> Pixels:
        """Return the frame with noise added."""
        if self.sigma <= 0:
            return frame
        x, y = (int(v) for v in self.rng.integers(0, self._SPARE_PX, 2))
        part = np.ascontiguousarray(self.pool[y : y + self.size, x : x + self.size])
        return _as_pixels(cv2.add(frame, part, dtype=cv2.CV_8U))
