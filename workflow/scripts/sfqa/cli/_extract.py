"""Check, conform and extract single files as the workflow does with imported videos."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.errors import UserError, hint
from sfqa.features.extractors import EXTRACTORS
from sfqa.project_files import SCHEMA

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from sfqa.conform.video import Form

#: Method name of the rows. No generation method has a name like this.
LABEL = "_sfqa"


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of every subcommand that extracts features."""
    add = parser.add_argument
    add(
        "--cache", type=Path, metavar="FOLDER",
        help="keep conformed videos and feature rows there, so that a second call reuses them",
    )  # fmt: skip
    add(
        "--threads", type=int, default=1, metavar="N",
        help="CPU threads of the networks (1, as in the workflow; more may change the last digits)",
    )  # fmt: skip
    add("--quiet", action="store_true", help="do not show progress on stderr")


@dataclass(frozen=True)
class Extracted:
    """The feature table of one extractor; ``about`` has its VERSION, options and weights."""

    name: str
    table: pa.Table
    about: Mapping[str, Any]

    @property
    def untrained(self) -> bool:
        """Whether the weights are random."""
        return bool(self.about["weights"]["kind"] == "random")

    @property
    def weights(self) -> str:
        """A description of the weights, as it is printed in every table."""
        identity = self.about["weights"]["identity"]
        if self.untrained:
            return f"random (untrained, seed {identity.partition(':')[2]})"
        return "none" if self.about["weights"]["kind"] == "none" else f"sha256 {identity}"


def list_extractors() -> list[str]:
    """Return the names of all extractors without importing them.

    >>> "lse" in list_extractors()
    True
    """
    return EXTRACTORS.names()


def make_specs(
    names: Sequence[str],
    weights: Sequence[str],
    seed: int | None,
    settings: Sequence[str],
    known_options: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, dict[str, Any]]:
    """Return ``features.<name>`` of a configuration for each extractor in ``names``.

    ``weights``: arguments PATH, official, random or none for all extractors that have weights,
    ``lse=PATH`` for one, ``lse.detector=PATH`` for another network of one. ``settings``: arguments
    ``key=value`` for all extractors with that option, or ``lse.key=value`` for one.
    ``known_options`` are options by extractor that need no argument. Raises :class:`UserError` for
    an unknown option and for missing weights.
    """
    from sfqa.features import official
    from sfqa.features import weights as weights_files
    from sfqa.features.base import is_command
    from sfqa.untrusted.documents import load_yaml
    from sfqa.untrusted.limits import RefusedError

    options = {name: dict((known_options or {}).get(name, {})) for name in names}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise UserError(f"--set {setting}: give key=value, e.g. --set detect_every=5")
        try:
            value = load_yaml(text) if text else ""
        except RefusedError as error:
            raise UserError(f"--set {setting}: the value cannot be read; quote it") from error
        for name, option in _find_options(key, names, EXTRACTORS.options):
            options[name][option] = value
    part_files, weights = _split_part_files(names, weights)
    weights_by_name = _assign_weights(names, weights)
    specs: dict[str, dict[str, Any]] = {}
    for name in names:
        spec: dict[str, Any] = {"weights": weights_by_name[name], "options": options[name]}
        if spec["weights"] == "random":
            spec["weights_seed"] = seed or 0
        elif spec["weights"] not in ("official", "none"):
            spec |= _describe_file(spec["weights"], f"{name},")
        if name in part_files:
            spec["parts"] = {
                part: _describe_file(file, f"{name}, {part},")
                for part, file in part_files[name].items()
            }
            weights_files.check_parts(name, spec)
        if is_command(name):
            spec = _add_program(spec, name)
        elif weights_files.list_official_parts(name, spec):
            files = official.find_official_files(official.load_registry(), name, spec)
            spec = official.add_official_files(spec, files, official.FOLDER)
        weights_files.resolve_weights(spec, name)
        specs[name] = spec
    if seed is not None and all(spec["weights"] != "random" for spec in specs.values()):
        raise UserError("--weights-seed: there are no random weights; add --weights random")
    return specs


