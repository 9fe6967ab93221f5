"""What the workflow does with an imported video, for a few files: check, conform, extract."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.errors import UserError, hint
from sfqa.features.extractors import EXTRACTORS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from sfqa.conform.video import Form

#: Method and writer of the rows: no generation method has such a name.
LABEL = "_sfqa"

_PACKAGE = Path(__file__).parents[1]
_SCHEMA = _PACKAGE.parents[1] / "schemas" / "config.schema.yaml"


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what every subcommand that extracts features takes: where, how many, how loud."""
    add = parser.add_argument
    add(
        "--cache", type=Path, metavar="FOLDER",
        help="keep conformed videos and feature rows there, so that a second call computes nothing",
    )  # fmt: skip
    add(
        "--threads", type=int, default=1, metavar="N",
        help="CPU threads of the networks (1, as in the workflow; more may change last digits)",
    )  # fmt: skip
    add("--quiet", action="store_true", help="no progress on stderr")


@dataclass(frozen=True)
class Extracted:
    """The feature table of one extractor and what made it (VERSION, options, weights)."""

    name: str
    table: pa.Table
    about: Mapping[str, Any]

    @property
    def untrained(self) -> bool:
        """Whether random weights made the numbers."""
        return bool(self.about["weights"]["kind"] == "random")

    @property
    def weights(self) -> str:
        """The weights as every table says them: random ones say that they are untrained."""
        kind, identity = self.about["weights"]["kind"], self.about["weights"]["identity"]
        if kind == "random":
            return f"random (untrained, seed {identity.partition(':')[2]})"
        return "none" if kind == "none" else f"sha256 {identity}"


def extractors() -> list[str]:
    """Return the names of all extractors, without importing what is heavy.

    >>> "lse" in extractors()
    True
    """
    return EXTRACTORS.names()


