"""Scores from a model file for the features of another dataset or of new videos.

Features must be computed as in the model's training: same extractor, VERSION, options, weights,
form of the videos and columns. Otherwise an error names both sides of the difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq

from sfqa import store
from sfqa.errors import UserError
from sfqa.identity import digest
from sfqa.regression import _rows, heads, model_files
from sfqa.regression.blocks import BlockDesign, Steps, load_blocks
from sfqa.regression.design import Design, Files, load_design, select_columns
from sfqa.regression.model_files import ModelFile, Scorer, fingerprint_rows
from sfqa.splits.grouping import get_group_values
from sfqa.splits.protocols import CROSS, TEST, make_splits

#: Options of ``conform`` that change pixels or sound, and so the features.
CONFORM_KEYS = ("short_side", "fps", "sample_rate", "crf", "preset", "mode")
#: Stands for the conform options of imported features.
_UNKNOWN = "ready features, of unknown videos"
#: What samples are made from, and its column in tables.SAMPLES.
_MATERIAL_COLUMNS = (("image", "image_sha256"), ("clip", "clip_sha256"), ("prompt", "prompt"))
#: Reason of a row that is not a test of the model.
LEARNT = "in_training: its features are those of a row that the model learnt from"
#: Largest number of columns in a message.
_MAX_NAMES = 4


def read_identity(extractor: str, paths: Sequence[Path | str]) -> dict[str, Any]:
    """Return the version, options and weights that an extractor's feature tables were made with.

    For imported features ``version`` is None and ``options`` is empty. Raises :class:`UserError`
    for a file that is not a feature table, and for tables that differ in their identity.
    """
    identity: dict[str, Any] | None = None
    for path in sorted(map(Path, paths)):
        metadata = _read_metadata(path)
        if metadata.get("extractor") != extractor or "weights" not in metadata:
            raise UserError(f"{path}: not a feature table of {extractor}; give one that is")
        file_identity = {
            "version": metadata.get("version"),
            "options": metadata.get("options") or {},
            "weights": metadata["weights"],
        }
        if identity is not None and file_identity != identity:
            here, others = _describe_differences(file_identity, identity)
            raise UserError(
                f"{path}: made with {here}, the other tables of {extractor} with {others}; delete "
                "the older tables, so that they are made again"
            )
        identity = file_identity
    if identity is None:
        raise UserError(f"no feature table of {extractor}; give one or more")
    return identity


def read_extractor_name(path: Path | str) -> str:
    """Return the extractor of a feature table, '' for another table.

    Raises :class:`UserError` for a file that is not Parquet.
    """
    return str(_read_metadata(Path(path)).get("extractor") or "")


def describe_inputs(
    design: Design | BlockDesign, files: Files, inputs: Sequence[str]
) -> list[dict[str, Any]]:
    """Return what a design reads from the tables: input, its columns, the shape of a row.

    A matrix has one entry per column, because other tables may have the columns in another order
    or have more columns.
    """
    if isinstance(design, BlockDesign):
        return [
            {"input": text, "columns": _list_columns(files, text), "shape": list(x.shape[1:])}
            for text, x in design.X.items()
        ]
    columns_of_extractor: dict[str, list[str]] = {}
    for text in inputs:
        columns = columns_of_extractor.setdefault(text.partition(".")[0], [])
        columns += [c for c in _list_columns(files, text) if c not in columns]
    entries = []
    for extractor, columns in columns_of_extractor.items():
        for column in columns:
            name = f"{extractor}.{column}"
            width = sum(n.startswith(f"{name}[") for n in design.names)
            shape = [] if name in design.names else [width]
            entries.append({"input": name, "columns": [column], "shape": shape})
    return entries


def load_model_features(model: ModelFile, files: Files, work: Path) -> Design | BlockDesign:
    """Return the features that a model reads, from other tables of the same extractors.

    ``files`` maps an extractor to its feature tables. Heads that read sequences get the same number
    of steps as in training, chosen by the rule of the head. Raises :class:`UserError` if the tables
    differ from those of the training in their identity, columns or shapes.
    """
    for extractor in model.metadata["extractors"]:
        if not files.get(extractor):
            available = ", ".join(sorted(files)) or "none"
            raise UserError(
                f"{model.path}: the model reads features of {extractor}; available are those of "
                f"{available}; extract {extractor} too"
            )
        check_identity(model, extractor, read_identity(extractor, files[extractor]))
    _check_columns(model, files)
    entries = model.metadata["inputs"]
    design: Design | BlockDesign
    if model.metadata["design"] == "blocks":
        head = heads.load_head(str(model.metadata["head"]["name"]))
        with model_files.explain_unusable_model(model.path):
            head_inputs = head.list_inputs(model.metadata["head"]["options"], model.inputs)
            pairs = zip(head_inputs, entries, strict=True)
            sized = [_fix_steps(head_input.steps, entry["shape"]) for head_input, entry in pairs]
        design = load_blocks(files, model.inputs, sized, work)
        shapes = {name: list(x.shape[1:]) for name, x in design.X.items()}
    else:
        design = load_design(files, model.inputs)
        loaded = describe_inputs(design, files, model.inputs)
        shapes = {entry["input"]: entry["shape"] for entry in loaded}
    for entry in entries if design.sample_ids else ():
        if (shape := shapes.get(entry["input"])) != entry["shape"]:
            raise UserError(
                f"{files[entry['input'].partition('.')[0]][0]}: {entry['input']} has the shape "
                f"{shape} in each row, the model {model.path} was trained on "
                f"{entry['shape']}; extract the features as for the model, or train a model on "
                "these"
            )
    return design


def check_identity(model: ModelFile, extractor: str, identity: Mapping[str, Any]) -> None:
    """Raise :class:`UserError` if the identity of features differs from that of the training."""
    model_identity = model.metadata["extractors"][extractor]
    if dict(identity) != dict(model_identity):
        here, in_training = _describe_differences(identity, model_identity)
        raise UserError(
            f"{extractor}: the features are made with {here}, the model {model.path} was trained "
            f"on {in_training}; extract the features as for the model, or train a model on these"
        )


def check_conform(model: ModelFile, conform: Mapping[str, Any] | None) -> None:
    """Raise :class:`UserError` if videos were conformed with other options than in the training."""
    here, in_training = (
        {k: dict(options)[k] for k in CONFORM_KEYS} if options else None
        for options in (conform, model.metadata["conform"])
    )
    if here == in_training:
        return
    differing = [
        k for k in CONFORM_KEYS if not here or not in_training or here[k] != in_training[k]
    ]
    texts = [
        ", ".join(f"{k} {options[k]}" for k in differing) if options else _UNKNOWN
        for options in (here, in_training)
    ]
    raise UserError(
        f"config, conform: the videos here have {texts[0]}, those of the model {model.path} "
        f"{texts[1]}; use the same options"
    )


def check_metric(model: ModelFile, metric: Mapping[str, Any], where: str) -> None:
    """Raise :class:`UserError` if a model file has another head or options than the metric here."""
    options = heads.merge_number_options(str(metric["head"]), metric.get("options"))
    head = model.metadata["head"]
    ours, theirs = ({"head": metric["head"], **options}, {"head": head["name"], **head["options"]})
    if ours != theirs:
        differing = sorted(k for k in ours | theirs if ours.get(k) != theirs.get(k))
        texts = [", ".join(f"{k} {c.get(k)}" for k in differing) for c in (ours, theirs)]
        raise UserError(
            f"{where}: metric {metric['name']} has {texts[0]} here and {texts[1]} in {model.path}; "
            "use the same options, or rename one of them"
        )


def score_cross_dataset(
    metric: Mapping[str, Any],
    protocol: Mapping[str, Any],
    model: ModelFile,
    design: Design | BlockDesign,
    samples: pd.DataFrame,
    mos: pd.DataFrame,
    device: str = "cpu",
) -> list[dict[str, Any]]:
    """Return rows of tables.PREDICTIONS for a protocol of kind cross_dataset, all of part test.

    ``design`` comes from :func:`load_model_features`. Rows are failed, with the reason, for a
    dimension that the model does not have, for a sample that the model was trained on, and (without
    ``allow_shared``) for a sample with the image, clip or prompt of a training sample. Raises
    :class:`UserError` if the model has none of the dimensions, or no sample is left to test.
    """
    where = f"config, regression.protocols {protocol.get('name')!r}"
    check_metric(model, metric, where)
    (split,) = make_splits(samples, protocol, 0)
    rated, predicted = _rows.select_dimensions(metric, mos), model.dimensions
    renamed = dict(protocol.get("dimensions") or {})
    for ours, theirs in renamed.items():
        if theirs not in predicted:
            raise UserError(
                f"{where}, dimensions.{ours}: {model.path} has no dimension {theirs!r}; it has "
                f"{', '.join(predicted)}"
            )
    model_dimension = {name: renamed.get(name, name) for name in rated}
    if not set(model_dimension.values()) & set(predicted):
        raise UserError(
            f"{where}: rated here are {', '.join(rated)}, {model.path} predicts "
            f"{', '.join(predicted)}; map them, such as dimensions: "
            f"{{{rated[0]}: {predicted[0]}}}"
        )
    in_training = dict(
        zip(design.sample_ids, find_training_rows(model, design).tolist(), strict=True)
    )
    if in_training and all(in_training.values()):
        raise UserError(
            f"{where}: {model.path} was trained on these very samples "
            f"({model.metadata['dataset']}); name the results folder of another dataset"
        )
    shared = {} if protocol.get("allow_shared", False) else find_shared_materials(model, samples)
    if shared and all(in_training[s] or s in shared for s in design.sample_ids):
        raise UserError(
            f"{where}: every sample shares an image, clip or prompt with those that {model.path} "
            "was trained on, so no test sample is left; write allow_shared: true to test them "
            "nevertheless"
        )
    sources = metric.get("first_weights")
    values = Scorer(model, device, sources).predict(design.X) if design.sample_ids else None
    row_of = {s: n for n, s in enumerate(design.sample_ids)}
    missing = "no_features: the sample has no feature row"
    rows = []
    for dimension in rated:
        for sample in _rows.list_samples(split, [TEST]):
            value, note = None, ""
            if model_dimension[dimension] not in predicted:
                note = f"no_model: {model.path} has no dimension {model_dimension[dimension]}"
            elif sample not in row_of:
                note = design.dropped.get(sample, missing)
            elif in_training[sample]:
                note = LEARNT
            elif sample in shared:
                note = shared[sample]
            elif values is not None:
                value = float(values[row_of[sample], predicted.index(model_dimension[dimension])])
                note = design.flawed.get(sample, "")
                if value != value or abs(value) == float("inf"):
                    note, value = f"not_finite: the model predicted {value}", None
            rows.append(_rows.make_row(metric, dimension, split, sample, value, note))
    return rows


def find_training_rows(model: ModelFile, design: Design | BlockDesign) -> npt.NDArray[np.bool_]:
    """Return a mask of the rows whose features equal those of a training row of the model."""
    if not design.sample_ids:
        return np.zeros(0, bool)
    return np.isin(fingerprint_rows(design.X), model.get_array("seen"))


def hash_materials(samples: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Return a 64-bit hash of each sample's image, clip and prompt: {'image': {sample: hash}, ...}.

    Images and clips are identified by their sha256, if it is in the table. A prompt that all
    samples of a method share is a setting, not content.
    """
    rows = samples.reset_index(drop=True)
    hashes: dict[str, dict[str, int]] = {}
    for material, column in _MATERIAL_COLUMNS:
        cells = get_group_values(rows, material) if material == "prompt" else rows.get(column)
        pairs = [] if cells is None else zip(rows["sample_id"], cells, strict=True)
        hashes[material] = {s: int(digest(str(v))[:16], 16) for s, v in pairs if not pd.isna(v)}
    return hashes


