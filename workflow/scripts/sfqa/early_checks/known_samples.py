"""What is known of the samples of a configuration before the first job.

Imported samples are known completely. Of a dataset that is built, the sheets tell the names and
labels of images and clips, but not which of them are paired.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa import identity
from sfqa.early_checks.memory import PlanMemory
from sfqa.plugins import read_version
from sfqa.splits.group_counts import GroupCounts, count_groups

if TYPE_CHECKING:
    import pandas as pd

_PACKAGE = Path(__file__).parents[1]
#: A change of these modules may change which samples there are, or what they allow.
_MODULES = ("labels/joining", "features/importing", "splits/protocols")
#: Between the parts of a sample id.
_SEPARATOR = "__"
_CLIP_GROUPS, _IMAGE_GROUPS = ("style", "language"), ("image_source", "image_category")


class KnownSamples:
    """The samples of a complete configuration, read at most once and only if they are needed.

    ``digest_folder`` returns a digest of the names in an imported folder, '' without one. What
    reads the user's files raises :class:`UserError` for a mistake in them.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        memory: PlanMemory,
        digest_folder: Callable[[], str] = str,
    ) -> None:
        self.config = config
        self.memory = memory
        self._digest_folder = digest_folder
        self.are_built = config["mode"] == "build"
        self.source: dict[str, Any] = dict(config.get("import", {}))

    @cached_property
    def key(self) -> str:
        """A digest of everything that the samples depend on, as far as planning reads it."""
        content: dict[str, Any] = {
            "files": {str(path): identity.read_stamp(path) for path in self._list_files()},
            "versions": [read_version(_PACKAGE / f"{module}.py") for module in _MODULES],
        }
        if self.are_built:
            content["methods"] = self.config["generation"].get("methods", [])
            content["pairs"] = self.config["pairs"]
        else:
            content |= {"source": self.source, "folder": self._digest_folder()}
        return identity.digest(content)

    def _list_files(self) -> Sequence[Path | str]:
        if self.are_built:
            return [self.config["materials"][name] for name in ("images", "clips")]
        if "labels" in self.source:
            from sfqa.labels.joining import list_all_files

            return list_all_files(self.source)
        return [self.source[key] for key in ("sheet", "table") if key in self.source]

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The imported samples (columns of ``tables.SAMPLES``)."""
        import pandas as pd

        assert not self.are_built
        with _silence_log():  # the job that lists the samples logs the same warnings
            if self.config["mode"] == "import_features":
                from sfqa.features.importing import import_table

                return pd.DataFrame(import_table(self.source, self.config["shards"]).samples)
            from sfqa.generation.importing import list_videos

            return pd.DataFrame(list_videos(self.source, self.config["shards"]))

    @cached_property
    def material(self) -> dict[str, list[dict[str, str]]]:
        """The rows of the two sheets of a dataset that is built: ``images`` and ``clips``."""
        from sfqa import sheets

        materials = self.config["materials"]
        with _silence_log():
            return {
                "images": sheets.read_sheet(
                    materials["images"], sheets.IMAGE_COLUMNS, sheets.IMAGE_CHOICES
                ),
                "clips": sheets.read_sheet(
                    materials["clips"], sheets.CLIP_COLUMNS, sheets.CLIP_CHOICES
                ),
            }

    @cached_property
    def counts(self) -> GroupCounts:
        """How many samples there are, and values of each group; upper bounds if they are built."""
        stored = self.memory.recall("counts", self.key)
        if stored is not None:
            return GroupCounts(**stored)
        counts = self._count_built() if self.are_built else count_groups(self.rows)
        self.memory.remember("counts", self.key, counts.to_dict())
        return counts

    def _count_built(self) -> GroupCounts:
        pairs, images = int(self.config["pairs"]["count"]), self.material["images"]
        clips, methods = self.material["clips"], self.config["generation"].get("methods", [])
        values = {
            "image": min(pairs, len(images)),
            "clip": min(pairs, len(clips)),
            "method": len(methods),
        }
        for group in _IMAGE_GROUPS:
            column = group.removeprefix("image_")
            values[group] = len({row[column] for row in images})
        for group in _CLIP_GROUPS:
            values[group] = len({row[group] for row in clips})
        return GroupCounts(pairs * len(methods), values)

    def check_pair_count(self) -> None:
        """Raise :class:`UserError` if the sheets have too few images and clips for the pairs."""
        if self.memory.recall("pairs", self.key):
            return
        import pandas as pd

        from sfqa.pairs.constraints import PairConstraints
        from sfqa.pairs.infeasible import check_counts
        from sfqa.pairs.material import read_material

        pairs = self.config["pairs"]
        limits = {name: pairs[name] for name in ("per_image", "per_clip") if name in pairs}
        frames = (pd.DataFrame(rows).assign(status="ok") for rows in self.material.values())
        check_counts(read_material(*frames), PairConstraints(pairs["count"], **limits))
        self.memory.remember("pairs", self.key, True)

    def list_sheet_paths(self) -> dict[str, list[str]]:
        """Return the paths of the files that each sheet of the configuration names."""
        stored = self.memory.recall("sheet_paths", self.key)
        if stored is not None:
            return dict(stored)
        paths: dict[str, list[str]] = {}
        if self.are_built:
            for name, rows in self.material.items():
                paths[str(self.config["materials"][name])] = [row["path"] for row in rows]
        elif "sheet" in self.source:
            paths[str(self.source["sheet"])] = list(self.rows["source_path"])
        self.memory.remember("sheet_paths", self.key, paths)
        return paths


@contextmanager
def _silence_log() -> Iterator[None]:
    """Drop the warnings of the package's log in the block."""
    log = logging.getLogger("sfqa")
    was_disabled, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = was_disabled


def find_possible_ids(samples: KnownSamples, names: Sequence[str]) -> list[str]:
    """Return those of some sample ids that the dataset may have.

    An imported dataset has the ids of its samples. One that is built may have any id made of an
    image, a clip and a method of the configuration, ``IMAGE__CLIP__METHOD``.
    """
    if not samples.are_built:
        ids = set(samples.rows["sample_id"])
        return [name for name in names if name in ids]
    choices = [set(part) for part in _list_id_parts(samples)]
    possible = []
    for name in names:
        parts = name.split(_SEPARATOR)
        if len(parts) == len(choices) and all(map(set.__contains__, choices, parts)):
            possible.append(name)
    return possible


def list_ids(samples: KnownSamples, name: str) -> list[str]:
    """Return the ids that may have been meant by a name: all, or the nearest of a built dataset.

    Each part of the latter is the image, clip or method that is nearest to that of the name.
    """
    if not samples.are_built:
        return list(samples.rows["sample_id"])
    choices, parts = _list_id_parts(samples), name.split(_SEPARATOR)
    nearest = [
        (get_close_matches(part, choice, 1) or choice[:1])[0]
        for part, choice in zip([*parts, "", "", ""], choices, strict=False)
    ]
    return [_SEPARATOR.join(nearest)]


def _list_id_parts(samples: KnownSamples) -> tuple[list[str], list[str], list[str]]:
    """Return the images, clips and methods of a dataset that is built."""
    material = samples.material
    return (
        [row["image_id"] for row in material["images"]],
        [row["clip_id"] for row in material["clips"]],
        list(samples.config["generation"].get("methods", [])),
    )
