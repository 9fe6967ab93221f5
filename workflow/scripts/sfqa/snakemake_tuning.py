"""Everything that this project changes or asks of a running Snakemake, each with its reason.

``common.smk`` calls :func:`make_plan` once. Snakemake is imported inside the functions, so that
the package can be imported and tested without it.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sfqa.errors import UserError, explain_unwritable
from sfqa.plan import Plan
from sfqa.project_files import SCHEMA
from sfqa.regression.feature_columns import check_feature_columns
from sfqa.script_changes import compare_scripts_by_content

#: Objects created before the garbage collector runs, for its three generations.
_GC_THRESHOLDS = (50_000, 20, 20)
#: Targets that may run before the user's sheets and scores are there.
_FETCH_TARGETS = frozenset({"fetch_weights", "fetch_models", "fetch_generators"})


def make_plan(workflow: Any, config: Mapping[str, Any]) -> Plan:
    """Return the plan of a configuration and tune the process that runs the rules.

    ``workflow`` is the object of that name in a Snakefile. Raises Snakemake's ``WorkflowError``
    for a mistake in the configuration.
    """
    from snakemake.logging import logger

    schedules = schedules_jobs(workflow)
    with errors_for_snakemake():
        # Only the scheduling process looks at the files; its jobs read what it recorded.
        needs_data = schedules and not _fetches_only()
        plan = _plan(config, schedules, needs_data)
        if needs_data:
            # Reads an imported table: its mistakes are sentences here.
            check_feature_columns(plan.configured_metrics, plan.config.get("features"))
            for note in plan.notes:
                logger.warning(note)
    if schedules and (error := explain_unwritable(plan.results)):
        # A warning, not an error: a dry run can plan on results that it can only read.
        logger.warning(f"Nothing can be written: {error}")
    keep_pandas_unloaded()
    compare_scripts_by_content()
    collect_garbage_less_often()
    return plan


def _plan(config: Mapping[str, Any], check_files: bool, needs_data: bool) -> Plan:
    """Return the plan; an error for missing files also lists missing weights and generators."""
    from sfqa.missing import FILES, describe_items, list_missing

    try:
        return Plan(config, SCHEMA, check_files, needs_data)
    except UserError as error:
        message = str(error)
    try:
        items = list_missing(Plan(config, SCHEMA, check_files=False, needs_data=False))
    except UserError:
        items = []  # the mistake is not a missing file
    if any(item.kind == FILES for item in items):
        others = [item for item in items if item.name not in message]
        if others:
            message += f"\nAlso missing (sfqa check --config FILE):\n{describe_items(others)}"
    raise UserError(message)


def check_ffmpeg() -> None:
    """Log before the first job which ffmpeg is used if that on the PATH cannot be.

    Where no ffmpeg can be used, this is a warning, because with ``--use-conda`` the jobs have one
    of their own.
    """
    from snakemake.logging import logger

    from sfqa.ffmpeg_program import find_ffmpeg

    try:
        reason = find_ffmpeg().reason
    except UserError as error:
        reason = str(error)
    if reason:
        logger.warning(reason)


def check_packages(workflow: Any, features: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise ``WorkflowError`` before the first job if the package of an extractor is missing.

    ``features`` is that section of the configuration. With environments of their own
    (``--use-conda``) the jobs have the packages.
    """
    from sfqa.features import base

    if workflow.deployment_settings.deployment_method:
        return
    with errors_for_snakemake():
        for extractor, entry in features.items():
            base.check_package(extractor, entry["options"])


def check_gpus(workflow: Any, plan: Plan, extractors: int, metrics: int) -> None:
    """Log before the first job why PyTorch cannot use the GPU of this machine.

    ``extractors`` and ``metrics`` are the numbers of those that use a GPU. Raises ``WorkflowError``
    if the configuration requires a GPU for them. On a cluster, and with environments of their own,
    the jobs find out themselves.
    """
    from snakemake.exceptions import WorkflowError
    from snakemake.logging import logger

    from sfqa.gpu_names import list_visible_gpus, make_device_variables
    from sfqa.gpu_support import ask_unusable_gpu

    required = [
        f"{stage}.require_gpu"
        for stage, count in (("features", extractors), ("regression", metrics))
        if count and plan.config["require_gpu"][stage]
    ]
    has_own_environments = bool(workflow.deployment_settings.deployment_method)
    if not workflow.local_exec or has_own_environments or not (extractors or metrics):
        return
    with errors_for_snakemake():
        gpus = list_visible_gpus()
    if not gpus and not required:
        return
    reason = "no GPU is visible (nvidia-smi -L, CUDA_VISIBLE_DEVICES)"
    if gpus:
        reason = ask_unusable_gpu(make_device_variables(gpus[0]))
    if reason and required:
        raise WorkflowError(f"config, {' and '.join(required)}: true, but {reason}")
    if reason:
        logger.warning(f"No GPU is used: {reason}")


def schedules_jobs(workflow: Any) -> bool:
    """Return whether this process plans and schedules jobs; a job's own process does not."""
    from snakemake.settings.types import ExecMode

    return bool(workflow.exec_mode == ExecMode.DEFAULT)


def _fetches_only() -> bool:
    """Return whether a run only fetches weights or generators, which needs no data of the user.

    The targets are read from the command line, because Snakemake stores them only after it has
    read the Snakefile. With ``all`` beside them, everything is needed.
    """
    return bool(_FETCH_TARGETS & set(sys.argv)) and "all" not in sys.argv


@contextmanager
def errors_for_snakemake() -> Iterator[None]:
    """Turn a :class:`UserError` into the error that Snakemake prints without a traceback."""
    from snakemake.exceptions import WorkflowError

    try:
        yield
    except UserError as error:
        raise WorkflowError(str(error)) from None


def keep_pandas_unloaded() -> None:
    """Have Snakemake compare parameters without importing pandas.

    To ask whether a parameter is a DataFrame, Snakemake imports pandas: half a second and 30 MB in
    every process. No parameter of this workflow is one, and for all others the two functions of
    Snakemake return the same text.
    """
    from snakemake.persistence import PersistenceBase

    if hasattr(PersistenceBase, "_serialize_param_builtin"):  # private: may go in any version
        PersistenceBase._serialize_param_pandas = PersistenceBase._serialize_param_builtin


def collect_garbage_less_often() -> None:
    """Exempt what is loaded from garbage collection and let it run less often.

    The objects of the plan and of its jobs live until the process ends, so searching tens of
    thousands of them for garbage costs planning time and frees nothing.
    """
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
