"""Features of another dataset, or of new videos, scored with a model file.

A model fits features that were made as its own: the same extractor, VERSION, options and weights,
of videos in the same form, in columns of the same names and shapes. Where they differ the numbers
would mean something else, and a sentence names both sides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq

from sfqa import store
from sfqa.errors import UserError
from sfqa.identity import digest
from sfqa.regression import _rows, heads
from sfqa.regression.blocks import Blocks, Form, load_blocks
from sfqa.regression.design import Design, Files, columns_of, load_design
from sfqa.regression.model_files import ModelFile, Scorer, fingerprints
from sfqa.splits.grouping import get_group_values
from sfqa.splits.protocols import CROSS, TEST, make_splits

#: What of ``conform`` changes the pixels and the sound that features are made of.
FORM = ("short_side", "fps", "sample_rate", "crf", "preset", "mode")
#: The form where nothing was conformed: features imported ready-made.
_UNKNOWN = "ready features, of unknown videos"
#: Why a row is no test of a model.
LEARNT = "in_training: its features are those of a row that the model learnt from"
#: How many columns a sentence names.
_NAMED = 4


def identity_of(extractor: str, paths: Sequence[Path | str]) -> dict[str, Any]:
    """Return what made the feature tables of an extractor: version, options, weights.

    ``version`` is None and ``options`` empty for features imported ready-made. Raises
    :class:`UserError` for a file that is no feature table and for tables made differently.
    """
    found: dict[str, Any] | None = None
    for path in sorted(map(Path, paths)):
        about = _metadata(path)
        if about.get("extractor") != extractor or "weights" not in about:
            raise UserError(f"{path}: not a feature table of {extractor}; give one that is")
        own = {
            "version": about.get("version"),
            "options": about.get("options") or {},
            "weights": about["weights"],
        }
        if found is not None and own != found:
            raise UserError(
                f"{path}: made with {_both(own, found)[0]}, the other tables of {extractor} with "
                f"{_both(own, found)[1]}; delete the older ones, so that they are made again"
            )
        found = own
    if found is None:
        raise UserError(f"no feature table of {extractor}; give one or more")
    return found


def extractor_of(path: Path | str) -> str:
    """Return whose feature table a file is, '' where it is none.

    Raises :class:`UserError` for a file that is no Parquet.
    """
    return str(_metadata(Path(path)).get("extractor") or "")


def inputs_of(design: Design | Blocks, files: Files, inputs: Sequence[str]) -> list[dict[str, Any]]:
    """Return what a design reads of the tables: input, its columns, the shape of a row of it.

    A matrix has one entry per column, so that the columns of other tables may stand in another
    order or among more.
    """
    if isinstance(design, Blocks):
        return [
            {"input": text, "columns": _asked(files, text), "shape": list(x.shape[1:])}
            for text, x in design.X.items()
        ]
    wanted: dict[str, list[str]] = {}
    for text in inputs:
        own = wanted.setdefault(text.partition(".")[0], [])
        own += [c for c in _asked(files, text) if c not in own]
    found = []
    for extractor, columns in wanted.items():
        for column in columns:
            name = f"{extractor}.{column}"
            width = sum(n.startswith(f"{name}[") for n in design.names)
            shape = [] if name in design.names else [width]
            found.append({"input": name, "columns": [column], "shape": shape})
    return found


def load_like(model: ModelFile, files: Files, work: Path) -> Design | Blocks:
    """Return the features that a model reads, from other tables of the same extractors.

    ``files`` maps an extractor to its feature tables. Heads that read sequences get as many steps
    as in training, by the head's own rule. Raises :class:`UserError`, naming both sides, where the
    tables were made with something else than the model's, or hold other columns or shapes.
    """
    for extractor in model.about["extractors"]:
        if not files.get(extractor):
            there = ", ".join(sorted(files)) or "none"
            raise UserError(
                f"{model.path}: the model reads features of {extractor}; there are those of "
                f"{there}; extract {extractor} too"
            )
        check_identity(model, extractor, identity_of(extractor, files[extractor]))
    _check_columns(model, files)
    entries = model.about["inputs"]
    design: Design | Blocks
    if model.about["design"] == "blocks":
        head = model.about["head"]
        forms: list[Form] = cast(Any, heads.load(str(head["name"]))).forms(
            head["options"], model.inputs
        )
        sized = [_sized(form, one["shape"]) for form, one in zip(forms, entries, strict=True)]
        design = load_blocks(files, model.inputs, sized, work)
        shapes = {name: list(x.shape[1:]) for name, x in design.X.items()}
    else:
        design = load_design(files, model.inputs)
        made = inputs_of(design, files, model.inputs)
        shapes = {one["input"]: one["shape"] for one in made}
    for one in entries if design.sample_ids else ():
        if shapes[one["input"]] != one["shape"]:
            raise UserError(
                f"{files[one['input'].partition('.')[0]][0]}: {one['input']} has the shape "
                f"{shapes[one['input']]} in each row, the model {model.path} was trained on "
                f"{one['shape']}; extract it as the model's was, or train a model on this one"
            )
    return design


def check_identity(model: ModelFile, extractor: str, found: Mapping[str, Any]) -> None:
    """Raise :class:`UserError` where features were not made as the model's own."""
    wanted = model.about["extractors"][extractor]
    if dict(found) != dict(wanted):
        theirs, own = _both(found, wanted)
        raise UserError(
            f"{extractor}: the features here are made with {theirs}, the model {model.path} was "
            f"trained on {own}; extract them as the model's were, or train a model on these"
        )


