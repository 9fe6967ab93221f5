"""How good a procedural method's videos are, known from its options and not from any metric."""

from __future__ import annotations

import math
from collections.abc import Mapping

from sfqa.errors import UserError
from sfqa.generation.adapters.procedural import OPTIONS
from sfqa.generation.registry import Method
from sfqa.options import fill_defaults

VISUAL = "visual_quality"
CONSISTENCY = "audio_visual_consistency"

#: Size of a defect at which one dimension falls to 1/e: chosen by hand, so that the demo methods
#: spread over the whole scale. Lips: ITU-R BT.1359 puts the limit of acceptance near 0.1 to 0.2 s.
_FALL: dict[str, dict[str, float]] = {
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


def truth(method: Method) -> dict[str, float]:
    """Return the known quality of a procedural method in the two dimensions.

    Keys ``visual_quality`` and ``audio_visual_consistency``, values in 0..1, 1 = no defect. Each
    is exp(-sum of |option - neutral| / fall), so that more of any defect is never better. Sway and
    blinks are looks, no defects. Raises :class:`UserError` for methods that are not procedural,
    since nothing is known of them.
    """
    if method.kind != "procedural":
        raise UserError(
            f"method {method.label}: its quality is not known, being of kind {method.kind}; "
            "only procedural methods can have simulated raters"
        )
    return quality(method.options)


def quality(options: Mapping[str, float | str]) -> dict[str, float]:
    """Return :func:`truth` for options alone.

    >>> quality({})
    {'visual_quality': 1.0, 'audio_visual_consistency': 1.0}
    """
    full = fill_defaults(options, OPTIONS)
    return {
        dimension: math.exp(
            -sum(abs(full[name] - OPTIONS[name].default) / fall for name, fall in falls.items())
        )
        for dimension, falls in _FALL.items()
    }
