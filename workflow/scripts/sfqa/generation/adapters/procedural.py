"""Animate a portrait by a clip's loudness, with defects of known strength.

This is not a generator of the literature. It needs no weights, so that every later stage can be run
and tested on videos of known quality (:mod:`sfqa.generation.known_quality`).
"""

from __future__ import annotations

from sfqa.generation.adapters import RenderJob
from sfqa.options import Option

VERSION = 1

OPTIONS = {
    "lip_delay_frames": Option(
        0, -25, 25, "delay of the lips behind the sound, in frames", whole=True
    ),
    "lip_gain": Option(1, 0, 1, "how far the lips open; 1 is natural"),
    "lip_freeze_share": Option(0, 0, 1, "share of the time in which the lips do not move"),
    "blur_sigma_px": Option(0, 0, 20, "Gaussian blur, standard deviation in output pixels"),
    "scale": Option(1, 0.1, 1, "resolution of the picture as a share of the output's"),
    "colour_drift": Option(0, 0, 1, "changing colour cast; 1 is half of a channel"),
    "noise_sigma": Option(0, 0, 60, "noise, standard deviation in 8-bit grey levels"),
    "drop_share": Option(0, 0, 0.9, "share of the frames that repeat the one before"),
    "cut_end_sec": Option(0, 0, 60, "seconds missing at the end"),
    "sway": Option(1, 0, 3, "movement of the head; 1 is natural; no defect"),
    "blink": Option(1, 0, 1, "how far the eyes close in a blink; no defect"),
}


def generate(job: RenderJob) -> None:
    """Write the portrait singing the clip; raises ``sfqa.media.MediaError`` for bad inputs."""
    from sfqa.generation import render

    render.render_video(job, OPTIONS)
