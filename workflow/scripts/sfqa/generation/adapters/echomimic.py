"""EchoMimic (2024): pairs to videos of 512x512 at 24 fps; it detects and crops the face itself.

Source: antgroup/echomimic at a53e97040398ddae5d26df0d2054a8f1e9f9df6d, infer_audio2vid.py.

- Results are written to ``output`` in the current folder, in a folder named by the minute.
- The silent video is beside the one with sound.
- The picture ends after 1200 frames and the sound is not cut to it, so it is cut here.
- One process takes a list of pairs and seeds each of them; one pair that fails ends the process.
- Only square sizes work.
"""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from sfqa.generation.generator import Generator, Item, OptionValue, Run, format_number
from sfqa.options import Option, Options

VERSION = 1

OPTIONS: Options = {
    "steps": Option(30, 1, 200, "denoising steps", whole=True),
    "cfg": Option(2.5, 1, 20, "strength of classifier-free guidance"),
}

_SIDE = 512
_FPS = 24
#: The script's default for -L.
_MAX_FRAMES = 1200
#: The sound may be longer than the picture by two frames, which is more than an AAC packet at
#: 16 kHz.
_SLACK_SEC = 2 / _FPS

_CONFIG = "animation.yaml"
_NETWORKS = """\
pretrained_base_model_path: "{checkpoints}/sd-image-variations-diffusers/"
pretrained_vae_path: "{checkpoints}/sd-vae-ft-mse/"
audio_model_path: "{checkpoints}/audio_processor/whisper_tiny.pt"
denoising_unet_path: "{checkpoints}/denoising_unet.pth"
reference_unet_path: "{checkpoints}/reference_unet.pth"
face_locator_path: "{checkpoints}/face_locator.pth"
motion_module_path: "{checkpoints}/motion_module.pth"
inference_config: "./configs/inference/inference_v2.yaml"
weight_dtype: 'fp16'
test_cases:
"""


class EchoMimic(Generator):
    """One process for a list of pairs; the results are in ``run.cwd / "output"``."""

    # A pair that fails ends the process: the other pairs are then tried again, alone.
    batch = 8
    private = ("output",)

    def predict_sec(self, seconds: float, options: Mapping[str, OptionValue]) -> float:
        """Return the length of the clip, at most 50 s.

        >>> [EchoMimic().predict_sec(s, {}) for s in (6.2, 60.0)]
        [6.2, 50.0]
        """
        return min(seconds, _MAX_FRAMES / _FPS)

    def prepare(self, run: Run) -> None:
        """Write the list of pairs, with the official paths of the weights."""
        # A string in JSON's quotes means the same in YAML.
        text = _NETWORKS.replace("{checkpoints}", json.dumps(str(run.checkpoints))[1:-1])
        cases: dict[str, list[str]] = {}
        for item in run.items:
            cases.setdefault(str(item.image), []).append(str(item.audio))
        for image, sounds in cases.items():
            text += f"  {json.dumps(image)}:\n"
            text += "".join(f"    - {json.dumps(sound)}\n" for sound in sounds)
        (run.work / _CONFIG).write_text(text, encoding="utf-8")

    def build_command(self, run: Run) -> list[str]:
        """Return the official call, with options only if they differ from its defaults."""
        arguments = [
            str(run.python), "-u", "infer_audio2vid.py", "--config", str(run.work / _CONFIG),
            "--seed", str(run.seed), "-W", str(_SIDE), "-H", str(_SIDE), "--device", "cuda",
        ]  # fmt: skip
        for name in ("steps", "cfg"):
            if run.number_option(name) != OPTIONS[name].default:
                arguments += [f"--{name}", format_number(run.number_option(name))]
        return arguments

    def list_candidates(self, run: Run, item: Item) -> Sequence[Path]:
        """Return videos with sound of this pair and seed, of any minute."""
        size = f"{_SIDE}x{_SIDE}"
        stem = f"{item.image.stem}_{item.audio.stem}_{size}_{int(run.number_option('cfg'))}_"
        pattern = f"*/*--seed_{run.seed}-{size}/{glob.escape(stem)}*_withaudio.mp4"
        name = re.compile(re.escape(stem) + r"\d{4}_withaudio\.mp4")
        paths = (run.cwd / "output").glob(pattern)
        return sorted(path for path in paths if name.fullmatch(path.name))

    def finish_video(self, run: Run, item: Item, raw: Path) -> tuple[Path, str]:
        """Cut the sound to the length of the picture; both are copied, not encoded again."""
        import ffmpeg

        from sfqa import media

        info = media.probe(raw)
        if not info.has_video or info.audio_duration_sec <= info.duration_sec + _SLACK_SEC:
            return raw, ""
        # ffmpeg would shorten a damaged video without an error, so its last frame is read first.
        count, _ = media.frame_times(raw)
        media.read_frames(raw, [max(0, count - 1)])
        source = ffmpeg.input(media.to_ffmpeg_path(raw))
        media.run_ffmpeg(
            ffmpeg.output(
                source.video, source.audio, str(item.output), c="copy", t=info.duration_sec,
                movflags="+faststart", fflags="+bitexact", map_metadata=-1,
            ),
            raw,
        )  # fmt: skip
        return item.output, ""


GENERATOR = EchoMimic()
