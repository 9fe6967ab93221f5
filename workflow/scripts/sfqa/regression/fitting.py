"""Fit of a metric for a model file, on all samples that have features and a MOS.

There are no test rows. A head that needs validation rows for its model selection gets whole groups
(image, clip, prompt), drawn as in the protocols. Dimensions are fitted one by one or together,
depending on the head.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sfqa import identity
from sfqa.arrays import AnyArray, Floats, Ints
from sfqa.errors import UserError
from sfqa.regression import _rows, cross, heads, model_files
from sfqa.regression.blocks import BlockDesign
from sfqa.regression.design import Design, Files
from sfqa.regression.first_weights import add_base, add_question, load_first_weights
from sfqa.regression.head import ModelHead
from sfqa.regression.metrics import read_versions
from sfqa.regression.model_files import VERSION, fingerprint_rows
from sfqa.regression.problems import Problem, find_reason, get_blocks
from sfqa.regression.selection import score_selection
from sfqa.regression.train import make_split_problem
from sfqa.splits.drawing import draw_validation
from sfqa.splits.grouping import (
    choose_groups,
    encode_groups,
    find_largest,
    get_group_values,
    may_be_empty,
)
from sfqa.splits.protocols import TRAIN, VALIDATION, Split
from sfqa.training.curves import keep_curves

#: Share of validation rows, if the head needs them; the default of the protocols.
SHARE = 0.15
#: Number of rows whose predictions are in the file, to detect a model that predicts other values.
PROBES = 2
#: Libraries that the numbers depend on.
_PACKAGES = ("numpy", "scikit-learn", "scipy", "torch")
#: Keys of the metric that are copied to the file.
_METRIC_KEYS = ("name", "kind", "group", "inputs", "direction", "dimensions")


class ModelOrigin(NamedTuple):
    """Data of a model: dataset, conform options of its videos (None: unknown), feature tables."""

    dataset: str
    conform: Mapping[str, Any] | None
    files: Files


def fit_model(
    metric: Mapping[str, Any],
    design: Design | BlockDesign,
    samples: pd.DataFrame,
    mos: pd.DataFrame,
    origin: ModelOrigin,
    seed: int,
    work: Path,
    device: str = "cpu",
) -> tuple[dict[str, Any], dict[str, AnyArray]]:
    """Fit a metric; return metadata and arrays for :func:`sfqa.regression.model_files.write`.

    ``metric`` is an entry of kind regressor, ``design`` its features (see
    :func:`sfqa.regression.train.load_features`), ``samples`` and ``mos`` are those tables.
    Checkpoints are written to ``work``, so that a killed fit resumes. Raises :class:`UserError` for
    another kind of metric, and for a dimension that cannot be fitted.
    """
    check_is_trained(metric)
    head = str(metric["head"])
    options = heads.merge_options(head, metric.get("options"))
    row_of = {s: n for n, s in enumerate(design.sample_ids)}
    names = _rows.select_dimensions(metric, mos)
    rated = set().union(*(_rows.select_mos(mos, name) for name in names))
    split, groups = _split_rows(
        metric, samples, row_of, rated, heads.needs_validation(head, options), seed
    )
    sets = [names] if heads.is_multi_output(head) else [[name] for name in names]
    fit_options = add_base(metric, options)
    problems, first_weights = [], load_first_weights(metric, fit_options)
    for dimensions in sets:
        single = [] if heads.is_multi_output(head) else dimensions
        fit_seed = identity.seed_of(seed, "model file", *single)
        mos_of = [_rows.select_mos(mos, name) for name in dimensions]
        label = " and ".join(dimensions)
        own_weights = add_question(first_weights, options, dimensions, metric["name"])
        problems.append(
            make_split_problem(row_of, split, mos_of, fit_seed, label, groups, own_weights)
        )
        reason = find_reason(problems[-1], heads.needs_validation(head, options))
        if reason:
            dropped = next(iter(design.dropped.items()), None)
            example = f"; without features e.g. {dropped[0]}: {dropped[1]}" if dropped else ""
            raise _make_fit_error(metric, problems[-1], reason + example)
    training = _describe_training(head, design, problems[0].dims, fit_options)
    predicted, states, reasons = _fit_problems(
        head, design, problems, fit_options, Path(work), device
    )
    for problem, reason in zip(problems, reasons, strict=True):
        if reason:
            raise _make_fit_error(metric, problem, reason)
    used = sorted({int(n) for problem in problems for n in problem.rows})
    arrays = {f"{n}/{k}": v for n, state in enumerate(states or []) for k, v in state.items()}
    if states is None:
        arrays |= _copy_training_rows(design, problems, used)
    probe = np.array(used[:PROBES], np.int64)
    arrays |= {f"probe/{k}": v[probe] for k, v in get_blocks(design.X).items()}
    ids = [design.sample_ids[n] for n in used]
    for material, hash_of in cross.hash_materials(samples).items():
        hashes = sorted({hash_of[s] for s in ids if s in hash_of})
        arrays[f"material/{material}"] = np.array(hashes, np.uint64)
    # All rows are hashed and some selected, since a copy of the rows may exceed the memory.
    arrays["seen"] = np.sort(fingerprint_rows(design.X)[used])
    arrays["probe"] = np.concatenate([values[probe] for values in predicted], axis=1)
    extractors = sorted({text.partition(".")[0] for text in metric["inputs"]})
    metadata = {
        "version": VERSION,
        "metric": {key: metric.get(key) for key in _METRIC_KEYS},
        "head": {
            "name": head, "version": heads.read_version(head),
            "options": heads.merge_number_options(head, options),
            "refit": states is None,
        },
        **training,
        "design": heads.read_design(head),
        "inputs": cross.describe_inputs(design, origin.files, list(metric["inputs"])),
        "extractors": {e: cross.read_identity(e, origin.files[e]) for e in extractors},
        "conform": dict(origin.conform) if origin.conform else None,
        "dataset": origin.dataset,
        "seed": seed,
        "fits": [
            _describe_fit(dimensions, problem, values, heads.needs_validation(head, options))
            for dimensions, problem, values in zip(sets, problems, predicted, strict=True)
        ],
        "mos": _describe_mos(mos, sets, problems),
        "rows": {
            "count": len(used),
            "samples": identity.digest(ids),
            "mos": _hash_mos(problems, used),
        },
        "code": read_versions(metric),
        "packages": {name: package_version(name) for name in _PACKAGES},
    }  # fmt: skip
    return metadata, arrays


def _describe_training(
    head: str, design: Design | BlockDesign, dims: int, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return which tensors of a backbone were trained, in each stage; nothing for other heads."""
    loaded = heads.load_head(head)
    training: dict[str, Any] = {}
    if isinstance(loaded, ModelHead):
        training = loaded.describe_training(design.X, dims, options)
    if not training:
        return {}
    return {"training": {"stages": training["stages"]}, model_files.SAFETENSORS: True}