def find_shared_materials(model: ModelFile, samples: pd.DataFrame) -> dict[str, str]:
    """Return a reason for each sample whose image, clip or prompt is in the training data."""
    reasons: dict[str, str] = {}
    for material, hashes in hash_materials(samples).items():
        in_training = set(model.get_array(f"material/{material}").tolist())
        for sample, material_hash in hashes.items():
            if material_hash in in_training:
                reason = f"shared_material: the model learnt from a sample of the same {material}"
                reasons.setdefault(sample, reason)
    return reasons


def describe_provenance(model: ModelFile) -> dict[str, Any]:
    """Return the metadata of a table of a model's scores."""
    metadata = model.metadata
    return {
        "dataset": metadata["dataset"], "digest": metadata["digest"], "head": metadata["head"],
        "rows": metadata["rows"], "synthetic_mos": model.has_synthetic_mos,
        "untrained": model.untrained_extractors,
    }  # fmt: skip


def describe_model(model: ModelFile) -> str:
    """Return a line for logs: metric, head, training data, and warnings about these."""
    metadata, head = model.metadata, model.metadata["head"]
    text = (
        f"{metadata['metric']['name']} (head {head['name']} VERSION {head['version']}), trained on "
        f"{metadata['rows']['count']} samples of {metadata['dataset']}"
    )
    if model.untrained_extractors:
        text += f"; UNTRAINED features: random weights of {', '.join(model.untrained_extractors)}"
    if model.has_synthetic_mos:
        text += "; SYNTHETIC MOS: simulated raters, no people"
    return text


