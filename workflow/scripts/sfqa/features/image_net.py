"""Image backbones of timm by name, their preprocessing, and published weights in other layouts."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from math import floor
from typing import Any

import timm
import torch
from PIL import Image
from timm.data.config import resolve_model_data_config

from sfqa.errors import UserError
from sfqa.features.frame_reader import Preprocessing, Square

_RESAMPLING = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}


def build_backbone(name: str) -> torch.nn.Module:
    """Return the model of a name with its classifier and random weights; nothing is downloaded."""
    network: torch.nn.Module = timm.create_model(name, pretrained=False)
    return network


def read_preprocessing(network: torch.nn.Module, name: str) -> Preprocessing:
    """Return timm's evaluation preprocessing of a model.

    Raises :class:`UserError` for a model that does not read a square of three channels, and for one
    that pads pictures.
    """
    config = resolve_model_data_config(network)
    channels, height, width = config["input_size"]
    if channels != 3 or height != width or config["crop_mode"] == "border":
        raise UserError(
            f"config, features.image.options.model: {name!r} reads {channels} x {height} x {width} "
            f"with crop mode {config['crop_mode']}; give a model that reads an RGB square"
        )
    square = Square(
        size=height,
        short_side=floor(height / config["crop_pct"]),
        resampling=_RESAMPLING[config["interpolation"]],
        squash=config["crop_mode"] == "squash",
    )
    return Preprocessing(square, tuple(config["mean"]), tuple(config["std"]))


def convert_state(state: dict[str, Any], network: torch.nn.Module) -> Mapping[str, Any]:
    """Return a state dict in timm's layout, by the converter of the model's own file in timm.

    A state dict that fits, or that the converter cannot read, is returned as it is; loading then
    names the keys that do not match.
    """
    if set(state) == set(network.state_dict()):
        return state
    convert = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return state
    try:
        converted: Mapping[str, Any] = convert(dict(state), network)
    except Exception:  # of a converter that expects other keys
        return state
    return converted