def check_is_trained(metric: Mapping[str, Any]) -> None:
    """Raise :class:`UserError` for a metric that is not trained."""
    if metric["kind"] != "regressor":
        raise UserError(
            f"metric {metric['name']}: kind {metric['kind']} is not trained, so there is no model "
            "of it; name a metric of kind regressor"
        )


def _split_rows(
    metric: Mapping[str, Any],
    samples: pd.DataFrame,
    row_of: Mapping[str, int],
    rated: set[str],
    selects: bool,
    seed: int,
) -> tuple[Split, Ints | None]:
    """Return a split into train and validation rows, and the group of each row of x.

    The groups are None if the samples have none. The split has only rows with features and a MOS,
    so that datasets with few rated samples have validation rows too.
    """
    where = f"metric {metric['name']}, model file"
    rows = samples.sort_values("sample_id", ignore_index=True)
    # Rows cannot be grouped by image (clip) if some of them lack it; the other groups are used.
    complete = [
        g for g in choose_groups(rows, {}, where)
        if may_be_empty(g) or get_group_values(rows, g).notna().all()
    ]  # fmt: skip
    codes_of = encode_groups(rows, complete, where)
    codes = find_largest(codes_of) if codes_of else np.arange(len(rows))
    ids = rows["sample_id"].tolist()
    usable = np.array([s in row_of and s in rated for s in ids], bool)
    share = SHARE if selects else 0.0
    # With a single group there are no validation rows; the caller reports that as too few rows.
    share = share if len(np.unique(codes[usable])) > 1 else 0.0
    validation = draw_validation(usable, codes, share, (seed, "model file", "validation"), where)
    part = {
        sample: VALIDATION if is_validation else TRAIN
        for sample, is_validation, is_usable in zip(ids, validation, usable, strict=True)
        if is_usable
    }
    code_of = dict(zip(ids, codes.tolist(), strict=True))
    groups = np.array([code_of.get(s, -1) for s in row_of], np.int64) if codes_of else None
    return Split("model file", 0, part), groups


