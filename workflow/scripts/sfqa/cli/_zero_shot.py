"""Score videos with a zero-shot quality model of the registry, such as LSE-C."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from sfqa.cli import _extract, _video_files
from sfqa.cli._tables import align_columns
from sfqa.cli.features import name_arguments, open_cache, show_progress
from sfqa.errors import UserError, hint

if TYPE_CHECKING:
    from sfqa.models.quality_models import QualityModel


def find_zero_shot(name: str) -> QualityModel:
    """Return the zero-shot model of a name.

    For a model that is trained on a dataset this is its entry NAME-zero-shot, the published
    weights without training, if there is one. Raises :class:`UserError` for an unknown name, and
    for a trained model without such an entry.
    """
    from sfqa.regression.model_metrics import load_checked_models

    models = load_checked_models()
    zero_shot = [model.name for model in models.values() if model.is_zero_shot]
    if name not in models:
        raise UserError(
            f"--model {name}: no such file, and no zero-shot quality model of this name; "
            f"{hint(name, zero_shot)}"
        )
    if not models[name].is_zero_shot:
        name_without_training = f"{name}-zero-shot"
        if name_without_training in models:
            return models[name_without_training]
        raise UserError(
            f"--model {name}: this model is trained on a dataset; give its model file, "
            f"results/DATASET/regression/{name}/model.sfqa, a target of the workflow"
        )
    return models[name]


def score_videos(model: QualityModel, args: argparse.Namespace) -> tuple[list[dict[str, Any]], str]:
    """Return a row for each video, and the weights in words.

    The weights are the official ones unless ``args.weights`` names others.
    """
    from sfqa import store
    from sfqa.features.base import has_weights

    (extractor, options) = next(iter(model.features.items()))
    weights = args.weights or (["official"] if has_weights(extractor) else [])
    settings = [f"{key}={value}" for key, value in options.items()]
    spec = _extract.make_specs([extractor], weights, None, settings)[extractor]
    with ExitStack() as stack:
        stack.enter_context(show_progress(args.quiet))
        files = _video_files.find_videos(args.videos)
        work = stack.enter_context(open_cache(args.cache))
        sample_ids = _video_files.name_files(files)
        form = _extract.make_form(None, None)
        conformed = _extract.conform_files(files, sample_ids, args.prompt, work, form)
        try:
            extracted = _extract.extract(conformed, extractor, spec, work, args.threads)
        except UserError as error:
            raise UserError(name_arguments(str(error))) from error
    columns = _list_columns(model)
    features = {row["sample_id"]: row for row in extracted.table.to_pylist()}
    rows = []
    for file, record in zip(files, store.to_records(conformed), strict=True):
        feature = features[record["sample_id"]]
        details = [record["detail"], feature["detail"]]
        reasons = [part for detail in details if detail for part in detail.split("; ")]
        scores = {name: feature[column] for name, column in columns.items()}
        if not reasons:
            reasons += [
                f"no_score: {extractor} gives no {columns[name]} for this video"
                for name, score in scores.items()
                if score is None
            ]
        has_score = any(score is not None for score in scores.values())
        status = "failed" if not has_score else "flawed" if reasons else "ok"
        rows.append(
            {
                "video": record["sample_id"], "path": str(file), "sha256": record["source_sha256"],
                "status": status, "detail": "; ".join(dict.fromkeys(reasons)), **scores,
                "metric": model.name,
                "weights": "random (untrained)" if extracted.untrained else extracted.weights,
            }
        )  # fmt: skip
    return rows, extracted.weights


def _list_columns(model: QualityModel) -> dict[str, str]:
    """Return the feature column of each score; 'NAME.dimension' if there is one for each."""
    named = {f"{model.name}.{dim}": text for dim, text in model.dimension_inputs.items()}
    named = named or {model.name: model.inputs[0]}
    return {name: text.partition(".")[2] for name, text in named.items()}


def format_scores(model: QualityModel, rows: Sequence[dict[str, Any]], weights: str) -> str:
    """Return the model in one line, the table of scores, and the reasons below it."""
    better = "higher" if model.direction == 1 else "lower"
    lines = [f"{model.name}: zero-shot, {better} is better; weights: {weights}"]
    is_untrained = weights.startswith("random")
    if is_untrained:
        lines.append("UNTRAINED: its weights are random, its numbers say nothing about a video")
    names = list(_list_columns(model))
    headings = list(model.dimension_inputs) or names
    table = [["video", "status", *headings, *(["weights"] if is_untrained else [])]]
    for row in rows:
        cells = ["-" if row[name] is None else f"{row[name]:.4f}" for name in names]
        table.append([row["video"], row["status"], *cells, *(["untrained"] * is_untrained)])
    reasons = [f"{r['video']}: {r['status']}, {r['detail']}" for r in rows if r["detail"]]
    return "\n".join([*lines, "", *align_columns(table), *([""] if reasons else []), *reasons])
