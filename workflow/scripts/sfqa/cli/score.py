"""``sfqa score``: what a trained model says of a few videos, or of ready feature tables."""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.cli import BAD, FINE, _extract, _show, _videos, features
from sfqa.errors import UserError

if TYPE_CHECKING:
    from sfqa.regression.model_files import ModelFile

SUMMARY = "score videos with a trained model file: a table on the screen, CSV or Parquet with --out"
EXAMPLES = """
sfqa score talk.mp4 --model results/demo/regression/CLIP-ridge/model.sfqa
sfqa score videos/ --model model.sfqa --weights clip=resources/weights/ViT-B-32.pt --out scores.csv
sfqa score --features results/other/features/clip/sharp/0.parquet --model model.sfqa
"""

Row = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("videos", nargs="*", metavar="VIDEO", help="files, folders (all below them), quoted globs")
    add(
        "--model", type=Path, required=True, metavar="FILE",
        help="the model: results/DATASET/regression/METRIC/model.sfqa, a target of the workflow",
    )  # fmt: skip
    add(
        "--features", nargs="+", action="extend", default=[], metavar="TABLE",
        help="ready feature tables instead of videos: files, or folders with all below them",
    )  # fmt: skip
    add(
        "--weights", action="append", default=[], metavar="PATH",
        help="the weights file that the model's extractor was run with (its sha256 is compared); "
        "for one of several extractors NAME=PATH",
    )  # fmt: skip
    add("--prompt", metavar="TEXT", help="the text prompt of the videos, for clip")
    add("--out", type=Path, metavar="FILE", help="also write the table: .csv or .parquet")
    _extract.add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Score the videos; 1 where any of them has no score."""
    if bool(args.videos) == bool(args.features):
        raise UserError("score: give either videos or --features TABLE...; see sfqa score --help")
    if args.features and (args.weights or args.prompt or args.cache):
        raise UserError("--features: ready tables need no --weights, --prompt or --cache")
    features.check_out(args.out)
    if args.threads < 1:
        raise UserError(f"--threads {args.threads}: give 1 or more")
    from sfqa.regression.model_files import read

    model = read(args.model)
    with ExitStack() as stack:
        stack.enter_context(features._progress(args.quiet))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sfqa-score-")))
        if args.features:
            rows = _scored(model, _tables(model, args.features), scratch, args.threads, {})
        else:
            specs = _specs(model, args.weights)
            files = _videos.find_videos(args.videos)
            work = stack.enter_context(features._work(args.cache))
            rows = _of_videos(model, files, specs, args, work, scratch)
        if not rows:
            raise UserError(f"--features {' '.join(args.features)}: the tables have no rows")
        if args.out:
            _write(args.out, rows)
    print(_screen(model, rows))
    if args.out:
        print(f"sfqa: wrote {args.out}", file=sys.stderr)
    return BAD if any(row["status"] == "failed" for row in rows) else FINE


def _specs(model: ModelFile, words: Sequence[str]) -> dict[str, dict[str, Any]]:
    """``features.<name>`` of a configuration for every extractor, as it was for the model."""
    from sfqa.features import base, weights
    from sfqa.regression.cross import check_identity

    wanted: Mapping[str, Any] = model.about["extractors"]
    if not model.about["conform"] or not set(wanted) <= set(_extract.extractors()):
        raise UserError(
            f"{model.path}: this model reads ready features ({', '.join(wanted)} of "
            f"{model.about['dataset']}), which no video gives; score tables of them: --features"
        )
    own = {word.partition("=")[0] for word in words if "=" in word}
    common = [word for word in words if word.partition("=")[0] not in wanted]
    official = [n for n, one in wanted.items() if one["weights"]["kind"] == "official"]
    for name in official:
        if name not in own and not common:
            raise UserError(
                f"--weights: the model {model.path} was trained on features of {name} with the "
                f"weights sha256 {wanted[name]['weights']['identity']}; give them: --weights "
                f"{name}=FILE"
            )
    # Random weights come out of the model's seed; a file given for them is told from it below.
    drawn = [n for n, one in wanted.items() if one["weights"]["kind"] == "random"]
    more = [f"{n}=random" for n in drawn if n not in own and (official or not common)]
    made = _extract.specs(sorted(wanted), [*words, *more], None, [])
    for name, spec in made.items():
        spec["options"] = dict(wanted[name]["options"])
        if spec["weights"] == "random" and name in drawn:
            spec["weights_seed"] = int(wanted[name]["weights"]["identity"].partition(":")[2])
        found = weights.resolve(spec, name)
        here = {
            "version": base.extractor_version(name), "options": spec["options"],
            "weights": {"kind": found.kind, "identity": found.identity},
        }  # fmt: skip
        check_identity(model, name, here)
    return made


def _of_videos(
    model: ModelFile,
    files: Sequence[Path],
    specs: Mapping[str, Mapping[str, Any]],
    args: argparse.Namespace,
    work: Path,
    scratch: Path,
) -> list[Row]:
    """One row per file, in the order given."""
    from sfqa import store
    from sfqa.conform.video import Form

    form = Form(**{**model.about["conform"], "viewing_short_side": None})
    conformed = _extract.conformed(files, _videos.names_of(files), args.prompt, work, form)
    tables: dict[str, list[Path]] = {}
    for name, spec in specs.items():
        try:
            made = _extract.extract(conformed, name, spec, work, args.threads)
        except UserError as error:
            raise UserError(features.as_arguments(str(error))) from error
        tables[name] = [scratch / f"{name}.parquet"]
        store.write_arrow(made.table, tables[name][0], made.about)
    videos = {}
    for file, record in zip(files, store.to_records(conformed), strict=True):
        videos[record["sample_id"]] = {
            "path": str(file), "sha256": record["source_sha256"], "status": record["status"],
            "detail": record["detail"],
        }  # fmt: skip
    return _scored(model, tables, scratch, args.threads, videos)


def _tables(model: ModelFile, words: Sequence[str]) -> dict[str, list[Path]]:
    """The feature tables of the model's extractors that files and folders mean."""
    from sfqa.regression.cross import extractor_of

    found: dict[str, list[Path]] = {}
    for word in words:
        path = Path(word).expanduser()
        below = sorted(p for p in path.rglob("*.parquet") if not p.name.startswith("."))
        inside = below if path.is_dir() else [path]
        tables = [(extractor_of(p), p) for p in inside]
        named = [(name, p) for name, p in tables if name in model.about["extractors"]]
        if not named:
            said = ", ".join(sorted({name for name, _ in tables if name})) or "none"
            raise UserError(
                f"{word}: no feature table of {', '.join(model.about['extractors'])}, which the "
                f"model reads; there are features of {said}"
            )
        for name, table in named:
            if table not in found.setdefault(name, []):
                found[name].append(table)
    return found