def _fit_problems(
    head: str,
    design: Design | BlockDesign,
    problems: Sequence[Problem],
    options: Mapping[str, Any],
    work: Path,
    device: str,
) -> tuple[Floats, list[dict[str, AnyArray]] | None, list[str]]:
    """Return predictions (fits, rows of x, dims), states (None if the head has none), reasons."""
    loaded = heads.load_head(head)
    scratch = work / "checkpoints"
    scratch.mkdir(parents=True, exist_ok=True)
    states: list[dict[str, AnyArray]] | None = None
    if isinstance(loaded, ModelHead):
        models = loaded.fit(design.X, problems, options, scratch, device)
        predicted, reasons = models.predict(design.X), list(models.reasons)
        if not any(reasons):
            states = [models.state(n) for n in range(len(problems))]
    else:
        predicted, reasons = heads.fit_and_predict(
            head, design.X, problems, options, scratch, device
        )
    keep_curves(scratch, work)
    shutil.rmtree(scratch)
    return predicted, states, reasons


def _copy_training_rows(
    design: Design | BlockDesign, problems: Sequence[Problem], used: Sequence[int]
) -> dict[str, AnyArray]:
    """Return the features, MOS and parts of the used rows, for a head without a state."""
    position = {row: n for n, row in enumerate(used)}
    arrays: dict[str, AnyArray] = {"x": get_blocks(design.X)["x"][list(used)]}
    for n, problem in enumerate(problems):
        for name, rows in (("train", problem.train), ("validation", problem.validation)):
            arrays[f"{n}/{name}"] = np.array([position[int(row)] for row in rows], np.int64)
        arrays[f"{n}/y"] = problem.y[list(used)]
        if problem.groups is not None:
            arrays[f"{n}/groups"] = problem.groups[list(used)]
    return arrays


def _describe_fit(
    dimensions: Sequence[str], problem: Problem, predicted: Floats, selects: bool
) -> dict[str, Any]:
    """Return the metadata of one fit."""
    is_rated = np.isfinite(problem.y)
    scores: dict[str, float | None] = {}
    for column, name in enumerate(dimensions):
        rows = problem.validation[is_rated[problem.validation, column]]
        value = (
            score_selection(predicted[rows, column], problem.y[rows, column]) if selects else -2.0
        )
        scores[name] = value if value >= -1 else None
    return {
        "dimensions": list(dimensions),
        "seed": problem.seed,
        "train": len(problem.train),
        "validation": len(problem.validation),
        "validation_srcc": scores,
    }


def _describe_mos(
    mos: pd.DataFrame, sets: Sequence[Sequence[str]], problems: Sequence[Problem]
) -> dict[str, Any]:
    """Return number, range and moments of the MOS used, and whether any is synthetic."""
    summary = {}
    for dimensions, problem in zip(sets, problems, strict=True):
        for column, name in enumerate(dimensions):
            y = problem.y[problem.rows, column]
            y = y[np.isfinite(y)]
            summary[name] = {
                "n": len(y), "lowest": float(y.min()), "highest": float(y.max()),
                "mean": float(y.mean()), "sd": float(y.std()),
                "synthetic": bool(mos.loc[mos["dimension"] == name, "synthetic"].any()),
            }  # fmt: skip
    return summary


def _hash_mos(problems: Sequence[Problem], used: Sequence[int]) -> str:
    """Return a digest of the MOS used, by fit and row."""
    values = [np.where(np.isfinite(p.y), p.y, None)[list(used)].tolist() for p in problems]  # type: ignore[call-overload]
    return identity.digest(values)


def _make_fit_error(metric: Mapping[str, Any], problem: Problem, reason: str) -> UserError:
    return UserError(
        f"metric {metric['name']}, dimension {problem.label}: no model can be fitted ({reason}); "
        "add samples, or list only the other dimensions in the metric's entry"
    )
