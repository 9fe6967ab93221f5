"""``sfqa models``: the quality models, what each needs, and what it costs."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.cli import SUCCESS, _programs
from sfqa.errors import UserError, format_count

if TYPE_CHECKING:
    from sfqa.models.commands import Command
    from sfqa.models.quality_models import QualityModel

SUMMARY = "quality models: what each needs, whether its weights are there, and what it costs"
EXAMPLES = """\
sfqa models show SimpleVQA
sfqa models --videos 5184 --seconds 6
sfqa models --config config/sfqa.yaml
sfqa models compare DOVER-zero-shot DOVER-official --config my.yaml --out differences.md
sfqa models compare first.parquet:score second.csv:score
"""
#: Number and length in seconds of the videos that costs are printed for by default.
_VIDEOS, _SECONDS = 1000, 6.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add(
        "words", nargs="*", metavar="show NAME | compare A B",
        help="explain one model, or compare two by their scores of each video",
    )  # fmt: skip
    add(
        "--config", type=Path, metavar="FILE",
        help="only the models of a configuration, and which of its own files are missing",
    )  # fmt: skip
    add("--videos", type=int, metavar="N", help="number of videos (1000, or the configuration's)")
    add("--seconds", type=float, metavar="S", help="their average length (6)")
    add(
        "--out", type=Path, metavar="FILE",
        help="with compare: write the differences to a .csv or .md file",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Print the table of models, or one model."""
    for name, value in (("videos", args.videos), ("seconds", args.seconds)):
        if value is not None and not value > 0:
            raise UserError(f"--{name} {value:g}: give a number above 0")
    videos, seconds = args.videos or _VIDEOS, args.seconds or _SECONDS
    from sfqa.regression.model_metrics import load_checked_models

    if args.words:
        if args.words[0] == "compare" and len(args.words) == 3:
            from sfqa.cli._compare import compare_models

            compare_models(args)
            return SUCCESS
        if len(args.words) != 2 or args.words[0] != "show":
            raise UserError(
                f"models: {' '.join(args.words)!r}; write sfqa models show NAME, or compare A B"
            )
        from sfqa.models.quality_models import get_model

        models = load_checked_models()
        model = get_model(models, args.words[1], "models show")
        print(_describe(model, videos, seconds, _programs.index_programs(list(models.values()))))
        return SUCCESS
    if args.out:
        raise UserError("--out goes with sfqa models compare A B; leave it out")
    if args.config is None:
        _print_table(list(load_checked_models().values()), videos, seconds)
        return SUCCESS
    return _print_configuration(args)


def _print_configuration(args: argparse.Namespace) -> int:
    """Print the models of a configuration and the files that it names and that are missing."""
    from sfqa.cli._config import read_config
    from sfqa.configuration import list_missing_files
    from sfqa.features import official
    from sfqa.regression.model_metrics import (
        expand_models,
        get_base,
        list_names,
        load_checked_models,
    )

    config = read_config(args.config)
    # Raises for unknown names and options that do not go together.
    features = expand_models(config)["features"]
    weights = official.load_registry(config["weights"]["registry"])
    models = load_checked_models(config["regression"]["registry"], weights)
    rows = list_names(config["regression"]["models"])
    # Rows that are variants of a model share its features and weights.
    names = dict.fromkeys(get_base(name, overrides) for name, overrides in rows.items())
    videos, seconds = _VIDEOS, _SECONDS
    if config["mode"] == "build":
        methods = config["generation"].get("methods", [])
        videos = config["pairs"]["count"] * len(methods) or _VIDEOS
        seconds = sum(config["materials"]["clip_sec"]) / 2
    videos, seconds = args.videos or videos, args.seconds or seconds
    _print_table([models[name] for name in names], videos, seconds, config, features)
    missing = list_missing_files(config)
    print("\nyour files:" + ("" if missing else " all there"))
    for key, path in missing:
        print(f"  missing: {path} ({key})")
    print(f"\nweights: sfqa weights --config {args.config}")
    return SUCCESS


