"""The quality of a procedural method's videos, known from its options and not from a metric."""

from __future__ import annotations

import math
from collections.abc import Mapping

from sfqa.errors import UserError
from sfqa.generation.adapters.procedural import OPTIONS
from sfqa.generation.registry import Method
from sfqa.options import fill_defaults

VISUAL = "visual_quality"
CONSISTENCY = "audio_visual_consistency"

#: Size of a defect at which a dimension falls to 1/e, chosen by hand so that the demo methods
#: spread over the whole scale. Lips: ITU-R BT.1359 puts the limit of acceptance at 0.1 to 0.2 s.
_FALL_SIZES: dict[str, dict[str, float]] = {
    VISUAL: {
        "blur_sigma_px": 2.0,
        "scale": 1.0,
        "colour_drift": 0.35,
        "noise_sigma": 18.0,
        "drop_share": 0.9,
        "cut_end_sec": 8.0,
        "lip_freeze_share": 6.0,
    },
    CONSISTENCY: {
        "lip_delay_frames": 5.0,
        "lip_gain": 1.2,
        "lip_freeze_share": 0.9,
        "drop_share": 1.8,
        "cut_end_sec": 4.0,
        "blur_sigma_px": 16.0,
    },
}


def get_known_quality(method: Method) -> dict[str, float]:
    """Return the known quality of a procedural method in the two dimensions.

    The keys are ``visual_quality`` and ``audio_visual_consistency``, the values are from 0 to 1
    (no defect). Each value is exp(-sum of |option - neutral| / fall size), so that more of a defect
    is never better. Sway and blinks are no defects. Raises :class:`UserError` for a method that is
    not procedural, because its quality is not known.
    """
    if method.kind != "procedural":
        raise UserError(
            f"method {method.label}: its quality is not known, because its kind is "
            f"{method.kind}; only procedural methods can have simulated raters"
        )
    return compute_quality(method.options)


def compute_quality(options: Mapping[str, float | str]) -> dict[str, float]:
    """Return the quality that options give; the formula is in :func:`get_known_quality`.

    >>> compute_quality({})
    {'visual_quality': 1.0, 'audio_visual_consistency': 1.0}
    """
    values = fill_defaults(options, OPTIONS)
    return {
        dimension: math.exp(
            -sum(abs(values[name] - OPTIONS[name].default) / fall for name, fall in falls.items())
        )
        for dimension, falls in _FALL_SIZES.items()
    }