def _scored(
    model: ModelFile,
    tables: Mapping[str, Sequence[Path]],
    scratch: Path,
    threads: int,
    videos: Mapping[str, Row],
) -> list[Row]:
    """One row per video, or per sample of the tables where there are no videos."""
    from sfqa.device import lease_torch_device
    from sfqa.regression import cross
    from sfqa.regression.model_files import Scorer

    design = cross.load_like(model, tables, scratch)
    values, learnt = None, cross.seen(model, design)
    if design.sample_ids:
        with lease_torch_device(threads) as device:
            values = Scorer(model, device).predict(design.X)
    place = {s: n for n, s in enumerate(design.sample_ids)}
    about = {
        "metric": model.about["metric"]["name"],
        "weights": _weights(model),
        "synthetic_mos": model.synthetic,
        "model": model.about["digest"],
    }
    rows = []
    for name in videos or sorted({*place, *design.dropped}):
        at = place.get(name)
        given = videos.get(name, {"path": None, "sha256": None, "status": "ok", "detail": ""})
        notes = [given["detail"], design.dropped.get(name, ""), design.flawed.get(name, "")]
        scores: list[float | None] = [None] * len(model.dimensions)
        if at is not None and values is not None:
            scores = [float(v) for v in values[at]]
            notes += [cross.LEARNT] if learnt[at] else []
        detail = "; ".join(dict.fromkeys(part for n in notes for part in n.split("; ") if part))
        status = "failed" if at is None else "flawed" if detail else "ok"
        rows.append(
            {"video": name, "path": given["path"], "sha256": given["sha256"], "status": status,
             "detail": detail, **dict(zip(_columns(model), scores, strict=True)), **about}
        )  # fmt: skip
    return rows


def _weights(model: ModelFile) -> str:
    if model.untrained:
        return "random (untrained)"
    kinds = {one["weights"]["kind"] for one in model.about["extractors"].values()}
    return "official" if "official" in kinds else "none"


def _columns(model: ModelFile) -> list[str]:
    """The columns of the scores: 'ridge.quality'."""
    return [f"{model.about['metric']['name']}.{name}" for name in model.dimensions]


def _screen(model: ModelFile, rows: Sequence[Row]) -> str:
    """The table as text, what it comes from above it, the reasons below."""
    about = model.about
    head = about["head"]
    lines = [
        f"{about['metric']['name']}: head {head['name']} (VERSION {head['version']}), trained on "
        f"{about['rows']['count']} samples of {about['dataset']}"
    ]
    for fit in about["fits"]:
        for name in fit["dimensions"]:
            mos, srcc = about["mos"][name], fit["validation_srcc"][name]
            rows_of = f"{fit['validation']} validation rows"
            said = "" if srcc is None else f", SRCC {srcc:.3f} on {rows_of}"
            span = f"MOS {mos['lowest']:.4g} to {mos['highest']:.4g}"
            lines.append(f"  {name}: {span} in training, mean {mos['mean']:.4g}{said}")
    if model.untrained:
        lines.append(
            f"UNTRAINED: the weights of {', '.join(model.untrained)} are random, so that the "
            "scores say nothing of a video"
        )
    if model.synthetic:
        lines.append("SYNTHETIC: the MOS that it learnt came from simulated raters, not people")
    table = [["video", "status", *model.dimensions]]
    for row in rows:
        scores = [row[name] for name in _columns(model)]
        cells = ["-" if v is None else f"{v:.4f}" for v in scores]
        table.append([row["video"], row["status"], *cells])
    for bad, title, word in (
        (model.untrained, "weights", "untrained"),
        (model.synthetic, "MOS", "synthetic"),
    ):
        if bad:
            table = [[*line, word if n else title] for n, line in enumerate(table)]
    reasons = [f"{r['video']}: {r['status']}, {r['detail']}" for r in rows if r["detail"]]
    parts = [*lines, "", *_show._aligned(table), *([""] if reasons else []), *reasons]
    return "\n".join(parts)


def _write(path: Path, rows: Sequence[Row]) -> None:
    """Write the rows, whole and by rename: Parquet, or CSV with empty cells."""
    import pyarrow as pa

    from sfqa import store

    if path.suffix.lower() == ".parquet":
        store.write_arrow(pa.Table.from_pylist(list(rows)), path)
        return
    with store.replacing(path) as part, open(part, "w", newline="", encoding="utf-8") as handle:
        lines = csv.DictWriter(handle, list(rows[0]), lineterminator="\n")
        lines.writeheader()
        lines.writerows({k: "" if v is None else v for k, v in row.items()} for row in rows)
