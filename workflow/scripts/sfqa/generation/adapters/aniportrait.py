"""AniPortrait (2024): pairs to videos of 512x512 at 30 fps; each result is a strip of three panels.

Source: Zejun-Yang/AniPortrait at 7f6593fd971c95b65f603c15ef8ce2c3fc7f5404, scripts/audio2vid.py.

- Without a fixed head pose, the script ends in an IndexError for a sound of at most 5 s, and for
  one whose number of frames (30 per second, rounded up) is a multiple of 150. Such sounds are
  padded with silence and the video is cut back.
- The result is a strip reference | landmarks | result of 1544x516; the third panel is cropped here.
- Results are written to ``output`` in the current folder, in a folder named by the minute.
- One process takes a list of pairs, and one picture without a face ends the whole process.
- The head pose is drawn without a seed, so two runs differ unless the pose is fixed.
"""

from __future__ import annotations

import glob
import math
import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from sfqa.generation.generator import Generator, Item, Run, format_number
from sfqa.options import Choice, Option, Options

VERSION = 1

OPTIONS: Options = {
    "steps": Option(25, 1, 200, "denoising steps", whole=True),
    "cfg": Option(3.5, 1, 20, "strength of classifier-free guidance"),
    "accelerate": Option(
        0, 0, 1, "1: only every third frame is generated, the others by FILM", whole=True
    ),
    "head_pose": Choice(
        "drawn", ("drawn", "fixed"), "movement of the head: drawn at random, or the repository's"
    ),
}

_SIDE = 512
#: torchvision's grid leaves 2 pixels around the panels and between them.
_GAP_PX = 2
_STRIP = (3 * _SIDE + 4 * _GAP_PX, _SIDE + 2 * _GAP_PX)
_CHUNK_SEC = 5.0
_FRAME_SEC = 1 / 30
#: Distance from the lengths that crash: more than a frame, as lengths are rounded to samples.
_EDGE_SEC = 0.05
#: Quality of the cropped copy: nearly lossless, because raters see the copy.
_CRF = 8

_POSE = "./configs/inference/head_pose_temp/pose_temp.npy"
_CONFIG = "animation_audio.yaml"


class AniPortrait(Generator):
    """One process for a list of pairs; the results are strips in ``run.cwd / "output"``."""

    # A picture without a face ends the process: the other pairs are then tried again, alone.
    batch = 8
    private = ("output",)

    def pad_sec(self, seconds: float) -> float:
        """Return the next length that does not crash.

        >>> [AniPortrait().pad_sec(s) for s in (3.0, 5.0, 6.2, 10.0)]
        [5.05, 5.05, 6.2, 10.05]
        """
        chunks = max(1, round(seconds / _CHUNK_SEC))
        low, high = chunks * _CHUNK_SEC - _FRAME_SEC - _EDGE_SEC, chunks * _CHUNK_SEC + _EDGE_SEC
        return high if seconds < _CHUNK_SEC or low < seconds < high else seconds

    def prepare(self, run: Run) -> None:
        """Write the list of pairs, with the official paths of the weights."""
        folder = run.checkpoints
        config: dict[str, object] = {
            "pretrained_base_model_path": str(folder / "stable-diffusion-v1-5"),
            "pretrained_vae_path": str(folder / "sd-vae-ft-mse"),
            "image_encoder_path": str(folder / "image_encoder"),
            "denoising_unet_path": str(folder / "denoising_unet.pth"),
            "reference_unet_path": str(folder / "reference_unet.pth"),
            "pose_guider_path": str(folder / "pose_guider.pth"),
            "motion_module_path": str(folder / "motion_module.pth"),
            "audio_inference_config": "./configs/inference/inference_audio.yaml",
            "inference_config": "./configs/inference/inference_v2.yaml",
            "weight_dtype": "fp16",
        }
        if run.text_option("head_pose") == "fixed":
            config["pose_temp"] = _POSE
        cases: dict[str, list[str]] = {}
        for item in run.items:
            cases.setdefault(str(item.image), []).append(str(item.audio))
        config["test_cases"] = cases
        text = yaml.safe_dump(config, sort_keys=False)
        (run.work / _CONFIG).write_text(text, encoding="utf-8")

    def build_command(self, run: Run) -> list[str]:
        """Return the official call, with options only if they differ from its defaults."""
        arguments = [
            str(run.python), "-m", "scripts.audio2vid", "--config", str(run.work / _CONFIG),
            "-W", str(_SIDE), "-H", str(_SIDE), "--seed", str(run.seed),
        ]  # fmt: skip
        for name in ("steps", "cfg"):
            if run.number_option(name) != OPTIONS[name].default:
                arguments += [f"--{name}", format_number(run.number_option(name))]
        return arguments + (["-acc"] if run.number_option("accelerate") else [])

    def list_candidates(self, run: Run, item: Item) -> Sequence[Path]:
        """Return strips of this pair and seed, without the silent ones (``_noaudio``)."""
        size = f"{_SIDE}x{_SIDE}"
        stem = f"{item.image.stem}_{item.audio.stem}_{size}_{int(run.number_option('cfg'))}_"
        pattern = f"*/*--seed_{run.seed}-{size}/{glob.escape(stem)}*.mp4"
        name = re.compile(re.escape(stem) + r"\d{4}\.mp4")
        paths = (run.cwd / "output").glob(pattern)
        return sorted(path for path in paths if name.fullmatch(path.name))

    def finish_video(self, run: Run, item: Item, raw: Path) -> tuple[Path, str]:
        """Crop the third panel and cut off the padding; the sound is copied."""
        import ffmpeg

        from sfqa import media

        info = media.probe(raw)
        if (info.width, info.height) != _STRIP:
            raise media.MediaError(
                f"{raw}: is {info.width}x{info.height}; a strip of three panels of {_SIDE} "
                f"is {_STRIP[0]}x{_STRIP[1]}"
            )
        # ffmpeg would shorten a damaged video without an error, so its last frame is read first.
        count, _ = media.frame_times(raw)
        media.read_frames(raw, [max(0, count - 1)])
        source = ffmpeg.input(media.to_ffmpeg_path(raw))
        left = _GAP_PX + 2 * (_SIDE + _GAP_PX)
        streams = [source.video.crop(left, _GAP_PX, _SIDE, _SIDE)]
        options = media.get_encoding_options(_CRF, "medium")
        if info.has_audio:
            streams.append(source.audio)
            del options["b:a"]
            options["acodec"] = "copy"
        length = math.ceil(item.seconds / _FRAME_SEC - 1e-6) * _FRAME_SEC
        media.run_ffmpeg(ffmpeg.output(*streams, str(item.output), t=length, **options), raw)
        return item.output, ""


GENERATOR = AniPortrait()