def _add_program(spec: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return ``features.<name>`` with the program that the project's registry has for it."""
    from sfqa.features.command_plan import add_program, find_command, read_commands
    from sfqa.models.commands import FOLDER
    from sfqa.regression.model_metrics import REGISTRY

    command = find_command(read_commands(REGISTRY), name, str(REGISTRY))
    return add_program(spec, command, FOLDER)


def _describe_file(argument: str, owner: str) -> dict[str, Any]:
    """Return path and sha256 of a weights file as a configuration has them."""
    from sfqa.identity import sha256_file

    path = Path(argument).expanduser()
    if not path.is_file():
        raise UserError(
            f"--weights {argument}: there is no such file; give the weights of {owner} or 'random' "
            "to run it untrained"
        )
    return {"weights": str(path), "sha256": sha256_file(path)}


def _split_part_files(
    names: Sequence[str], arguments: Sequence[str]
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return the --weights arguments of other networks, such as lse.detector=FILE, and the rest."""
    part_files: dict[str, dict[str, str]] = {}
    others = []
    for argument in arguments:
        key, equals, file = argument.partition("=")
        name, _, part = key.partition(".")
        if equals and name in names and part in EXTRACTORS.read(name, "WEIGHTS_PARTS", {}):
            part_files.setdefault(name, {})[part] = file
        else:
            others.append(argument)
    return part_files, others


def _find_options(
    key: str, names: Sequence[str], read_options: Callable[[str], Mapping[str, Any]]
) -> list[tuple[str, str]]:
    """Return the (extractor, option) pairs that a key of --set refers to."""
    first, dot, option = key.partition(".")
    if dot and first in names:
        options = read_options(first)
        if option not in options:
            raise UserError(f"--set {key}: no option {option!r}; {hint(option, options, 'it has')}")
        return [(first, option)]
    matches = [(name, key) for name in names if key in read_options(name)]
    if not matches:
        all_options = sorted({option for name in names for option in read_options(name)})
        raise UserError(
            f"--set {key}: no option of {', '.join(names)}; {hint(key, all_options, 'there are')}"
        )
    return matches


def _assign_weights(names: Sequence[str], arguments: Sequence[str]) -> dict[str, str]:
    """Return the weights of each extractor from the --weights arguments."""
    from sfqa.features.base import has_weights

    common_arguments: list[str] = []
    by_name: dict[str, str] = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if equals and name in EXTRACTORS:
            if name not in names:
                raise UserError(
                    f"--weights {argument}: {name} is not selected; add --extractor {name}"
                )
            by_name[name] = value
        else:
            common_arguments.append(argument)
    if len(common_arguments) > 1:
        raise UserError(
            f"--weights {common_arguments[1]}: given twice; for several extractors write "
            f"--weights {names[0]}={common_arguments[0]}"
        )
    weighted = [name for name in names if has_weights(name)]
    common = common_arguments[0] if common_arguments else None
    unassigned = [name for name in weighted if name not in by_name]
    if common not in (None, "official", "random", "none") and len(unassigned) > 1:
        raise UserError(
            f"--weights {common}: one file cannot fit {' and '.join(weighted)}; write "
            f"--weights {weighted[0]}=FILE for each"
        )
    weights = {}
    for name in names:
        choice = by_name.get(name, common if name in weighted else "none")
        if name in weighted and choice in (None, "", "none"):
            raise UserError(
                f"{name} needs weights, which the project does not include: give --weights FILE, "
                "--weights official (sfqa weights lists the files), or --weights random to run it "
                "untrained (its numbers then mean nothing)"
            )
        if name not in weighted and choice != "none":
            raise UserError(f"--weights {name}={choice}: {name} has no weights; leave this out")
        weights[name] = str(choice)
    return weights


def make_form(short_side: int | None, fps: float | None, encode: bool = True) -> Form:
    """Return the form that videos are conformed to: the workflow's defaults unless given.

    Without ``encode`` the videos are not re-encoded; only their sound is converted to a wave.
    Raises :class:`UserError` for values that the configuration does not allow either.
    """
    import yaml
    from jsonschema import Draft202012Validator

    from sfqa.conform.video import Form

    schema = yaml.safe_load(SCHEMA.read_text("utf-8"))["properties"]["conform"]
    properties = schema["properties"]
    values = {key: part["default"] for key, part in properties.items() if "default" in part}
    for key, value in (("short_side", short_side), ("fps", fps)):
        if value is not None:
            values[key] = value
    for error in Draft202012Validator(schema).iter_errors(values):
        key = str(error.absolute_path[0])
        description = properties[key]["description"]
        raise UserError(f"--{key.replace('_', '-')}: {error.message}. {description}")
    form = Form(**values)
    return form if encode else replace(form, mode="none")


def conform_files(
    files: Sequence[Path], sample_ids: Sequence[str], prompt: str | None, work: Path, form: Form
) -> pd.DataFrame:
    """Return the conformed table of files, computed as the workflow does for ``import_videos``.

    Videos and records are kept in ``work`` and reused by a second call. A file that is not a video
    becomes a failed row.
    """
    import pandas as pd

    from sfqa import store, tables
    from sfqa.conform.run import conform_shard
    from sfqa.generation.imported import import_shard

    empty = dict.fromkeys(tables.SAMPLES.names)
    samples = [
        {**empty, "sample_id": sample_id, "method": LABEL, "shard": 0, "prompt": prompt,
         "source_path": str(file)}
        for file, sample_id in zip(files, sample_ids, strict=True)
    ]  # fmt: skip
    videos = pd.DataFrame(
        import_shard(pd.DataFrame(samples), work / "generation" / LABEL), dtype=object
    )
    rows = conform_shard(videos, work / "conform" / f"{LABEL}-{form.identity[:12]}", form)
    return store.to_arrow(tables.CONFORMED, rows).to_pandas()


def extract(
    rows: pd.DataFrame, name: str, spec: Mapping[str, Any], work: Path, threads: int
) -> Extracted:
    """Return one extractor's table of conformed rows, using the row cache in ``work``.

    As in the workflow, worker processes decode the videos: a video that crashes or hangs a decoder
    becomes a failed row.
    """
    from sfqa.device import lease_torch_device
    from sfqa.features.run import extract_shard

    cache = work / "features" / name / "cache"
    table, metadata, _ = extract_shard(
        rows, name, spec, cache, f"{LABEL}/0", lambda: lease_torch_device(threads),
        workers=max(1, threads - 1),
    )  # fmt: skip
    return Extracted(name, table, metadata)