def specs(
    chosen: Sequence[str], weights: Sequence[str], seed: int | None, settings: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return ``features.<name>`` of a configuration for each chosen extractor.

    ``weights`` are PATH, random or none, for all extractors that have weights, or ``lse=PATH`` for
    one; ``settings`` are ``key=value`` for all extractors with that option, or ``lse.key=value``.
    Raises :class:`UserError` for what no chosen extractor has, and for missing weights.
    """
    import yaml

    from sfqa.features import weights as files
    from sfqa.identity import sha256_file

    options: dict[str, dict[str, Any]] = {name: {} for name in chosen}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise UserError(f"--set {setting}: give key=value, e.g. --set detect_every=5")
        try:
            value = yaml.safe_load(text) if text else ""
        except yaml.YAMLError as error:
            raise UserError(f"--set {setting}: the value cannot be read; quote it") from error
        for name, option in _owners(key, chosen, EXTRACTORS.options):
            options[name][option] = value
    given = _weights_by_extractor(chosen, weights)
    made: dict[str, dict[str, Any]] = {}
    for name in chosen:
        spec: dict[str, Any] = {"weights": given[name], "options": options[name]}
        if spec["weights"] == "random":
            spec["weights_seed"] = seed or 0
        elif spec["weights"] != "none":
            path = Path(spec["weights"]).expanduser()
            if not path.is_file():
                raise UserError(
                    f"--weights {spec['weights']}: there is no such file; give the weights of "
                    f"{name}, or say random to run it untrained"
                )
            spec |= {"weights": str(path), "sha256": sha256_file(path)}
        files.resolve(spec, name)
        made[name] = spec
    if seed is not None and all(spec["weights"] != "random" for spec in made.values()):
        raise UserError("--weights-seed: there are no random weights; add --weights random")
    return made


def _owners(key: str, chosen: Sequence[str], options_of: Any) -> list[tuple[str, str]]:
    """The (extractor, option) that a key of --set means."""
    first, dot, rest = key.partition(".")
    if dot and first in chosen:
        found, known = [(first, rest)], options_of(first)
        if rest not in known:
            raise UserError(f"--set {key}: no option {rest!r}; {hint(rest, known, 'it has')}")
        return found
    found = [(name, key) for name in chosen if key in options_of(name)]
    if not found:
        known = sorted({option for name in chosen for option in options_of(name)})
        raise UserError(
            f"--set {key}: no option of {', '.join(chosen)}; {hint(key, known, 'there are')}"
        )
    return found


def _weights_by_extractor(chosen: Sequence[str], words: Sequence[str]) -> dict[str, str]:
    from sfqa.features.base import has_weights

    everywhere: list[str] = []
    one: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals and name in extractors():
            if name not in chosen:
                raise UserError(f"--weights {word}: {name} is not chosen; add --extractor {name}")
            one[name] = value
        else:
            everywhere.append(word)
    if len(everywhere) > 1:
        raise UserError(
            f"--weights {everywhere[1]}: given twice; for several extractors write "
            f"--weights {chosen[0]}={everywhere[0]}"
        )
    needing = [name for name in chosen if has_weights(name)]
    common = everywhere[0] if everywhere else None
    if common not in (None, "random", "none") and len([n for n in needing if n not in one]) > 1:
        raise UserError(
            f"--weights {common}: one file cannot fit {' and '.join(needing)}; write "
            f"--weights {needing[0]}=FILE for each"
        )
    found = {}
    for name in chosen:
        wanted = one.get(name, common if name in needing else "none")
        if name in needing and wanted in (None, "", "none"):
            raise UserError(
                f"{name} needs weights and none come with the project: give --weights FILE, or "
                "--weights random to run it untrained (its numbers then say nothing of a video)"
            )
        if name not in needing and wanted != "none":
            raise UserError(f"--weights {name}={wanted}: {name} has no weights; leave this out")
        found[name] = str(wanted)
    return found


def form(short_side: int | None, fps: float | None, encode: bool = True) -> Form:
    """Return the common form: the workflow's defaults but for what is given.

    Without ``encode`` the videos keep their bytes; only their sound is brought to a wave. Raises
    :class:`UserError` for a value that the configuration would not take either.
    """
    import yaml
    from jsonschema import Draft202012Validator

    from sfqa.conform.video import Form

    schema = yaml.safe_load(_SCHEMA.read_text("utf-8"))["properties"]["conform"]
    parts = schema["properties"]
    values = {key: part["default"] for key, part in parts.items() if "default" in part}
    for key, value in (("short_side", short_side), ("fps", fps)):
        if value is not None:
            values[key] = value
    for error in Draft202012Validator(schema).iter_errors(values):
        key = str(error.absolute_path[0])
        about = parts[key]["description"]
        raise UserError(f"--{key.replace('_', '-')}: {error.message}. {about}")
    made = Form(**values)
    return made if encode else replace(made, mode="none")


def conformed(
    files: Sequence[Path], names: Sequence[str], prompt: str | None, work: Path, wanted: Form
) -> pd.DataFrame:
    """Return the conformed table of files, as the workflow makes it in mode ``import_videos``.

    Videos and records go below ``work`` and are used again by a second call; a file that is no
    video is a failed row.
    """
    import pandas as pd

    from sfqa import store, tables
    from sfqa.conform.run import conform_shard
    from sfqa.generation.imported import import_shard

    empty = dict.fromkeys(tables.SAMPLES.names)
    samples = [
        {**empty, "sample_id": name, "method": LABEL, "shard": 0, "prompt": prompt,
         "source_path": str(file)}
        for file, name in zip(files, names, strict=True)
    ]  # fmt: skip
    videos = pd.DataFrame(
        import_shard(pd.DataFrame(samples), work / "generation" / LABEL), dtype=object
    )
    rows = conform_shard(videos, work / "conform" / f"{LABEL}-{wanted.identity[:12]}", wanted)
    return store.to_arrow(tables.CONFORMED, rows).to_pandas()


def extract(
    rows: pd.DataFrame, name: str, spec: Mapping[str, Any], work: Path, threads: int
) -> Extracted:
    """Return one extractor's table of conformed rows, through the row cache below ``work``.

    As in the workflow, processes read ahead: a video that crashes or hangs a decoder is a failed
    row.
    """
    from sfqa.device import lease_torch_device
    from sfqa.features.run import extract_shard

    cache = work / "features" / name / "cache"
    table, about, _ = extract_shard(
        rows, name, spec, cache, f"{LABEL}/0", lambda: lease_torch_device(threads),
        workers=max(1, threads - 1),
    )  # fmt: skip
    return Extracted(name, table, about)
