"""``sfqa score``: score single videos or existing feature tables with a trained model."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.cli import FAILURE, SUCCESS, _extract, _video_files
from sfqa.cli._tables import align_columns, check_out, write_csv
from sfqa.cli.features import name_arguments, open_cache, show_progress
from sfqa.errors import UserError
from sfqa.features.extractors import EXTRACTORS

if TYPE_CHECKING:
    from sfqa.regression.model_files import ModelFile

SUMMARY = "score videos with a trained model: print a table, write CSV or Parquet with --out"
EXAMPLES = """
sfqa score talk.mp4 --model LSE-C
sfqa score talk.mp4 --model results/demo/regression/CLIP-ridge/model.sfqa
sfqa score videos/ --model model.sfqa --weights clip=resources/weights/ViT-B-32.pt --out scores.csv
sfqa score --features results/other/features/clip/sharp/0.parquet --model model.sfqa
"""

ScoreRow = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add(
        "videos",
        nargs="*",
        metavar="VIDEO",
        help="files, folders (searched recursively), quoted globs",
    )
    add(
        "--model", type=Path, required=True, metavar="FILE|NAME",
        help="model file: results/DATASET/regression/METRIC/model.sfqa, a target of the workflow; "
        "or the name of a zero-shot quality model (sfqa models), such as LSE-C",
    )  # fmt: skip
    add(
        "--features", nargs="+", action="extend", default=[], metavar="TABLE",
        help="feature tables instead of videos: files, or folders (searched recursively)",
    )  # fmt: skip
    add(
        "--weights", action="append", default=[], metavar="PATH",
        help="the weights file of the model's extractor (its sha256 is checked); NAME=PATH for one "
        "of several extractors; by default the official file if it is on this machine; random for "
        "an untrained zero-shot model",
    )  # fmt: skip
    add("--prompt", metavar="TEXT", help="text prompt of the videos, for clip")
    add("--out", type=Path, metavar="FILE", help="also write the table: .csv or .parquet")
    _extract.add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Score the videos. Returns 1 if any video could not be scored."""
    check_out(args.out, "--out")
    text, rows = compute_scores(args)
    if args.out:
        _write_scores(args.out, rows)
    print(text)
    if args.out:
        print(f"sfqa: wrote {args.out}", file=sys.stderr)
    return FAILURE if any(row["status"] == "failed" for row in rows) else SUCCESS


def compute_scores(args: argparse.Namespace) -> tuple[str, list[ScoreRow]]:
    """Return the scores as text for the screen, and as a row for each video."""
    if bool(args.videos) == bool(args.features):
        raise UserError("score: give either videos or --features TABLE...; see sfqa score --help")
    if args.features and (args.prompt or args.cache):
        raise UserError("--features: tables need no --prompt or --cache; drop these")
    if args.threads < 1:
        raise UserError(f"--threads {args.threads}: give 1 or more")
    if not args.model.exists() and args.model.suffix != ".sfqa" and not args.model.parent.name:
        return _score_zero_shot(args)
    from sfqa.regression.model_files import needs_base, read

    model = read(args.model)
    if args.features and args.weights and not needs_base(model):
        raise UserError("--features: this model needs no --weights for tables; drop them")
    with ExitStack() as stack:
        stack.enter_context(show_progress(args.quiet))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sfqa-score-")))
        if args.features:
            tables = _find_tables(model, args.features)
            specs = _make_specs(model, args.weights) if needs_base(model) else {}
            rows = _score_tables(model, tables, scratch, args.threads, {}, specs)
        else:
            specs = _make_specs(model, args.weights)
            files = _video_files.find_videos(args.videos)
            work = stack.enter_context(open_cache(args.cache))
            rows = _score_videos(model, files, specs, args, work, scratch)
        if not rows:
            raise UserError(f"--features {' '.join(args.features)}: the tables have no rows")
    return _format_scores(model, rows), rows


def _score_zero_shot(args: argparse.Namespace) -> tuple[str, list[ScoreRow]]:
    """Score videos with a model of config/models.yaml that needs no training."""
    from sfqa.cli import _zero_shot

    model = _zero_shot.find_zero_shot(str(args.model))
    if args.features:
        raise UserError(
            f"--features: {model.name} is the column {' or '.join(model.inputs)} of a feature "
            "table; give videos, or read it there"
        )
    rows, weights = _zero_shot.score_videos(model, args)
    return _zero_shot.format_scores(model, rows, weights), rows


