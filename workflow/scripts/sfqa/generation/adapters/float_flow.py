"""FLOAT (ICCV 2025): a picture and a sound to a video of 512x512 at 25 fps, by flow matching.

Source: deepbrainai-research/float at 97cfdd51f6fba43b465802116bc53cd02e4261d1, generate.py.

- The seed has an effect only with ``--fix_noise_seed``.
- The default ``--ckpt_path`` is a path on the authors' machine.
- The silent video is made in the temporary folder and muxed by a shell command without quotes, so
  that no path may hold a space, not even that of the temporary folder. If that command fails, no
  file is written and the exit code is 0.
- A picture without a face ends in an IndexError.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from sfqa.generation.generator import Generator, Item, OptionValue, Run, format_number
from sfqa.options import Choice, Option, Options

VERSION = 1

OPTIONS: Options = {
    "a_cfg_scale": Option(2, 0, 20, "weight of the sound"),
    "e_cfg_scale": Option(1, 0, 20, "strength of the emotion; 5 to 10 is strong"),
    "emo": Choice(
        "none",
        ("none", "angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"),
        "emotion of the face; none: as heard in the sound",
    ),
    "nfe": Option(10, 1, 200, "steps of the flow", whole=True),
    "no_crop": Option(0, 0, 1, "1: the picture is not cropped", whole=True),
}

_FPS = 25


class Float(Generator):
    """One process per pair; it writes the requested output file."""

    def predict_sec(self, seconds: float, options: Mapping[str, OptionValue]) -> float:
        """Return the length in whole frames at 25 fps, rounded up.

        >>> Float().predict_sec(6.27, {})
        6.28
        """
        return math.ceil(seconds * _FPS - 1e-6) / _FPS

    def build_command(self, run: Run) -> list[str]:
        """Return the official call with a working seed, and other options if they differ."""
        item, folder = run.items[0], run.checkpoints
        arguments = [
            str(run.python), "generate.py",
            "--ref_path", str(item.image), "--aud_path", str(item.audio),
            "--res_video_path", str(item.output),
            "--seed", str(run.seed), "--fix_noise_seed",
            "--a_cfg_scale", format_number(run.number_option("a_cfg_scale")),
            "--e_cfg_scale", format_number(run.number_option("e_cfg_scale")),
            "--ckpt_path", str(folder / "float.pth"),
            "--wav2vec_model_path", str(folder / "wav2vec2-base-960h"),
            "--audio2emotion_path", str(folder / "wav2vec-english-speech-emotion-recognition"),
        ]  # fmt: skip
        if run.text_option("emo") != OPTIONS["emo"].default:
            arguments += ["--emo", run.text_option("emo")]
        if run.number_option("nfe") != OPTIONS["nfe"].default:
            arguments += ["--nfe", format_number(run.number_option("nfe"))]
        return arguments + (["--no_crop"] if run.number_option("no_crop") else [])

    def list_candidates(self, run: Run, item: Item) -> Sequence[Path]:
        """Return the output."""
        return [item.output] if item.output.is_file() else []


GENERATOR = Float()
