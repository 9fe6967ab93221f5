"""V-Express (2024): one picture and one sound to 512x512, the head still and the lips moving.

Source: tencent-ailab/V-Express at 6814f7db362dc9e26644162034b4d28c5277651a, inference.py.
Quirks: the default ``--kps_path`` is loaded even where it is not used, so that it is given empty;
./inference_v2.yaml and the weights are read from the current folder; the frames are cut to
24 + 20 k and stretched over the sound, so that the frame rate is near 29 and the length the
sound's; a sound below 0.8 s ends in an IndexError, and so does a picture without a face; a
failed muxing is silent (no file).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sfqa.generation.generator import Generator, Item, Run, formatted
from sfqa.options import Option, Options

VERSION = 1

OPTIONS: Options = {
    "num_inference_steps": Option(25, 1, 200, "denoising steps", whole=True),
    "guidance_scale": Option(3.5, 1, 20, "strength of classifier-free guidance"),
    "reference_attention_weight": Option(0.95, 0, 2, "weight of the picture, advised 0.9 to 1"),
    "audio_attention_weight": Option(3, 0, 10, "weight of the sound, advised 1 to 3"),
    "save_gpu_memory": Option(0, 0, 1, "1: less GPU memory, slower", whole=True),
}


class VExpress(Generator):
    """One run, one pair; the result lies where it was told to."""

    def command(self, run: Run) -> list[str]:
        """The official call for a picture and any sound (fix_face)."""
        item = run.items[0]
        arguments = [
            str(run.python), "inference.py",
            "--reference_image_path", str(item.image), "--audio_path", str(item.audio),
            "--output_path", str(item.output), "--retarget_strategy", "fix_face",
            "--kps_path", "",
            "--num_inference_steps", formatted(run.number("num_inference_steps")),
            "--seed", str(run.seed),
        ]  # fmt: skip
        for name in ("guidance_scale", "reference_attention_weight", "audio_attention_weight"):
            if run.number(name) != OPTIONS[name].default:
                arguments += [f"--{name}", formatted(run.number(name))]
        return arguments + (["--save_gpu_memory"] if run.number("save_gpu_memory") else [])

    def candidates(self, run: Run, item: Item) -> Sequence[Path]:
        """The output itself; ``-temp.mp4`` beside it is the silent one."""
        return [item.output] if item.output.is_file() else []


GENERATOR = VExpress()
