"""The model of a metric for a model file: fitted on every sample that has features and a MOS.

Nothing is tested here, so no row is kept back, but for a head that selects: it gets validation rows
carved out by group (image, clip, prompt), as the protocols do. The dimensions are fitted as the
head does it everywhere, each by itself or all together.
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
from sfqa.arrays import Floats, Ints
from sfqa.errors import UserError
from sfqa.regression import _rows, cross, heads
from sfqa.regression.blocks import BlockDesign
from sfqa.regression.design import Design, Files
from sfqa.regression.head import ModelHead
from sfqa.regression.heads._common import srcc
from sfqa.regression.metrics import read_versions
from sfqa.regression.model_files import VERSION, Array, fingerprint_rows
from sfqa.regression.problems import Problem, find_reason, get_blocks, select_rows
from sfqa.regression.train import pose
from sfqa.splits.drawing import draw_validation
from sfqa.splits.grouping import choose_groups, encode_groups, find_largest, get_group_values
from sfqa.splits.protocols import TRAIN, VALIDATION, Split

#: The share of rows that a head which selects is given for it, as in the protocols.
SHARE = 0.15
#: Rows whose predictions the file keeps, so that a model that predicts otherwise is noticed.
PROBES = 2
#: Libraries whose code makes the numbers.
_PACKAGES = ("numpy", "scikit-learn", "scipy", "torch")
_KEPT = ("name", "kind", "group", "inputs", "direction", "dimensions")


class Source(NamedTuple):
    """Where a model comes from: dataset, common form of its videos (None: unknown), tables."""

    dataset: str
    conform: Mapping[str, Any] | None
    files: Files


def fit_model(
    metric: Mapping[str, Any],
    design: Design | BlockDesign,
    samples: pd.DataFrame,
    mos: pd.DataFrame,
    source: Source,
    seed: int,
    work: Path,
    device: str = "cpu",
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return what :func:`sfqa.regression.model_files.write` is to write for a metric.

    ``metric`` is an entry of kind regressor, ``design`` its features (train.load_features),
    ``samples`` and ``mos`` frames of those tables. Checkpoints lie in ``work``, so that a killed
    fit goes on. Raises :class:`UserError` for another kind of metric, and for a dimension that
    cannot be fitted.
    """
    check_kind(metric)
    head = str(metric["head"])
    options = heads.merge_options(head, metric.get("options"))
    place = {s: n for n, s in enumerate(design.sample_ids)}
    names = _rows.select_dimensions(metric, mos)
    rated = set().union(*(_rows.select_mos(mos, name) for name in names))
    split, groups = _parts(
        metric, samples, place, rated, heads.needs_validation(head, options), seed
    )
    sets = [names] if heads.is_multi_output(head) else [[name] for name in names]
    problems = []
    for dimensions in sets:
        single = [] if heads.is_multi_output(head) else dimensions
        own = identity.seed_of(seed, "model file", *single)
        truths = [_rows.select_mos(mos, name) for name in dimensions]
        problems.append(pose(place, split, truths, own, " and ".join(dimensions), groups))
        reason = find_reason(problems[-1], heads.needs_validation(head, options))
        if reason:
            dropped = next(iter(design.dropped.items()), None)
            told = f"; without features e.g. {dropped[0]}: {dropped[1]}" if dropped else ""
            raise _unfit(metric, problems[-1], reason + told)
    predicted, states, reasons = _fitted(head, design, problems, options, Path(work), device)
    for one, reason in zip(problems, reasons, strict=True):
        if reason:
            raise _unfit(metric, one, reason)
    used = sorted({int(n) for one in problems for n in one.rows})
    arrays = {f"{n}/{k}": v for n, state in enumerate(states or []) for k, v in state.items()}
    if states is None:
        arrays |= _rows_of(design, problems, used)
    probe = np.array(used[:PROBES], np.int64)
    arrays |= {f"probe/{k}": v[probe] for k, v in get_blocks(design.X).items()}
    ids = [design.sample_ids[n] for n in used]
    for kind, own_of in cross.hash_materials(samples).items():
        learnt = sorted({own_of[s] for s in ids if s in own_of})
        arrays[f"material/{kind}"] = np.array(learnt, np.uint64)
    arrays["seen"] = np.sort(fingerprint_rows(select_rows(design.X, np.array(used, np.int64))))
    arrays["probe"] = np.concatenate([values[probe] for values in predicted], axis=1)
    extractors = sorted({text.partition(".")[0] for text in metric["inputs"]})
    about = {
        "version": VERSION,
        "metric": {key: metric.get(key) for key in _KEPT},
        "head": {
            "name": head, "version": heads.read_version(head), "options": options,
            "refit": states is None,
        },
        "design": heads.read_design(head),
        "inputs": cross.describe_inputs(design, source.files, list(metric["inputs"])),
        "extractors": {e: cross.read_identity(e, source.files[e]) for e in extractors},
        "conform": dict(source.conform) if source.conform else None,
        "dataset": source.dataset,
        "seed": seed,
        "fits": [
            _fit(dimensions, one, values, heads.needs_validation(head, options))
            for dimensions, one, values in zip(sets, problems, predicted, strict=True)
        ],
        "mos": _mos(mos, sets, problems),
        "rows": {
            "count": len(used),
            "samples": identity.digest(ids),
            "mos": _mos_digest(problems, used),
        },
        "code": read_versions(metric),
        "packages": {name: package_version(name) for name in _PACKAGES},
    }  # fmt: skip
    return about, arrays