def select_cross_protocols(protocols: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the protocols of kind cross_dataset.

    >>> select_cross_protocols([{"name": "a", "kind": "random_kfold"}])
    []
    """
    return [p for p in protocols if p.get("kind") == CROSS]


def _read_metadata(path: Path) -> dict[str, Any]:
    try:
        return store.read_metadata(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such feature table; correct the path") from error
    except Exception as error:
        raise UserError(f"{path}: not a Parquet file; give a feature table") from error


def _list_columns(files: Files, text: str) -> list[str]:
    """Return the columns that an input stands for, in the order of the first table."""
    extractor, _, column = text.partition(".")
    path = min(map(Path, files[extractor]))
    return select_columns(path, pq.read_schema(path), [column or None])


def _check_columns(model: ModelFile, files: Files) -> None:
    """Raise :class:`UserError` if the tables lack columns that the model reads.

    An input that stands for all columns of an extractor must have exactly the same columns.
    """
    for entry in model.metadata["inputs"]:
        extractor, _, column = entry["input"].partition(".")
        path = min(map(Path, files[extractor]))
        available = select_columns(path, schema := pq.read_schema(path), [None])  # no views
        missing = [c for c in entry["columns"] if c not in {*available, *schema.names}]
        if missing or (not column and available != entry["columns"]):
            raise UserError(
                f"{path}: {extractor} has the columns {_shorten_list(available)}; the model "
                f"{model.path} ({model.metadata['dataset']}) reads "
                f"{_shorten_list(_list_model_columns(model, extractor))}"
                + (f", of which {_shorten_list(missing)} is missing" if missing else "")
                + "; give the same columns"
            )


def _list_model_columns(model: ModelFile, extractor: str) -> list[str]:
    """Return all columns of an extractor that a model reads."""
    entries = [e for e in model.metadata["inputs"] if e["input"].partition(".")[0] == extractor]
    return list(dict.fromkeys(column for entry in entries for column in entry["columns"]))


def _shorten_list(names: Sequence[str]) -> str:
    """Return the first names as a text, with the number of the others."""
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more


def _fix_steps(steps: Steps, shape: Sequence[int]) -> Steps:
    """Return the steps with their number in the training, if the head does not set one."""
    if steps.count is None and steps.rule != "mean" and len(shape) >= 2:
        return replace(steps, count=int(shape[0]))
    return steps


def _describe_differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[str, str]:
    """Return the values in which two identities of an extractor differ, as a text for each."""
    flat = [_flatten_identity(first), _flatten_identity(second)]
    differing = [k for k in flat[0] | flat[1] if flat[0].get(k) != flat[1].get(k)]
    texts = [", ".join(f"{k} {values.get(k, 'none')}" for k in differing) for values in flat]
    return texts[0], texts[1]


def _flatten_identity(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of an identity, options included, by a name for messages."""
    weights = identity["weights"]
    prefix = "sha256 " if weights["kind"] == "official" else ""
    values = {"VERSION": identity["version"], "weights": f"{prefix}{weights['identity']}"}
    return values | {f"option {k}": v for k, v in identity["options"].items()}