def _print_table(
    models: Sequence[QualityModel],
    videos: int,
    seconds: float,
    config: Mapping[str, Any] | None = None,
    features: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Print the table; ``features`` is that section of a configuration with its models."""
    from sfqa.cli._tables import align_columns
    from sfqa.models.licences import list_restrictions

    states = _find_weights(models, config)
    programs, folder = _programs.index_programs(models), _programs.get_folder(config)
    notes = list(dict.fromkeys(note for m in models for note in list_restrictions(m.licences)))
    rows = [["model", "group", "year", "kind", "features", "weights", "CPU hours"]]
    for model in models:
        hours = _estimate_hours(model, videos, seconds)
        rows.append(
            [
                _add_note_numbers(model, notes), model.group, str(model.year),
                "zero-shot" if model.is_zero_shot else f"head {model.head}",
                " ".join(model.features),
                _programs.summarise_program(program, folder)
                if (program := _programs.find_program(model, programs))
                else _describe_weights(model, states, features or {}),
                "-" if hours is None else _format_hours(hours),
            ]
        )  # fmt: skip
    print("\n".join(align_columns(rows)))
    print(
        f"\nCPU hours: extraction of {format_count(videos, 'video')} of {seconds:g} s, from "
        "measured rates; models that share an extractor share its cost. -: not measured."
    )
    for number, note in enumerate(notes, 1):
        print(f"[{number}] {note}")


def _add_note_numbers(model: QualityModel, notes: Sequence[str]) -> str:
    """Return the model's name, and in brackets the numbers of the notes on its licences."""
    from sfqa.models.licences import list_restrictions

    numbers = [str(notes.index(note) + 1) for note in list_restrictions(model.licences)]
    return f"{model.name} [{', '.join(numbers)}]" if numbers else model.name


def _find_weights(
    models: Sequence[QualityModel], config: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Return the state (there, missing, wrong) of every weights file of the models.

    Registry, folder and mirrors are those of ``config``, by default the project's.
    """
    from sfqa.features import official
    from sfqa.models.locating import find_weights, open_digests, save_digests

    section: Mapping[str, Any] = config["weights"] if config else {}
    folder, mirrors = Path(section.get("folder", official.FOLDER)), section.get("mirrors", [])
    entries = official.load_registry(section.get("registry", official.REGISTRY))
    digests = open_digests(folder)
    names = {name for model in models for name in model.weights}
    states = {
        name: find_weights(entries[name], folder, digests, mirrors).state for name in sorted(names)
    }
    save_digests(digests)
    return states


def _describe_weights(
    model: QualityModel, states: Mapping[str, str], features: Mapping[str, Mapping[str, Any]]
) -> str:
    """Return the state of the weights files, or which weights a configuration has instead."""
    from sfqa.features.weights import NONE, OFFICIAL, RANDOM

    other_weights = {
        extractor: "random" if spec["weights"] == RANDOM else "own file"
        for extractor, spec in features.items()
        if extractor in model.features and spec["weights"] not in (OFFICIAL, NONE)
    }
    if other_weights:
        return " ".join(f"{name}:{words}" for name, words in other_weights.items())
    return " ".join(f"{name}:{states[name]}" for name in model.weights) or "none"


def _estimate_hours(model: QualityModel, videos: int, seconds: float) -> float | None:
    """Return the CPU hours of extraction, None if the rate of an extractor was not measured."""
    from sfqa.features.extraction_rates import get_rate, is_measured

    if not all(is_measured(name, options) for name, options in model.features.items()):
        return None
    rate = sum(get_rate(name, options).cpu_sec for name, options in model.features.items())
    return videos * seconds * rate / 3600


def _format_hours(hours: float) -> str:
    """Return hours with one decimal, below a tenth with two digits."""
    return f"{hours:.1f}" if hours >= 0.1 else f"{hours:.2g}"


def _describe(
    model: QualityModel, videos: int, seconds: float, programs: Mapping[str, Command]
) -> str:
    """Return everything about one model, in lines of text."""
    from sfqa.models.licences import list_restrictions

    states, program = _find_weights([model]), _programs.find_program(model, programs)
    lines = [
        f"{model.name} ({model.group}, {model.year})",
        f"paper: {model.paper}",
        f"licences: code {model.licences['code']}; weights {model.licences['weights']}",
        *(f"  {sentence}" for sentence in list_restrictions(model.licences)),
        "features:",
        *(
            f"  {name}" + "".join(f", {key}: {value}" for key, value in options.items())
            for name, options in model.features.items()
        ),
        *(_programs.describe_program(program, _programs.get_folder(None)) if program else []),
        *(["weights:"] if model.weights else [] if program else ["weights: none"]),
        *(f"  {name}: {states[name]} (sfqa weights {name})" for name in model.weights),
        f"inputs: {', '.join(_list_inputs(model))}",
    ]
    if model.is_zero_shot:
        better = "higher" if model.direction == 1 else "lower"
        lines.append(f"score: zero-shot, {better} is better: sfqa score FILE --model {model.name}")
    else:
        lines.append(f"head: {model.head}")
        lines += [f"  {key}: {value}" for key, value in model.options.items()]
        lines.append("published training:")
        lines += [f"  {key}: {value}" for key, value in model.recipe.items()]
    if model.reading:
        lines += ["reading:", *(f"  - {sentence}" for sentence in model.reading)]
    if model.note:
        lines.append(f"note: {model.note}")
    costs = [f"{model.costs[key]:g} {unit}" for key, unit in _COSTS if key in model.costs]
    if costs:
        lines.append(f"one video: {', '.join(costs)} ({model.costs['measured']})")
    hours = _estimate_hours(model, videos, seconds)
    if hours is not None:
        lines.append(
            f"{format_count(videos, 'video')} of {seconds:g} s: about {_format_hours(hours)} CPU "
            "hours of extraction"
        )
    if model.published:
        lines.append("published:")
    for record in model.published:
        figures = ", ".join(f"{key} {value}" for key, value in record.items() if key != "source")
        lines.append(f"  {record['source']}: {figures}")
    return "\n".join(lines)


def _list_inputs(model: QualityModel) -> list[str]:
    """Return the columns that a model reads, each after its dimension if it has one for each."""
    columns = [f"{dimension}: {column}" for dimension, column in model.dimension_inputs.items()]
    return columns or list(model.inputs)


#: Measured costs of an entry, and their units.
_COSTS = (("memory_gb", "GB"), ("seconds", "s"))