def _make_specs(model: ModelFile, arguments: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return ``features.<name>`` of the model's configuration for each of its extractors."""
    from sfqa.features import base
    from sfqa.features.weights import resolve_weights
    from sfqa.regression.cross import check_identity

    extractors: Mapping[str, Any] = model.metadata["extractors"]
    if not model.metadata["conform"] or any(name not in EXTRACTORS for name in extractors):
        raise UserError(
            f"{model.path}: this model reads imported features ({', '.join(extractors)} of "
            f"{model.metadata['dataset']}), which cannot be computed from videos; score their "
            "tables with --features"
        )
    assigned = {argument.partition("=")[0] for argument in arguments if "=" in argument}
    common = [argument for argument in arguments if argument.partition("=")[0] not in extractors]
    weights_kinds = {name: record["weights"]["kind"] for name, record in extractors.items()}
    official = [name for name in extractors if weights_kinds[name] == "official"]
    options = {name: record["options"] for name, record in extractors.items()}
    sought = [name for name in official if name not in assigned and not common]
    for name in sought:
        _check_official_file(model, name, options[name])
    # Random weights are drawn again from the model's seed. `check_identity` below refuses a file
    # that is given for an extractor with random weights.
    random = [name for name in extractors if weights_kinds[name] == "random"]
    more = [f"{n}=random" for n in random if n not in assigned and (official or not common)]
    more += [f"{name}=official" for name in sought]
    specs = _extract.make_specs(sorted(extractors), [*arguments, *more], None, [], options)
    for name, spec in specs.items():
        if spec["weights"] == "random" and name in random:
            seed = extractors[name]["weights"]["identity"].partition(":")[2]
            spec["weights_seed"] = int(seed) if seed.isdecimal() else 0
        weights = resolve_weights(spec, name)
        identity = {
            "version": base.read_extractor_version(name), "options": spec["options"],
            "weights": {"kind": weights.kind, "identity": weights.identity},
        }  # fmt: skip
        check_identity(model, name, identity)
    return specs


def _check_official_file(model: ModelFile, name: str, options: Mapping[str, Any]) -> None:
    """Check that the official weights of an extractor are here and are those of the training.

    Raises :class:`UserError` that says how to get or give them.
    """
    from sfqa.features.weights import resolve_weights

    trained_on = model.metadata["extractors"][name]["weights"]["identity"]
    try:
        spec = _extract.make_specs([name], [f"{name}=official"], None, [], {name: options})[name]
        identity = resolve_weights(spec, name).identity
        reason = f"the official file here has the sha256 {identity}"
    except UserError as error:
        identity, reason = "", name_arguments(str(error))
    if identity != trained_on:
        raise UserError(
            f"--weights: the model {model.path} was trained on features of {name} with the weights "
            f"sha256 {trained_on}; give them: --weights {name}=FILE ({reason})"
        )


def _score_videos(
    model: ModelFile,
    files: Sequence[Path],
    specs: Mapping[str, Mapping[str, Any]],
    args: argparse.Namespace,
    work: Path,
    scratch: Path,
) -> list[ScoreRow]:
    """Return one row per file, in the given order."""
    from sfqa import store
    from sfqa.conform.video import Form

    form = Form(**{**model.metadata["conform"], "viewing_short_side": None})
    sample_ids = _video_files.name_files(files)
    conformed = _extract.conform_files(files, sample_ids, args.prompt, work, form)
    tables: dict[str, list[Path]] = {}
    for name, spec in specs.items():
        try:
            extracted = _extract.extract(conformed, name, spec, work, args.threads)
        except UserError as error:
            raise UserError(name_arguments(str(error))) from error
        tables[name] = [scratch / f"{name}.parquet"]
        store.write_arrow(extracted.table, tables[name][0], extracted.about)
    videos = {}
    for file, record in zip(files, store.to_records(conformed), strict=True):
        videos[record["sample_id"]] = {
            "path": str(file), "sha256": record["source_sha256"], "status": record["status"],
            "detail": record["detail"],
        }  # fmt: skip
    return _score_tables(model, tables, scratch, args.threads, videos, specs)


def _find_tables(model: ModelFile, arguments: Sequence[str]) -> dict[str, list[Path]]:
    """Return the feature tables of the model's extractors among files and folders."""
    from sfqa.regression.cross import read_extractor_name

    tables: dict[str, list[Path]] = {}
    for argument in arguments:
        path = Path(argument).expanduser()
        below = sorted(p for p in path.rglob("*.parquet") if not p.name.startswith("."))
        candidates = [(read_extractor_name(p), p) for p in (below if path.is_dir() else [path])]
        matches = [(name, p) for name, p in candidates if name in model.metadata["extractors"]]
        if not matches:
            others = ", ".join(sorted({name for name, _ in candidates if name})) or "none"
            raise UserError(
                f"{argument}: no feature table of {', '.join(model.metadata['extractors'])}, which "
                f"the model reads; there are features of {others}"
            )
        for name, table in matches:
            if table not in tables.setdefault(name, []):
                tables[name].append(table)
    return tables


def _score_tables(
    model: ModelFile,
    tables: Mapping[str, Sequence[Path]],
    scratch: Path,
    threads: int,
    videos: Mapping[str, ScoreRow],
    specs: Mapping[str, Mapping[str, Any]],
) -> list[ScoreRow]:
    """Return one row per video; one per sample of the tables if ``videos`` is empty."""
    from sfqa.device import lease_torch_device
    from sfqa.regression import cross
    from sfqa.regression.model_files import Scorer

    design = cross.load_model_features(model, tables, scratch)
    predictions, in_training = None, cross.find_training_rows(model, design)
    if design.sample_ids:
        with lease_torch_device(threads) as device:
            predictions = Scorer(model, device, specs).predict(design.X)
    row_index = {sample_id: n for n, sample_id in enumerate(design.sample_ids)}
    model_columns = {
        "metric": model.metadata["metric"]["name"],
        "weights": _describe_weights(model),
        "synthetic_mos": model.has_synthetic_mos,
        "model": model.metadata["digest"],
    }
    rows = []
    for name in videos or sorted({*row_index, *design.dropped}):
        index = row_index.get(name)
        video = videos.get(name, {"path": None, "sha256": None, "status": "ok", "detail": ""})
        details = [video["detail"], design.dropped.get(name, ""), design.flawed.get(name, "")]
        scores: list[float | None] = [None] * len(model.dimensions)
        if index is not None and predictions is not None:
            scores = [float(value) for value in predictions[index]]
            details += [cross.LEARNT] if in_training[index] else []
        reasons = [part for detail in details for part in detail.split("; ") if part]
        detail = "; ".join(dict.fromkeys(reasons))
        status = "failed" if index is None else "flawed" if detail else "ok"
        rows.append(
            {"video": name, "path": video["path"], "sha256": video["sha256"], "status": status,
             "detail": detail, **dict(zip(_list_columns(model), scores, strict=True)),
             **model_columns}
        )  # fmt: skip
    return rows


def _describe_weights(model: ModelFile) -> str:
    if model.untrained_extractors:
        return "random (untrained)"
    kinds = {record["weights"]["kind"] for record in model.metadata["extractors"].values()}
    return "official" if "official" in kinds else "none"


def _list_columns(model: ModelFile) -> list[str]:
    """Return the names of the score columns, such as ``ridge.quality``."""
    return [f"{model.metadata['metric']['name']}.{name}" for name in model.dimensions]


def _format_scores(model: ModelFile, rows: Sequence[ScoreRow]) -> str:
    """Return a description of the model, the table of scores, and the reasons below it."""
    head, count = model.metadata["head"], model.metadata["rows"]["count"]
    lines = [
        f"{model.metadata['metric']['name']}: head {head['name']} (VERSION {head['version']}), "
        f"trained on {count} samples of {model.metadata['dataset']}"
    ]
    for fit in model.metadata["fits"]:
        for name in fit["dimensions"]:
            mos, srcc = model.metadata["mos"][name], fit["validation_srcc"][name]
            line = f"  {name}: MOS {mos['lowest']:.4g} to {mos['highest']:.4g} in training"
            line += f", mean {mos['mean']:.4g}"
            if srcc is not None:
                line += f", SRCC {srcc:.3f} on {fit['validation']} validation rows"
            lines.append(line)
    if model.untrained_extractors:
        lines.append(
            f"UNTRAINED: the weights of {', '.join(model.untrained_extractors)} are random, so the "
            "scores say nothing about a video"
        )
    if model.has_synthetic_mos:
        lines.append("SYNTHETIC: the model was trained on MOS from simulated raters, not people")
    table = [["video", "status", *model.dimensions]]
    for row in rows:
        scores = [row[name] for name in _list_columns(model)]
        cells = ["-" if score is None else f"{score:.4f}" for score in scores]
        table.append([row["video"], row["status"], *cells])
    for applies, heading, word in (
        (model.untrained_extractors, "weights", "untrained"),
        (model.has_synthetic_mos, "MOS", "synthetic"),
    ):
        if applies:
            table = [[*line, word if n else heading] for n, line in enumerate(table)]
    reasons = [f"{r['video']}: {r['status']}, {r['detail']}" for r in rows if r["detail"]]
    return "\n".join([*lines, "", *align_columns(table), *([""] if reasons else []), *reasons])


def _write_scores(path: Path, rows: Sequence[ScoreRow]) -> None:
    """Write the rows as Parquet or CSV, atomically."""
    import pyarrow as pa

    from sfqa import store

    if path.suffix.lower() == ".parquet":
        store.write_arrow(pa.Table.from_pylist(list(rows)), path)
    else:
        write_csv(path, rows[0], (row.values() for row in rows))
