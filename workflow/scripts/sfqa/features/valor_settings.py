"""The file ``log/hps.json`` beside VALOR's released checkpoints: the options of its training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sfqa.errors import UserError
from sfqa.untrusted.documents import read_json

#: How the video encoder of each released model is called in the file.
_ENCODERS = {"base": "videoswin_base", "large": "clip_vit_large_14"}
_MODELS = {"base": "Video-Swin-B", "large": "CLIP ViT-L/14"}
#: What the extractor computes, whatever the file says: another number is another front end.
_FIXED: Mapping[str, Any] = {
    "video_resolution": 224, "audio_melbins": 64, "audio_patch_size": 16,
    "audio_target_length": 512, "audio_mean": -4.2677393, "audio_std": 4.5689974,
    "audio_frame_shift": 10, "contra_dim": 512, "contra_type": "fine",
}  # fmt: skip


def check_settings(path: Path, model: str) -> None:
    """Check that a released ``hps.json`` belongs to the option ``model``: base or large.

    Raises :class:`UserError` for a file that cannot be read, for another video encoder, for a
    text encoder of CLIP (whose projection this extractor does not have) and for another front end.
    """
    settings = _read_settings(path)
    encoder = str(settings.get("video_encoder_type"))
    fitting = [name for name, prefix in _ENCODERS.items() if encoder.startswith(prefix)]
    if not fitting:
        names = ", ".join(f"{prefix}... ({name})" for name, prefix in _ENCODERS.items())
        raise UserError(
            f"{path}: video_encoder_type is {encoder!r}, which valor does not have; give a "
            f"checkpoint of {names}"
        )
    if model not in fitting:
        raise UserError(
            f"{path}: video_encoder_type is {encoder!r}, a VALOR-{fitting[0]}, but the option "
            f"model of features.valor is {model!r} ({_MODELS[model]}); write model: {fitting[0]} "
            f"or give the files of VALOR-{model}"
        )
    text_encoder = str(settings.get("txt_encoder_type", "bert"))
    if text_encoder.startswith("clip") and settings.get("init_clip_head", True):
        raise UserError(
            f"{path}: txt_encoder_type is {text_encoder!r}, whose projection valor does not have; "
            "give a checkpoint with a BERT text encoder, as the released ones"
        )
    for key, value in _FIXED.items():
        if settings.get(key, value) != value:
            raise UserError(
                f"{path}: {key} is {settings[key]!r}, but valor computes {value!r}, as the "
                "released models; give the files of a released model"
            )


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        settings = read_json(path)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: cannot be read as JSON ({error}); give the file log/hps.json of the released "
            "folder"
        ) from error
    if not isinstance(settings, dict):
        raise UserError(f"{path}: is no JSON object; give log/hps.json of the released folder")
    return settings