def check_form(model: ModelFile, conform: Mapping[str, Any] | None) -> None:
    """Raise :class:`UserError` where the videos have another form than those of the model."""
    wanted = model.about["conform"]
    here, there = ({k: dict(c)[k] for k in FORM} if c else None for c in (conform, wanted))
    if here == there:
        return
    differs = [k for k in FORM if not here or not there or here[k] != there[k]]
    said = [", ".join(f"{k} {c[k]}" for k in differs) if c else _UNKNOWN for c in (here, there)]
    raise UserError(
        f"config, conform: the videos here have {said[0]}, those of the model {model.path} "
        f"{said[1]}; conform them alike"
    )


def check_metric(model: ModelFile, metric: Mapping[str, Any], where: str) -> None:
    """Raise :class:`UserError` where a metric of the same name is another model there."""
    options = heads.merged_options(str(metric["head"]), metric.get("options"))
    head = model.about["head"]
    ours, theirs = ({"head": metric["head"], **options}, {"head": head["name"], **head["options"]})
    if ours != theirs:
        differs = sorted(k for k in ours | theirs if ours.get(k) != theirs.get(k))
        said = [", ".join(f"{k} {c.get(k)}" for k in differs) for c in (ours, theirs)]
        raise UserError(
            f"{where}: metric {metric['name']} is {said[0]} here and {said[1]} in {model.path}; "
            "make them alike, or rename one"
        )


def cross_rows(
    metric: Mapping[str, Any],
    protocol: Mapping[str, Any],
    model: ModelFile,
    design: Design | Blocks,
    samples: pd.DataFrame,
    mos: pd.DataFrame,
    device: str = "cpu",
) -> list[dict[str, Any]]:
    """Return rows of tables.PREDICTIONS for a protocol of kind cross_dataset: all of part test.

    ``design`` is that of :func:`load_like`. A dimension that the model does not have is a row with
    the reason, for every sample; so is a sample that the model learnt from, or that shares its
    image, clip or prompt with one (unless ``allow_shared``). Raises :class:`UserError` where it
    knows no dimension, or no sample is left to test.
    """
    where = f"config, regression.protocols {protocol.get('name')!r}"
    check_metric(model, metric, where)
    (split,) = make_splits(samples, protocol, 0)
    here, there = _rows.select_dimensions(metric, mos), model.dimensions
    renamed = dict(protocol.get("dimensions") or {})
    for ours, theirs in renamed.items():
        if theirs not in there:
            raise UserError(
                f"{where}, dimensions.{ours}: {model.path} has no dimension {theirs!r}; it has "
                f"{', '.join(there)}"
            )
    of = {name: renamed.get(name, name) for name in here}
    if not set(of.values()) & set(there):
        raise UserError(
            f"{where}: rated here are {', '.join(here)}, {model.path} predicts "
            f"{', '.join(there)}; say which is which, as dimensions: {{{here[0]}: {there[0]}}}"
        )
    known = dict(zip(design.sample_ids, seen(model, design).tolist(), strict=True))
    if known and all(known.values()):
        raise UserError(
            f"{where}: {model.path} was trained on these very samples ({model.about['dataset']}); "
            "name the results folder of another dataset"
        )
    shared = {} if protocol.get("allow_shared", False) else shared_material(model, samples)
    if shared and all(known[s] or s in shared for s in design.sample_ids):
        raise UserError(
            f"{where}: every sample shares an image, clip or prompt with those that {model.path} "
            "learnt from, so that none is a test; say allow_shared: true to test them all the same"
        )
    values = Scorer(model, device).predict(design.X) if design.sample_ids else None
    place = {s: n for n, s in enumerate(design.sample_ids)}
    missing = "no_features: the sample has no feature row"
    rows = []
    for dimension in here:
        for sample in _rows.list_samples(split, [TEST]):
            value, note = None, ""
            if of[dimension] not in there:
                note = f"no_model: {model.path} has no dimension {of[dimension]}"
            elif sample not in place:
                note = design.dropped.get(sample, missing)
            elif known[sample]:
                note = LEARNT
            elif sample in shared:
                note = shared[sample]
            elif values is not None:
                value = float(values[place[sample], there.index(of[dimension])])
                note = design.flawed.get(sample, "")
                if value != value or abs(value) == float("inf"):
                    note, value = f"not_finite: the model predicted {value}", None
            rows.append(_rows.make_row(metric, dimension, split, sample, value, note))
    return rows


