"""Extractors, one file each: from a video to a row of features.

:class:`sfqa.features.base.Extractor` says what such a file holds.
"""

from pathlib import Path

from sfqa.plugins import PluginPackage

#: All extractors, by the names of their files. `image-swin` is the extractor `image`, once more.
EXTRACTORS = PluginPackage(
    __name__, Path(__file__).parent, "extractor", "config, features: ",
    declaring=("sfqa.features.lmm_options",), has_labels=True,
)  # fmt: skip
