"""EchoMimic (2024): pictures and sounds to 512x512 at 24 fps, the face found and cropped by itself.

Source: antgroup/echomimic at a53e97040398ddae5d26df0d2054a8f1e9f9df6d, infer_audio2vid.py.
Quirks: results lie below ``output`` in the current folder in a folder named by the minute; the
silent video lies beside the one with sound; the sound is not cut to the picture, which ends after
1200 frames, so that it is cut here; one list may hold many pairs, each seeded anew, but one pair
that fails ends the whole run; only square sizes work.
"""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from sfqa.generation.generator import Generator, Item, OptionValue, Run, formatted
from sfqa.options import Option, Options

VERSION = 1

OPTIONS: Options = {
    "steps": Option(30, 1, 200, "denoising steps", whole=True),
    "cfg": Option(2.5, 1, 20, "strength of classifier-free guidance"),
}

_SIDE = 512
_FPS = 24
#: The script's default for -L.
_MOST_FRAMES = 1200
#: Sound may outlast the picture by this: two frames, more than a packet of AAC at 16 kHz.
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
    """One run, a list of pairs; results lie below ``run.cwd / "output"``."""

    # One pair that fails costs its list a second, single, try.
    batch = 8
    private = ("output",)

    def expected_sec(self, seconds: float, options: Mapping[str, OptionValue]) -> float:
        """The whole clip, up to 50 s.

        >>> [EchoMimic().expected_sec(s, {}) for s in (6.2, 60.0)]
        [6.2, 50.0]
        """
        return min(seconds, _MOST_FRAMES / _FPS)

    def prepare(self, run: Run) -> None:
        """Write the list of pairs, with the official paths of the weights."""
        # What stands between JSON's quotes means the same between YAML's.
        text = _NETWORKS.replace("{checkpoints}", json.dumps(str(run.checkpoints))[1:-1])
        cases: dict[str, list[str]] = {}
        for item in run.items:
            cases.setdefault(str(item.image), []).append(str(item.audio))
        for image, sounds in cases.items():
            text += f"  {json.dumps(image)}:\n"
            text += "".join(f"    - {json.dumps(sound)}\n" for sound in sounds)
        (run.work / _CONFIG).write_text(text, encoding="utf-8")

    def command(self, run: Run) -> list[str]:
        """The official call; options only where they differ from the official defaults."""
        arguments = [
            str(run.python), "-u", "infer_audio2vid.py", "--config", str(run.work / _CONFIG),
            "--seed", str(run.seed), "-W", str(_SIDE), "-H", str(_SIDE), "--device", "cuda",
        ]  # fmt: skip
        for name in ("steps", "cfg"):
            if run.number(name) != OPTIONS[name].default:
                arguments += [f"--{name}", formatted(run.number(name))]
        return arguments

    def candidates(self, run: Run, item: Item) -> Sequence[Path]:
        """Videos with sound of this pair and seed, whatever the minute."""
        size = f"{_SIDE}x{_SIDE}"
        stem = f"{item.image.stem}_{item.audio.stem}_{size}_{int(run.number('cfg'))}_"
        pattern = f"*/*--seed_{run.seed}-{size}/{glob.escape(stem)}*_withaudio.mp4"
        name = re.compile(re.escape(stem) + r"\d{4}_withaudio\.mp4")
        found = (run.cwd / "output").glob(pattern)
        return sorted(path for path in found if name.fullmatch(path.name))

    def finish(self, run: Run, item: Item, raw: Path) -> tuple[Path, str]:
        """Cut sound that outlasts the picture; both are copied, not encoded anew."""
        import ffmpeg

        from sfqa import media

        found = media.probe(raw)
        if not found.has_video or found.audio_duration_sec <= found.duration_sec + _SLACK_SEC:
            return raw, ""
        # ffmpeg would cut a video that breaks off to what is left, and call that a success.
        count, _ = media.frame_times(raw)
        media.read_frames(raw, [max(0, count - 1)])
        source = ffmpeg.input(media.to_ffmpeg_path(raw))
        media.run_ffmpeg(
            ffmpeg.output(
                source.video, source.audio, str(item.output), c="copy", t=found.duration_sec,
                movflags="+faststart", fflags="+bitexact", map_metadata=-1,
            ),
            raw,
        )  # fmt: skip
        return item.output, ""


GENERATOR = EchoMimic()
