"""FLOAT (ICCV 2025): one picture and one sound to 512x512 at 25 fps, by flow matching.

Source: deepbrainai-research/float at 97cfdd51f6fba43b465802116bc53cd02e4261d1, generate.py.
Quirks: the seed acts only with ``--fix_noise_seed``; the default ``--ckpt_path`` is a private
place; the silent video is made in the temporary folder and muxed by a shell line without quotes, so
that no path, the temporary folder's neither, may hold a space; where that line fails no file is
written and the exit code is 0; a picture without a face ends in an IndexError.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from sfqa.generation.generator import Generator, Item, OptionValue, Run, formatted
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
    "no_crop": Option(0, 0, 1, "1: the picture is taken whole", whole=True),
}

_FPS = 25


class Float(Generator):
    """One run, one pair; the result lies where it was told to."""

    def expected_sec(self, seconds: float, options: Mapping[str, OptionValue]) -> float:
        """Whole frames at 25 fps, rounded up.

        >>> Float().expected_sec(6.27, {})
        6.28
        """
        return math.ceil(seconds * _FPS - 1e-6) / _FPS

    def command(self, run: Run) -> list[str]:
        """The official call, the seed made to act; options beyond it where they differ."""
        item, folder = run.items[0], run.checkpoints
        arguments = [
            str(run.python), "generate.py",
            "--ref_path", str(item.image), "--aud_path", str(item.audio),
            "--res_video_path", str(item.output),
            "--seed", str(run.seed), "--fix_noise_seed",
            "--a_cfg_scale", formatted(run.number("a_cfg_scale")),
            "--e_cfg_scale", formatted(run.number("e_cfg_scale")),
            "--ckpt_path", str(folder / "float.pth"),
            "--wav2vec_model_path", str(folder / "wav2vec2-base-960h"),
            "--audio2emotion_path", str(folder / "wav2vec-english-speech-emotion-recognition"),
        ]  # fmt: skip
        if run.text("emo") != OPTIONS["emo"].default:
            arguments += ["--emo", run.text("emo")]
        if run.number("nfe") != OPTIONS["nfe"].default:
            arguments += ["--nfe", formatted(run.number("nfe"))]
        return arguments + (["--no_crop"] if run.number("no_crop") else [])

    def candidates(self, run: Run, item: Item) -> Sequence[Path]:
        """The output itself."""
        return [item.output] if item.output.is_file() else []


GENERATOR = Float()
