"""Hallo2 (ICLR 2025): one picture and one sound to 512x512 at 25 fps, made in pieces and merged.

Source: fudan-generative-vision/hallo2 at 58a9aa6c9f66817a6e084f3874cfc01ac24fed3e,
scripts/inference_long.py and configs/inference/long.yaml.
Quirks: only WAV is read; the configuration is the repository's own with paths changed, since the
rest belongs to the weights; pieces of an earlier run in the same folder are merged into the result,
so that each run has a folder of its own; the merged video sometimes has no sound (issues 21 and
22), which is then added here and said; the seed is fixed to 42 in the script.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from sfqa.errors import UserError
from sfqa.generation.generator import Generator, Item, Run
from sfqa.options import Choice, Option, Options
from sfqa.tables import flaw

VERSION = 1

OPTIONS: Options = {
    "inference_steps": Option(40, 1, 200, "denoising steps", whole=True),
    "cfg_scale": Option(3.5, 1, 20, "strength of classifier-free guidance"),
    "pose_weight": Option(1, 0, 5, "movement of the head, 1 is the official one"),
    "face_weight": Option(1, 0, 5, "movement of the face, 1 is the official one"),
    "lip_weight": Option(1, 0, 5, "movement of the lips, 1 is the official one"),
    "face_expand_ratio": Option(1.2, 0.5, 3, "size of the face region over the face found"),
    "weight_dtype": Choice("fp16", ("fp16", "bf16", "fp32"), "number format of the networks"),
}

_OFFICIAL = Path("configs/inference/long.yaml")
_CONFIG = "long.yaml"
_RESULT = "merge_video.mp4"
#: Options of an encoder that is not used where pictures are copied.
_PICTURE = ("crf", "preset", "pix_fmt", "flags:v")


class Hallo2(Generator):
    """One run, one pair; the result is ``merge_video.mp4`` in a folder named like the picture."""

    def prepare(self, run: Run) -> None:
        """Write the repository's configuration with this run's paths and options.

        Raises :class:`UserError` where the repository has no such file.
        """
        official = run.cwd / _OFFICIAL
        try:
            content = yaml.safe_load(official.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UserError(
                f"{official}: cannot be read as YAML ({type(error).__name__}); "
                "fetch the repository of Hallo2 again, at the commit of methods.yaml"
            ) from error
        if not isinstance(content, dict):
            raise UserError(f"{official}: holds no settings; fetch the repository of Hallo2 again")
        text = yaml.safe_dump(_merged(content, _changes(run)), sort_keys=False)
        (run.work / _CONFIG).write_text(text, encoding="utf-8")

    def command(self, run: Run) -> list[str]:
        """The official call; the options stand in the configuration."""
        item = run.items[0]
        return [
            str(run.python), "scripts/inference_long.py", "--config", str(run.work / _CONFIG),
            "--source_image", str(item.image), "--driving_audio", str(item.audio),
        ]  # fmt: skip

    def candidates(self, run: Run, item: Item) -> Sequence[Path]:
        """The merged video, none of its pieces (``seg_video``)."""
        path = run.work / item.image.stem / _RESULT
        return [path] if path.is_file() else []

    def finish(self, run: Run, item: Item, raw: Path) -> tuple[Path, str]:
        """Add the clip where the merged video has lost its sound; the pictures are copied."""
        import ffmpeg

        from sfqa import media

        if media.probe(raw).has_audio:
            return raw, ""
        # ffmpeg would copy a video that breaks off as far as it goes, and call that a success.
        count, _ = media.frame_times(raw)
        media.read_frames(raw, [max(0, count - 1)])
        kept = media.get_encoding_options(0, "medium").items()
        options = {name: value for name, value in kept if name not in _PICTURE}
        options |= {"vcodec": "copy", "shortest": None}
        streams = (
            ffmpeg.input(media.to_ffmpeg_path(raw)).video,
            ffmpeg.input(media.to_ffmpeg_path(item.audio)).audio,
        )
        media.run_ffmpeg(ffmpeg.output(*streams, str(item.output), **options), raw)
        return item.output, flaw("sound_added", f"{_RESULT} had no sound, so the clip was added")


def _changes(run: Run) -> dict[str, Any]:
    item, folder = run.items[0], run.checkpoints
    return {
        "source_image": str(item.image),
        "driving_audio": str(item.audio),
        "weight_dtype": run.text("weight_dtype"),
        "data": {
            "n_motion_frames": 2,
            "n_sample_frames": 16,
            "source_image": {"width": 512, "height": 512},
            "driving_audio": {"sample_rate": 16000},
            "export_video": {"fps": 25},
        },
        "inference_steps": int(run.number("inference_steps")),
        "cfg_scale": run.number("cfg_scale"),
        "use_mask": True,
        "mask_rate": 0.25,
        "use_cut": True,
        "audio_ckpt_dir": str(folder / "hallo2"),
        "save_path": f"{run.work}/",
        "cache_path": str(run.work / ".cache"),
        "base_model_path": str(folder / "stable-diffusion-v1-5"),
        "motion_module_path": str(folder / "motion_module" / "mm_sd_v15_v2.ckpt"),
        "face_analysis": {"model_path": str(folder / "face_analysis")},
        "wav2vec": {
            "model_path": str(folder / "wav2vec" / "wav2vec2-base-960h"),
            "features": "all",
        },
        "audio_separator": {"model_path": str(folder / "audio_separator" / "Kim_Vocal_2.onnx")},
        "vae": {"model_path": str(folder / "sd-vae-ft-mse")},
        **{
            name: run.number(name)
            for name in ("face_expand_ratio", "pose_weight", "face_weight", "lip_weight")
        },
    }


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The old settings with the new ones put in, at every depth."""
    result = dict(old)
    for key, value in new.items():
        below = result.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            value = _merged(below, value)
        result[key] = value
    return result


GENERATOR = Hallo2()
