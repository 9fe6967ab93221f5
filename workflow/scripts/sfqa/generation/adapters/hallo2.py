"""Hallo2 (ICLR 2025): a picture and a sound to a video of 512x512 at 25 fps, made in pieces.

Source: fudan-generative-vision/hallo2 at 58a9aa6c9f66817a6e084f3874cfc01ac24fed3e,
scripts/inference_long.py and configs/inference/long.yaml.

- Only WAV is read.
- The configuration is the repository's with changed paths, since its other keys belong to the
  weights.
- Pieces of an earlier run in the same folder are merged into the result, so each run has a folder
  of its own.
- The merged video sometimes has no sound (issues 21 and 22 of the repository). The sound is then
  added here and the row says so.
- The script fixes the seed to 42.
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
from sfqa.untrusted.documents import read_yaml

VERSION = 1

OPTIONS: Options = {
    "inference_steps": Option(40, 1, 200, "denoising steps", whole=True),
    "cfg_scale": Option(3.5, 1, 20, "strength of classifier-free guidance"),
    "pose_weight": Option(1, 0, 5, "strength of the head movement; official: 1"),
    "face_weight": Option(1, 0, 5, "strength of the facial movement; official: 1"),
    "lip_weight": Option(1, 0, 5, "strength of the lip movement; official: 1"),
    "face_expand_ratio": Option(
        1.2, 0.5, 3, "size of the face region relative to the detected face"
    ),
    "weight_dtype": Choice("fp16", ("fp16", "bf16", "fp32"), "number format of the networks"),
}

_OFFICIAL = Path("configs/inference/long.yaml")
_CONFIG = "long.yaml"
_RESULT = "merge_video.mp4"
#: Options of the video encoder, which is not used when the picture is copied.
_VIDEO_OPTIONS = ("crf", "preset", "pix_fmt", "flags:v")


class Hallo2(Generator):
    """One process per pair; the result is ``merge_video.mp4`` in a folder of its own."""

    def prepare(self, run: Run) -> None:
        """Write the repository's configuration with this run's paths and options.

        Raises :class:`UserError` if the repository has no such file.
        """
        official = run.cwd / _OFFICIAL
        try:
            content = read_yaml(official)
        except (OSError, UserError) as error:
            raise UserError(
                f"{official}: cannot be read as YAML ({type(error).__name__}); "
                "fetch the repository of Hallo2 again, at the commit of methods.yaml"
            ) from error
        if not isinstance(content, dict):
            raise UserError(f"{official}: holds no settings; fetch the repository of Hallo2 again")
        text = yaml.safe_dump(_merge_settings(content, _list_changes(run)), sort_keys=False)
        (run.work / _CONFIG).write_text(text, encoding="utf-8")

    def build_command(self, run: Run) -> list[str]:
        """Return the official call; the options are in the configuration."""
        item = run.items[0]
        return [
            str(run.python), "scripts/inference_long.py", "--config", str(run.work / _CONFIG),
            "--source_image", str(item.image), "--driving_audio", str(item.audio),
        ]  # fmt: skip

    def list_candidates(self, run: Run, item: Item) -> Sequence[Path]:
        """Return the merged video, without its pieces (``seg_video``)."""
        path = run.work / item.image.stem / _RESULT
        return [path] if path.is_file() else []

    def finish_video(self, run: Run, item: Item, raw: Path) -> tuple[Path, str]:
        """Add the clip if the merged video has no sound; the picture is copied."""
        import ffmpeg

        from sfqa import media

        if media.probe(raw).has_audio:
            return raw, ""
        # ffmpeg would copy a damaged video without an error, so its last frame is read first.
        count, _ = media.frame_times(raw)
        media.read_frames(raw, [max(0, count - 1)])
        encoding = media.get_encoding_options(0, "medium")
        options = {k: value for k, value in encoding.items() if k not in _VIDEO_OPTIONS}
        options |= {"vcodec": "copy", "shortest": None}
        streams = (
            ffmpeg.input(media.to_ffmpeg_path(raw)).video,
            ffmpeg.input(media.to_ffmpeg_path(item.audio)).audio,
        )
        media.run_ffmpeg(ffmpeg.output(*streams, str(item.output), **options), raw)
        return item.output, flaw("sound_added", f"{_RESULT} had no sound, so the clip was added")


def _list_changes(run: Run) -> dict[str, Any]:
    """Return the settings that this run changes in the repository's configuration."""
    item, folder = run.items[0], run.checkpoints
    return {
        "source_image": str(item.image),
        "driving_audio": str(item.audio),
        "weight_dtype": run.text_option("weight_dtype"),
        "data": {
            "n_motion_frames": 2,
            "n_sample_frames": 16,
            "source_image": {"width": 512, "height": 512},
            "driving_audio": {"sample_rate": 16000},
            "export_video": {"fps": 25},
        },
        "inference_steps": int(run.number_option("inference_steps")),
        "cfg_scale": run.number_option("cfg_scale"),
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
            name: run.number_option(name)
            for name in ("face_expand_ratio", "pose_weight", "face_weight", "lip_weight")
        },
    }


def _merge_settings(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the old settings, replaced by the new ones at every depth."""
    result = dict(old)
    for key, value in new.items():
        below = result.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            value = _merge_settings(below, value)
        result[key] = value
    return result


GENERATOR = Hallo2()
