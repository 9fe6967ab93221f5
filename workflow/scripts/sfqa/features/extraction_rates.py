"""Measured costs of the extractors per second of video: bytes in table and cache, CPU seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sfqa.features.extractors import EXTRACTORS


class Rate(NamedTuple):
    """Costs of an extractor per second of video: bytes in table and cache, and CPU seconds."""

    table: float
    cache: float
    cpu_sec: float


#: Measured with the default options; :func:`get_rate` adapts them to other options. Of avid_cma,
#: blip, image, imagebind (a square), siglip, valor, vast and xclip one video of 6 s was measured,
#: and the bytes are those of its arrays.
RATES = {
    "audio": Rate(368_000, 400_000, 0.5),
    "avid_cma": Rate(4_300, 4_700, 1.7),
    "blip": Rate(2_100, 2_500, 1.4),
    "clip": Rate(1_600, 1_900, 0.2),
    "dover": Rate(757_000, 804_000, 1.8),
    "fast_vqa": Rate(757_000, 804_000, 2.1),
    "image": Rate(1_600, 1_900, 0.14),
    "imagebind": Rate(13_400, 14_000, 4.2),
    "lse": Rate(320, 920, 1.1),
    "pickscore": Rate(3_100, 3_600, 7.0),
    "siglip": Rate(2_100, 2_500, 2.8),
    "signal": Rate(370, 1_700, 0.06),
    "slowfast": Rate(4_600, 5_200, 1.0),
    "spatial": Rate(13_500, 14_000, 1.5),
    "valor": Rate(4_500, 4_900, 1.7),
    "vast": Rate(5_700, 6_100, 6.2),
    "xclip": Rate(180, 220, 0.18),
}
#: CPU seconds of the face detectors of lse per second of video at 512 pixels, in the run whose
#: seconds LSE-C has in config/models.yaml.
_S3FD, _HAAR = 3.2, 0.2
#: Clips of a video whose maps are kept: those of the option ``clips``, and others.
_CLIPS = {"fast_vqa": (4, 0), "dover": (3, 1)}
#: Bytes of their means and scores per second of video.
_POOLED = 1_500
#: Assumed for any other extractor.
OTHER = Rate(5_000, 5_500, 1.0)


def is_measured(name: str, options: Mapping[str, Any]) -> bool:
    """Return whether the rate of an extractor was measured for its model.

    >>> is_measured("clip", {"model": "ViT-B-32"}), is_measured("clip-h", {"model": "ViT-H-14"})
    (True, False)
    """
    extractor = EXTRACTORS.drop_label(name)
    if extractor not in RATES:
        return False
    default = getattr(EXTRACTORS.options(extractor).get("model"), "default", None)
    return bool(options.get("model", default) == default)


def _get_map_rate(rate: Rate, extractor: str, options: Mapping[str, Any]) -> Rate:
    """Return the costs of maps: they follow the number of clips, and are kept or not."""
    technical, others = _CLIPS[extractor]
    clips = options.get("clips", technical) + others
    share = options.get("draws", 1) * clips / (technical + others)
    if not options.get("maps", True):
        rate = Rate(_POOLED, _POOLED, rate.cpu_sec)
    return Rate(*(value * share for value in rate))


def get_rate(name: str, options: Mapping[str, Any]) -> Rate:
    """Return the costs of an extractor with these options."""
    extractor = EXTRACTORS.drop_label(name)
    rate = RATES.get(extractor, OTHER)
    if extractor in _CLIPS:
        return _get_map_rate(rate, extractor, options)
    if extractor == "slowfast":
        return Rate(*(value / float(options.get("every_sec", 1)) for value in rate))
    if extractor == "lse" and options.get("detector") == "s3fd":
        detector_sec = _S3FD - _HAAR
        return rate._replace(cpu_sec=rate.cpu_sec + detector_sec / options.get("detect_every", 1))
    return rate
