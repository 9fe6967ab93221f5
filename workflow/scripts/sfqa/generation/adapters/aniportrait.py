"""AniPortrait (2024): pictures and sounds to 512x512 at 30 fps, each the third panel of a strip.

Source: Zejun-Yang/AniPortrait at 7f6593fd971c95b65f603c15ef8ce2c3fc7f5404, scripts/audio2vid.py.
Quirks: without a fixed head pose, a sound of at most 5 s, or of frames (30 a second, rounded up)
that are a multiple of 150, ends in an IndexError, so that such sounds are padded with silence and
the video is cut back; the result is a strip reference | landmarks | result of 1544x516, cropped
here; results lie below ``output`` in the current folder in a folder named by the minute; one list
may hold many pairs, but one picture without a face ends the whole run; the head pose is drawn
unseeded, so that two runs differ unless it is fixed.
"""

from __future__ import annotations

import glob
import math
import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from sfqa.generation.generator import Generator, Item, Run, formatted
from sfqa.options import Choice, Option, Options

VERSION = 1

OPTIONS: Options = {
    "steps": Option(25, 1, 200, "denoising steps", whole=True),
    "cfg": Option(3.5, 1, 20, "strength of classifier-free guidance"),
    "accelerate": Option(0, 0, 1, "1: every third frame, the rest by FILM", whole=True),
    "head_pose": Choice(
        "drawn", ("drawn", "fixed"), "movement of the head: drawn anew, or the repository's own"
    ),
}

_SIDE = 512
#: torchvision's grid leaves 2 pixels around and between the three panels.
_GAP = 2
_STRIP = (3 * _SIDE + 4 * _GAP, _SIDE + 2 * _GAP)
_CHUNK_SEC = 5.0
_FRAME_SEC = 1 / 30
#: Kept from the lengths that crash, for rounding to samples on the way: more than a frame.
_EDGE_SEC = 0.05
#: Quality of the cropped copy: near lossless, since the copy is what is judged.
_CRF = 8

_POSE = "./configs/inference/head_pose_temp/pose_temp.npy"
_CONFIG = "animation_audio.yaml"


class AniPortrait(Generator):
    """One run, a list of pairs; each result is a strip below ``run.cwd / "output"``."""

    # One faceless picture costs its list a second, single, try.
    batch = 8
    private = ("output",)

    def staged_sec(self, seconds: float) -> float:
        """The next length that does not crash.

        >>> [AniPortrait().staged_sec(s) for s in (3.0, 5.0, 6.2, 10.0)]
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
        if run.text("head_pose") == "fixed":
            config["pose_temp"] = _POSE
        cases: dict[str, list[str]] = {}
        for item in run.items:
            cases.setdefault(str(item.image), []).append(str(item.audio))
        config["test_cases"] = cases
        text = yaml.safe_dump(config, sort_keys=False)
        (run.work / _CONFIG).write_text(text, encoding="utf-8")

    def command(self, run: Run) -> list[str]:
        """The official call; options only where they differ from the official defaults."""
        arguments = [
            str(run.python), "-m", "scripts.audio2vid", "--config", str(run.work / _CONFIG),
            "-W", str(_SIDE), "-H", str(_SIDE), "--seed", str(run.seed),
        ]  # fmt: skip
        for name in ("steps", "cfg"):
            if run.number(name) != OPTIONS[name].default:
                arguments += [f"--{name}", formatted(run.number(name))]
        return arguments + (["-acc"] if run.number("accelerate") else [])

    def candidates(self, run: Run, item: Item) -> Sequence[Path]:
        """Strips of this pair and seed; not the silent ones (``_noaudio``)."""
        size = f"{_SIDE}x{_SIDE}"
        stem = f"{item.image.stem}_{item.audio.stem}_{size}_{int(run.number('cfg'))}_"
        pattern = f"*/*--seed_{run.seed}-{size}/{glob.escape(stem)}*.mp4"
        name = re.compile(re.escape(stem) + r"\d{4}\.mp4")
        found = (run.cwd / "output").glob(pattern)
        return sorted(path for path in found if name.fullmatch(path.name))

    def finish(self, run: Run, item: Item, raw: Path) -> tuple[Path, str]:
        """Crop the third panel and cut off what was made of the padding; the sound is copied."""
        import ffmpeg

        from sfqa import media

        found = media.probe(raw)
        if (found.width, found.height) != _STRIP:
            raise media.MediaError(
                f"{raw}: is {found.width}x{found.height}; a strip of three panels of {_SIDE} "
                f"is {_STRIP[0]}x{_STRIP[1]}"
            )
        # ffmpeg would cut a video that breaks off to what is left, and call that a success.
        count, _ = media.frame_times(raw)
        media.read_frames(raw, [max(0, count - 1)])
        source = ffmpeg.input(media.to_ffmpeg_path(raw))
        left = _GAP + 2 * (_SIDE + _GAP)
        streams = [source.video.crop(left, _GAP, _SIDE, _SIDE)]
        options = media.get_encoding_options(_CRF, "medium")
        if found.has_audio:
            streams.append(source.audio)
            del options["b:a"]
            options["acodec"] = "copy"
        length = math.ceil(item.seconds / _FRAME_SEC - 1e-6) * _FRAME_SEC
        media.run_ffmpeg(ffmpeg.output(*streams, str(item.output), t=length, **options), raw)
        return item.output, ""


GENERATOR = AniPortrait()
