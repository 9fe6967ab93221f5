"""V-Express (2024): a picture and a sound to a video of 512x512 with a still head and moving lips.

Source: tencent-ailab/V-Express at 6814f7db362dc9e26644162034b4d28c5277651a, inference.py.

- The file of the default ``--kps_path`` is loaded even if it is not used, so the option is empty.
- ./inference_v2.yaml and the weights are read from the current folder.
- The frames are cut to 24 + 20 k and stretched over the sound, so that the frame rate is about 29
  and the length is that of the sound.
- A sound below 0.8 s and a picture without a face end in an IndexError.
- A failed mux gives no file and no error.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sfqa.generation.generator import Generator, Item, Run, format_number
from sfqa.options import Option, Options

VERSION = 1

OPTIONS: Options = {
    "num_inference_steps": Option(25, 1, 200, "denoising steps", whole=True),
    "guidance_scale": Option(3.5, 1, 20, "strength of classifier-free guidance"),
    "reference_attention_weight": Option(0.95, 0, 2, "weight of the picture; 0.9 to 1 is advised"),
    "audio_attention_weight": Option(3, 0, 10, "weight of the sound; 1 to 3 is advised"),
    "save_gpu_memory": Option(0, 0, 1, "1: less GPU memory, slower", whole=True),
}


class VExpress(Generator):
    """One process per pair; it writes the requested output file."""

    def build_command(self, run: Run) -> list[str]:
        """Return the official call for a picture and any sound (fix_face)."""
        item = run.items[0]
        arguments = [
            str(run.python), "inference.py",
            "--reference_image_path", str(item.image), "--audio_path", str(item.audio),
            "--output_path", str(item.output), "--retarget_strategy", "fix_face",
            "--kps_path", "",
            "--num_inference_steps", format_number(run.number_option("num_inference_steps")),
            "--seed", str(run.seed),
        ]  # fmt: skip
        for name in ("guidance_scale", "reference_attention_weight", "audio_attention_weight"):
            if run.number_option(name) != OPTIONS[name].default:
                arguments += [f"--{name}", format_number(run.number_option(name))]
        return arguments + (["--save_gpu_memory"] if run.number_option("save_gpu_memory") else [])

    def list_candidates(self, run: Run, item: Item) -> Sequence[Path]:
        """Return the output, without the silent ``-temp.mp4`` beside it."""
        return [item.output] if item.output.is_file() else []


GENERATOR = VExpress()
