"""The metrics of a configuration, checked and with all defaults."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sfqa import splits
from sfqa.errors import UserError, hint
from sfqa.plugins import read_version
from sfqa.published_figures import expand_record
from sfqa.regression import control_names, first_weights, heads
from sfqa.regression.dimension_inputs import read_dimension_inputs, read_dimensions
from sfqa.regression.fine_tuning.language_base import check_questions
from sfqa.regression.loss_terms import read_loss_terms
from sfqa.regression.training_options import drop_display_options
from sfqa.splits.protocol_options import CROSS, name_protocol, validation_share
from sfqa.statistics.registry import NAMES, find_statistic

KINDS = ("regressor", "zero_shot", "control", "imported")
_KEYS = (
    "kind", "group", "inputs", "head", "options", "loss", "direction", "dimensions", "published",
    "each", "directions", "jobs",
)  # fmt: skip
#: Keys of ``published``: where a paper's values are and what they are for, and the values.
_WORDS, _FIGURES = ("source", "protocol", "dimension"), NAMES
_REQUIRED_KEYS = {
    "regressor": ("inputs", "head"),
    "zero_shot": ("inputs",),
    "imported": ("inputs",),
    "control": (),
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


def list_metrics(
    metrics: Mapping[str, Mapping[str, Any]], columns: Mapping[str, Sequence[str] | None]
) -> list[dict[str, Any]]:
    """Return one dictionary per metric, in order, with all keys.

    ``metrics`` maps a name to the keys ``kind`` (regressor, zero_shot, control, imported),
    ``group``, ``inputs`` (a list of columns; of a zero-shot metric also one for each dimension, by
    its name), ``head``, ``options``, ``loss`` (short for the head's option of that name),
    ``direction`` (1 or -1), ``dimensions``, ``jobs`` (how many Snakemake jobs fit a
    regressor) and ``published``. The latter has the values of a
    paper, as a mapping or a list of mappings: ``source``, optionally ``protocol`` and
    ``dimension``, and some of srcc, plcc, krcc, rmse. They are shown next to the computed values
    and do not change these. ``{table: sfqa_table2, row: DOVER}`` stands for the figures of a table
    in ``resources/published``; ``row`` is the metric's name by default.

    ``columns`` maps every extractor to its numeric columns, or to None if they are not known yet.
    The default head of a control is its name. ``each: <extractor>`` (optionally with
    ``directions``: {column: -1}) stands for one zero-shot metric per column, named after it. The
    kind ``imported`` is a zero-shot metric listed under that name. Raises :class:`UserError`, with
    the most similar valid word.

    >>> metrics = list_metrics({"all": {"each": "imported"}}, {"imported": ["niqe", "pi"]})
    >>> [(m["name"], m["inputs"], m["direction"]) for m in metrics]
    [('niqe', ['imported.niqe'], 1), ('pi', ['imported.pi'], 1)]
    """
    completed: list[dict[str, Any]] = []
    for name, entry in metrics.items():
        for key in entry:
            if key not in _KEYS:
                raise UserError(
                    f"config, regression.metrics.{name}: no key {key!r}; {hint(key, _KEYS)}"
                )
        if "each" in entry:
            completed += _expand_each(name, entry, columns)
        elif "directions" in entry:
            raise UserError(
                f"config, regression.metrics.{name}.directions: goes with each; "
                "without it write direction"
            )
        else:
            completed.append(_complete_metric(name, entry, columns))
    names: set[str] = set()
    for metric in completed:
        if metric["name"].casefold() in names:
            raise UserError(
                f"config, regression.metrics: {metric['name']!r} occurs twice; rename one"
            )
        names.add(metric["name"].casefold())
    return completed


def read_versions(metric: Mapping[str, Any]) -> dict[str, int]:
    """Return the VERSION of every file that the numbers of a metric depend on.

    >>> sorted(read_versions({"kind": "control", "head": "oracle"}))
    ['controls', 'protocols']
    """
    files = ["protocols"]
    if metric["kind"] == "control":
        files += ["controls"]
    else:
        regressor = metric["kind"] == "regressor"
        files += [heads.read_design(str(metric["head"])) if regressor else "pooled"]
        files = [{"pooled": "design"}.get(name, name) for name in files]
        files += ["train"] if regressor else ["zero_shot"]
    # Read without importing the files, which would load torch and scipy.
    packages = {"protocols": Path(splits.__path__[0])}
    here = Path(__file__).parent
    versions = {n: read_version(packages.get(n, here) / f"{n}.py") for n in files}
    if metric["kind"] == "regressor":
        head_versions = heads.read_versions(str(metric["head"]), metric.get("options") or {})
        for name, version in head_versions.items():
            versions[name if name == heads.TRAINING_VERSION else f"head {name}"] = version
    return versions


def select_number_settings(metric: Mapping[str, Any]) -> dict[str, Any]:
    """Return a metric without the keys and options that change no number.

    >>> select_number_settings({"head": "mlp", "jobs": 4, "options": {"tensorboard": True}})
    {'head': 'mlp', 'options': {}}
    """
    settings = {k: v for k, v in metric.items() if k not in ("published", "jobs")}
    return {**settings, "options": drop_display_options(metric["options"])}


def _expand_each(
    name: str, entry: Mapping[str, Any], columns: Mapping[str, Sequence[str] | None]
) -> list[dict[str, Any]]:
    """Return one zero-shot metric per column of the extractor that ``each`` names."""
    where, extractor = f"config, regression.metrics.{name}", str(entry["each"])
    for key in ("inputs", "head", "direction", "published"):
        if key in entry:
            raise UserError(f"{where}.{key}: does not go with each; leave it out")
    if extractor not in columns:
        raise UserError(f"{where}.each: no features {extractor!r}; {hint(extractor, columns)}")
    names, directions = columns[extractor] or (), dict(entry.get("directions") or {})
    if not names:
        raise UserError(f"{where}.each: the columns of {extractor!r} are not known; name inputs")
    for column in directions:
        if column not in names:
            raise UserError(f"{where}.directions: no column {column!r}; {hint(column, names)}")
    rest = {k: v for k, v in entry.items() if k not in ("each", "directions")}
    metrics = []
    for column in names:
        column_entry = {
            "kind": "zero_shot", **rest, "inputs": [f"{extractor}.{column}"],
            "direction": directions.get(column, 1),
        }  # fmt: skip
        column_name = re.sub(r"[^A-Za-z0-9_.+-]", "_", column)
        metrics.append(_complete_metric(column_name, column_entry, columns))
    return metrics


def _complete_metric(
    name: str, entry: Mapping[str, Any], columns: Mapping[str, Sequence[str] | None]
) -> dict[str, Any]:
    """Return one metric with all keys, checked."""
    where, metric_kind = f"config, regression.metrics.{name}", entry.get("kind")
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{where}: a metric's name becomes a folder; begin it with a letter or digit and use "
            "letters, digits and _ . + - only"
        )
    if metric_kind not in KINDS:
        raise UserError(f"{where}.kind: no kind {metric_kind!r}; {hint(str(metric_kind), KINDS)}")
    for key in _REQUIRED_KEYS[metric_kind]:
        if not entry.get(key):
            raise UserError(f"{where}.{key}: missing; a {metric_kind} metric needs it")
    dimension_inputs = read_dimension_inputs(where, entry)
    inputs = list(dict.fromkeys(dimension_inputs.values())) or entry.get("inputs") or []
    if isinstance(inputs, str) or not all(isinstance(i, str) for i in inputs):
        raise UserError(f"{where}.inputs: {inputs!r}; write a list, such as [slowfast, lse.lse_c]")
    for text in inputs:
        _check_input(where, text, columns)
    direction = entry.get("direction", 1)
    if direction not in (1, -1) or isinstance(direction, bool):
        raise UserError(f"{where}.direction: {direction!r}; write 1 (higher is better) or -1")
    head, options = entry.get("head"), dict(entry.get("options") or {})
    if metric_kind == "regressor":
        try:
            options = heads.merge_options(str(head), _add_loss(str(head), entry, options))
            if "loss" in options:
                read_loss_terms(options["loss"])
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        first_weights.check_inputs(options, inputs, f"{where}.options.start")
    else:
        for key in ("options", "loss"):
            if entry.get(key):
                raise UserError(
                    f"{where}.{key}: a {metric_kind} metric is not trained; leave it out"
                )
        if metric_kind == "control":
            if inputs:
                raise UserError(f"{where}.inputs: a control has none; leave them out")
            head = control_names.check_control(str(head or name), name)
        elif head or (len(inputs) != 1 and not dimension_inputs):
            raise UserError(
                f"{where}: a {metric_kind} metric has one scalar column as its inputs, or one for "
                "each dimension, and no head"
            )
    return {
        "name": name,
        "kind": metric_kind,
        "jobs": _check_jobs(where, metric_kind, entry),
        "group": entry.get("group") or metric_kind,
        "inputs": list(inputs),
        "head": head,
        "options": options,
        "direction": direction,
        "dimensions": read_dimensions(where, entry),
        "published": _check_published(f"{where}.published", entry.get("published"), name),
        # Only where it is used, so that other metrics keep the parameters of their jobs.
        **({"dimension_inputs": dimension_inputs} if dimension_inputs else {}),
    }


def check_validation_rows(
    metrics: Sequence[Mapping[str, Any]], protocols: Sequence[Mapping[str, Any]]
) -> None:
    """Raise :class:`UserError` if a head selects on validation rows and a protocol has none.

    ``metrics`` are those of :func:`list_metrics`.
    """
    for protocol in protocols:
        if protocol.get("kind") == CROSS or validation_share(protocol) > 0:
            continue
        for metric in metrics:
            is_regressor = metric["kind"] == "regressor"
            if is_regressor and heads.needs_validation(metric["head"], metric["options"]):
                raise UserError(
                    f"{name_protocol(protocol)}: validation is 0, but metric {metric['name']!r} "
                    f"selects on validation rows (head {metric['head']}); give the "
                    "protocol validation rows, or choose a head that selects within the train "
                    "rows, such as kernel"
                )


def check_asked_dimensions(
    metrics: Sequence[Mapping[str, Any]],
    protocols: Sequence[Mapping[str, Any]],
    rated: Sequence[str],
) -> None:
    """Raise :class:`UserError` if a language model is to be tuned on a dimension it is not asked.

    ``metrics`` are those of :func:`list_metrics`, ``rated`` the rated dimensions as far as known.
    Nothing is trained if all protocols test models of other datasets.
    """
    if protocols and all(protocol.get("kind") == CROSS for protocol in protocols):
        return
    for metric in metrics:
        where = f"config, regression.metrics.{metric['name']}"
        check_questions(metric["options"], metric["dimensions"] or rated, where)


def _check_jobs(where: str, metric_kind: str, entry: Mapping[str, Any]) -> int:
    """Return the number of jobs that fit a metric, 1 by default."""
    jobs = entry.get("jobs", 1)
    if "jobs" in entry and metric_kind != "regressor":
        raise UserError(f"{where}.jobs: a {metric_kind} metric is not trained; leave it out")
    if not isinstance(jobs, int) or isinstance(jobs, bool) or jobs < 1:
        raise UserError(f"{where}.jobs: {jobs!r}; write a whole number of 1 or more")
    return jobs


def _add_loss(head: str, entry: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options, with the ``loss`` of the entry added."""
    if "loss" not in entry:
        return dict(options)
    if "loss" in options:
        raise UserError("loss is given twice, once in options; keep one")
    if "loss" not in heads.merge_options(head, {}):
        with_loss = [name for name in heads.list_heads() if "loss" in heads.merge_options(name, {})]
        raise UserError(
            f"loss: head {head} has no loss to choose; leave it out, or use {', '.join(with_loss)}"
        )
    return {**options, "loss": entry["loss"]}


def _check_published(where: str, published: Any, name: str) -> list[dict[str, Any]]:
    """Return the values of papers as a list, checked; empty if there are none.

    A record with the key ``table`` stands for the row of that name in ``resources/published``.
    """
    listed = published if isinstance(published, list) else [published]
    listed = [] if published is None else listed
    try:
        listed = [
            expanded
            for record in listed
            for expanded in (expand_record(record, name) if isinstance(record, dict) else [record])
        ]
    except UserError as error:
        raise UserError(f"{where}: {str(error).removeprefix('published: ')}") from None
    for record in listed:
        if not isinstance(record, Mapping):
            raise UserError(f"{where}: {record!r}; write {{source: 'SFQA, Table 2', srcc: 0.7}}")
        for key, value in record.items():
            if key not in _WORDS + _FIGURES:
                raise UserError(f"{where}: no key {key!r}; {hint(key, _WORDS + _FIGURES)}")
            if key in _WORDS and not (isinstance(value, str) and value.strip()):
                raise UserError(f"{where}.{key}: {value!r}; write some words")
            if key in _FIGURES and not _is_figure(key, value):
                low, high = find_statistic(key).bounds
                limits = f"of {low:g} or more" if high == math.inf else f"from {low:g} to {high:g}"
                raise UserError(f"{where}.{key}: {value!r}; write a number {limits}")
        if "source" not in record:
            raise UserError(f"{where}.source: missing; name the paper and its table")
        if not any(key in record for key in _FIGURES):
            raise UserError(f"{where}: no figure; add some of {', '.join(_FIGURES)}")
    return [dict(record) for record in listed]


def _is_figure(key: str, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return find_statistic(key).is_possible(value)


def _check_input(where: str, text: str, columns: Mapping[str, Sequence[str] | None]) -> None:
    extractor, _, column = text.partition(".")
    if extractor not in columns:
        raise UserError(f"{where}.inputs: no features {extractor!r}; {hint(extractor, columns)}")
    names = columns[extractor]
    if column and names is not None and column not in names:
        raise UserError(f"{where}.inputs: {extractor} has no {column!r}; {hint(column, names)}")