def seen(model: ModelFile, design: Design | Blocks) -> npt.NDArray[np.bool_]:
    """Return which rows of a design the model has learnt from: those of equal features."""
    if not design.sample_ids:
        return np.zeros(0, bool)
    return np.isin(fingerprints(design.X), model.arrays["seen"])


def materials(samples: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Return 64 bits of the identity of each sample's image, clip and prompt, by kind.

    Images and clips are told by content (their sha256), where it is known; a prompt that a whole
    method shares is a setting, not content.
    """
    rows = samples.reset_index(drop=True)
    found: dict[str, dict[str, int]] = {}
    for kind, column in (("image", "image_sha256"), ("clip", "clip_sha256"), ("prompt", "prompt")):
        cells = get_group_values(rows, kind) if kind == "prompt" else rows.get(column)
        pairs = [] if cells is None else zip(rows["sample_id"], cells, strict=True)
        found[kind] = {s: int(digest(str(v))[:16], 16) for s, v in pairs if not pd.isna(v)}
    return found


def shared_material(model: ModelFile, samples: pd.DataFrame) -> dict[str, str]:
    """Return why a sample is no test of a model: its image, clip or prompt was learnt from."""
    found: dict[str, str] = {}
    for kind, own in materials(samples).items():
        learnt = set(model.arrays[f"material/{kind}"].tolist())
        for sample, identity in own.items():
            if identity in learnt:
                note = f"shared_material: the model learnt from a sample of the same {kind}"
                found.setdefault(sample, note)
    return found


def provenance(model: ModelFile) -> dict[str, Any]:
    """Return what a table of a model's scores says of it."""
    about = model.about
    return {
        "dataset": about["dataset"], "digest": about["digest"], "head": about["head"],
        "rows": about["rows"], "synthetic_mos": model.synthetic, "untrained": model.untrained,
    }  # fmt: skip


def told(model: ModelFile) -> str:
    """Return one line on a model: what it is, what it learnt from, and what that is not worth."""
    about, head = model.about, model.about["head"]
    said = (
        f"{about['metric']['name']} (head {head['name']} VERSION {head['version']}), trained on "
        f"{about['rows']['count']} samples of {about['dataset']}"
    )
    if model.untrained:
        said += f"; UNTRAINED features: random weights of {', '.join(model.untrained)}"
    if model.synthetic:
        said += "; SYNTHETIC MOS: simulated raters, no people"
    return said


def crossed(protocols: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the protocols of kind cross_dataset.

    >>> crossed([{"name": "a", "kind": "random_kfold"}])
    []
    """
    return [p for p in protocols if p.get("kind") == CROSS]


def _metadata(path: Path) -> dict[str, Any]:
    try:
        return store.read_metadata(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such feature table; correct the path") from error
    except Exception as error:
        raise UserError(f"{path}: no Parquet file; give a feature table") from error


def _asked(files: Files, text: str) -> list[str]:
    """The columns that an input stands for, in the order of the first table."""
    extractor, _, column = text.partition(".")
    path = min(map(Path, files[extractor]))
    return columns_of(path, pq.read_schema(path), [column or None])


def _check_columns(model: ModelFile, files: Files) -> None:
    """Every column that the model reads is in the tables; all of them where it says so."""
    for one in model.about["inputs"]:
        extractor, _, column = one["input"].partition(".")
        path = min(map(Path, files[extractor]))
        there = columns_of(path, pq.read_schema(path), [None])
        lacking = [c for c in one["columns"] if c not in there]
        more = [] if column else [c for c in there if c not in one["columns"]]
        if lacking or more or (not column and there != one["columns"]):
            raise UserError(
                f"{path}: {extractor} has the columns {_some(there)}; the model {model.path} "
                f"({model.about['dataset']}) reads {_some(_all_columns(model, extractor))}"
                + (f", of which {_some(lacking)} is missing" if lacking else "")
                + "; give the same columns"
            )


def _all_columns(model: ModelFile, extractor: str) -> list[str]:
    of = [o for o in model.about["inputs"] if o["input"].partition(".")[0] == extractor]
    return list(dict.fromkeys(c for one in of for c in one["columns"]))


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _sized(form: Form, shape: Sequence[int]) -> Form:
    """The form with the number of steps of the training, where the head leaves it open."""
    if form.steps is None and form.rule != "mean" and len(shape) == 2:
        return replace(form, steps=int(shape[0]))
    return form


def _both(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, str]:
    """What differs between two identities of an extractor, in words of either side."""
    flat = [_flat(one), _flat(other)]
    differs = [k for k in flat[0] | flat[1] if flat[0].get(k) != flat[1].get(k)]
    words = [", ".join(f"{k} {side.get(k, 'none')}" for k in differs) for side in flat]
    return words[0], words[1]


def _flat(identity: Mapping[str, Any]) -> dict[str, Any]:
    weights = identity["weights"]
    kind = {"official": "sha256 "}.get(weights["kind"], "")
    return {
        "VERSION": identity["version"],
        "weights": f"{kind}{weights['identity']}",
        **{f"option {k}": v for k, v in identity["options"].items()},
    }