def check_kind(metric: Mapping[str, Any]) -> None:
    """Raise :class:`UserError` for a metric that learns nothing."""
    if metric["kind"] != "regressor":
        raise UserError(
            f"metric {metric['name']}: kind {metric['kind']} is not trained, so there is no model "
            "of it; name a metric of kind regressor"
        )


def _parts(
    metric: Mapping[str, Any],
    samples: pd.DataFrame,
    place: Mapping[str, int],
    rated: set[str],
    selects: bool,
    seed: int,
) -> tuple[Split, Ints | None]:
    """Train and validation rows, and what belongs together by row of x; None where nothing does.

    Only rows with features and a MOS are dealt out, so that few rated samples leave some to select
    on.
    """
    where = f"metric {metric['name']}, model file"
    rows = samples.sort_values("sample_id", ignore_index=True)
    # Without its image (clip) a row cannot be kept apart by it, and others still can by the rest.
    whole = [
        g for g in choose_groups(rows, {}, where)
        if g == "prompt" or get_group_values(rows, g).notna().all()
    ]  # fmt: skip
    found = encode_groups(rows, whole, where)
    unit = find_largest(found) if found else np.arange(len(rows))
    ids = rows["sample_id"].tolist()
    usable = np.array([s in place and s in rated for s in ids], bool)
    share = SHARE if selects else 0.0
    # Too few groups for that are told in the words of the rows that they are, below.
    share = share if len(np.unique(unit[usable])) > 1 else 0.0
    held = draw_validation(usable, unit, share, (seed, "model file", "validation"), where)
    part = {s: VALIDATION if h else TRAIN for s, h, u in zip(ids, held, usable, strict=True) if u}
    code = dict(zip(ids, unit.tolist(), strict=True))
    groups = np.array([code.get(s, -1) for s in place], np.int64) if found else None
    return Split("model file", 0, part), groups


def _fitted(
    head: str,
    design: Design | BlockDesign,
    problems: Sequence[Problem],
    options: Mapping[str, Any],
    work: Path,
    device: str,
) -> tuple[Floats, list[dict[str, Array]] | None, list[str]]:
    """Predictions (fits, rows of x, dims), states or None where the head has none, reasons."""
    loaded = heads.load_head(head)
    scratch = work / "checkpoints"
    scratch.mkdir(parents=True, exist_ok=True)
    states: list[dict[str, Array]] | None = None
    if isinstance(loaded, ModelHead):
        models = loaded.fit(design.X, problems, options, scratch, device)
        predicted, reasons = models.predict(design.X), list(models.reasons)
        if not any(reasons):
            states = [models.state(n) for n in range(len(problems))]
    else:
        predicted, reasons = heads.fit_and_predict(
            head, design.X, problems, options, scratch, device
        )
    shutil.rmtree(scratch)
    return predicted, states, reasons


def _rows_of(
    design: Design | BlockDesign, problems: Sequence[Problem], used: Sequence[int]
) -> dict[str, Array]:
    """The train rows themselves, for a head without a state."""
    at = {row: n for n, row in enumerate(used)}
    found: dict[str, Array] = {"x": get_blocks(design.X)["x"][list(used)]}
    for n, one in enumerate(problems):
        for name, rows in (("train", one.train), ("validation", one.validation)):
            found[f"{n}/{name}"] = np.array([at[int(row)] for row in rows], np.int64)
        found[f"{n}/y"] = one.y[list(used)]
    return found


def _fit(
    dimensions: Sequence[str], one: Problem, predicted: Floats, selects: bool
) -> dict[str, Any]:
    """What the file says of one fit."""
    known = np.isfinite(one.y)
    scores: dict[str, float | None] = {}
    for column, name in enumerate(dimensions):
        own = one.validation[known[one.validation, column]]
        value = srcc(predicted[own, column], one.y[own, column]) if selects else -2.0
        scores[name] = value if value >= -1 else None
    return {
        "dimensions": list(dimensions),
        "seed": one.seed,
        "train": len(one.train),
        "validation": len(one.validation),
        "validation_srcc": scores,
    }


def _mos(
    mos: pd.DataFrame, sets: Sequence[Sequence[str]], problems: Sequence[Problem]
) -> dict[str, Any]:
    """The MOS learnt from, by dimension: how many, their range, whether they were simulated."""
    found = {}
    for dimensions, one in zip(sets, problems, strict=True):
        for column, name in enumerate(dimensions):
            y = one.y[one.rows, column]
            y = y[np.isfinite(y)]
            found[name] = {
                "n": len(y), "lowest": float(y.min()), "highest": float(y.max()),
                "mean": float(y.mean()), "sd": float(y.std()),
                "synthetic": bool(mos.loc[mos["dimension"] == name, "synthetic"].any()),
            }  # fmt: skip
    return found


def _mos_digest(problems: Sequence[Problem], used: Sequence[int]) -> str:
    """A digest of the MOS learnt from, by fit and row."""
    known = [np.where(np.isfinite(p.y), p.y, None)[list(used)].tolist() for p in problems]  # type: ignore[call-overload]
    return identity.digest(known)


def _unfit(metric: Mapping[str, Any], one: Problem, reason: str) -> UserError:
    return UserError(
        f"metric {metric['name']}, dimension {one.label}: no model can be fitted ({reason}); add "
        "samples, or name the other dimensions in its entry"
    )
