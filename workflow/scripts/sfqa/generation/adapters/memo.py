"""MEMO (2024): a picture and a sound to a video of 512x512 at 30 fps, with memory and emotion.

Source: memoavatar/memo at a5aee30120d7d2fc4e0831ca61cebdbce595324b, inference.py.

- The script does nothing and exits with code 0 if its output exists, so each run has a folder of
  its own.
- The output is named after the inputs' names up to their first dots.
- A sound that is not WAV can be cut short.
- Without a face the script continues with a warning.
- The emotion classifier is read from the hub's cache whatever path is given, so it must have been
  fetched there before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from sfqa.generation.generator import Generator, Item, Run
from sfqa.options import Choice, Option, Options

VERSION = 1

OPTIONS: Options = {
    "inference_steps": Option(20, 1, 200, "denoising steps", whole=True),
    "cfg_scale": Option(3.5, 1, 20, "strength of classifier-free guidance"),
    "weight_dtype": Choice("bf16", ("bf16", "fp16", "fp32"), "number format of the networks"),
}

_CONFIG = "inference.yaml"


class Memo(Generator):
    """One process per pair; the result is named after both inputs."""

    def prepare(self, run: Run) -> None:
        """Write the configuration, with the official paths of the weights."""
        folder = run.checkpoints
        config = {
            "resolution": 512,
            "num_generated_frames_per_clip": 16,
            "fps": 30,
            "num_init_past_frames": 16,
            "num_past_frames": 16,
            "inference_steps": int(run.number_option("inference_steps")),
            "cfg_scale": run.number_option("cfg_scale"),
            "weight_dtype": run.text_option("weight_dtype"),
            "enable_xformers_memory_efficient_attention": True,
            "model_name_or_path": str(folder / "memo"),
            "vae": str(folder / "sd-vae-ft-mse"),
            "wav2vec": str(folder / "wav2vec2-base-960h"),
            "emotion2vec": str(folder / "emotion2vec_plus_large"),
            "misc_model_dir": str(folder),
        }
        text = yaml.safe_dump(config, sort_keys=False)
        (run.work / _CONFIG).write_text(text, encoding="utf-8")

    def build_command(self, run: Run) -> list[str]:
        """Return the official call; the options are in the configuration."""
        item = run.items[0]
        return [
            str(run.python), "inference.py", "--config", str(run.work / _CONFIG),
            "--input_image", str(item.image), "--input_audio", str(item.audio),
            "--output_dir", str(run.work), "--seed", str(run.seed),
        ]  # fmt: skip

    def list_candidates(self, run: Run, item: Item) -> Sequence[Path]:
        """Return the video named after both inputs up to their first dots."""
        path = run.work / f"{_name_until_dot(item.image)}_{_name_until_dot(item.audio)}.mp4"
        return [path] if path.is_file() else []


def _name_until_dot(path: Path) -> str:
    return path.name.split(".")[0]


GENERATOR = Memo()
