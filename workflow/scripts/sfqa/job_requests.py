"""What extraction and regression jobs request: GPUs, threads, memory and walltime.

A request changes no result and re-runs nothing. Each can be set by ``--set-threads`` and
``--set-resources``, or in a profile.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sfqa.features import base
from sfqa.features.extraction_rates import get_rate
from sfqa.features.extractors import EXTRACTORS
from sfqa.gpu_leases import read_jobs_per_gpu
from sfqa.gpu_names import list_visible_gpus
from sfqa.models.commands import Command
from sfqa.plan import Plan
from sfqa.regression import heads
from sfqa.regression.fine_tuning.registry import BACKBONES, TRAINING_MB
from sfqa.shard_index import read_shards
from sfqa.snakemake_tuning import schedules_jobs

#: Readers of a job that uses a GPU: on a cluster, and at most where the cores allow more.
CLUSTER_READERS, MOST_READERS = 8, 16
#: Threads of an extractor without weights on a cluster. On one machine shards run in parallel.
_CPU_THREADS = 4
#: Tells the jobs of this run what the scheduling process decided: they see other devices.
_THREADS_VARIABLE = "SFQA_EXTRACTION_THREADS"

#: Memory in MB. Measured on the demo (6 s at 512 pixels): a job with one reader took 1,130 (lse) to
#: 1,600 (clip), without weights 330 (signal); a reader 160 (clip) to 310 (lse), and a video that
#: was read ahead at most 21, two for each reader. What CUDA takes of the host was not measured.
_WITH_WEIGHTS_MB, _WITHOUT_WEIGHTS_MB, _READER_MB = 2600, 1000, 400

#: Assumed length of a video in seconds, and how many times the measured time a job may take.
_VIDEO_SEC, _MARGIN = 10.0, 3.0
_FEWEST_MINUTES, _MOST_MINUTES = 30, 24 * 60


@dataclass(frozen=True)
class ExtractionThreads:
    """Threads of an extraction job: one computes or feeds a GPU, the others read videos ahead."""

    with_gpu: int = 1
    without_gpu: int = 1


def plan_threads(workflow: Any) -> ExtractionThreads:
    """Return the threads of extraction jobs, and let no more GPU jobs run than there are GPUs.

    ``workflow`` is the object of that name in a Snakefile. On one machine the cores are shared
    among its GPUs; a limit of the resource ``gpu`` that the user sets is kept. Without a GPU a job
    has one thread, as many shards run in parallel.
    """
    if not schedules_jobs(workflow):
        numbers = os.environ.get(_THREADS_VARIABLE, "1,1").split(",")
        return ExtractionThreads(*map(int, numbers))
    threads = ExtractionThreads()
    if not workflow.local_exec:
        threads = ExtractionThreads(CLUSTER_READERS + 1, _CPU_THREADS)
    elif gpu_count := len(list_visible_gpus()):
        jobs = gpu_count * read_jobs_per_gpu()
        if "gpu" not in workflow.global_resources:
            workflow.register_resource("gpu", jobs)
        threads = ExtractionThreads(share_cores(workflow.cores or 1, jobs))
    os.environ[_THREADS_VARIABLE] = f"{threads.with_gpu},{threads.without_gpu}"
    return threads


def share_cores(cores: int, jobs: int) -> int:
    """Return the threads of each of ``jobs`` GPU jobs that run at a time.

    >>> share_cores(8, 1), share_cores(64, 2), share_cores(4, 8)
    (8, 17, 1)
    """
    return max(1, min(cores // jobs, MOST_READERS + 1))


def count_extractor_gpus(extractor: str) -> int:
    """Return 1 for an extractor with weights, 0 for one that runs in the reading processes.

    >>> count_extractor_gpus("slowfast"), count_extractor_gpus("signal")
    (1, 0)
    """
    return int(base.has_weights(extractor))


def count_metric_gpus(plan: Plan, metric: str) -> int:
    """Return the GPUs of a regressor's job: one for each of its processes, 0 without a use."""
    entry = plan.get_metric(metric)
    if entry["kind"] != "regressor":
        return 0
    uses_gpu = heads.uses_gpu(entry["head"], entry.get("options") or {})
    return count_metric_processes(plan, metric) if uses_gpu else 0


def count_metric_processes(plan: Plan, metric: str) -> int:
    """Return the processes that train each network of a regressor together, 1 by default."""
    return int((plan.get_metric(metric).get("options") or {}).get("processes", 1))


def estimate_memory_mb(
    extractor: str, threads: int, attempt: int, command: Command | None = None
) -> int:
    """Return the host memory of an extraction job in MB, more at every attempt.

    An extractor whose network is large states the memory of a job with one reader as ``MEMORY_MB``.
    The entry of a program (``command``) states that of the program.

    >>> estimate_memory_mb("lse", 9, 1), estimate_memory_mb("signal", 1, 2)
    (5800, 2800)
    >>> estimate_memory_mb("blip", 1, 1)
    4400
    """
    default = _WITH_WEIGHTS_MB if base.has_weights(extractor) else _WITHOUT_WEIGHTS_MB
    fixed = int(EXTRACTORS.read(extractor, "MEMORY_MB", default))
    if command:
        fixed = _WITHOUT_WEIGHTS_MB + round(1024 * command.memory_gb)
    return (fixed + _READER_MB * max(1, threads - 1)) * attempt


def estimate_training_memory_mb(plan: Plan, metric: str, attempt: int) -> int:
    """Return the host memory of a job that trains a metric in MB, more at every attempt.

    A backbone whose network is large states its own. Several processes train a network each, beside
    the one that started them.
    """
    options = plan.get_metric(metric).get("options") or {}
    backbone = BACKBONES.get(str(options.get("backbone")))
    is_large = backbone is not None and options.get("blocks") != "reduced"
    memory_mb = backbone.memory_mb if backbone is not None and is_large else TRAINING_MB
    processes = count_metric_processes(plan, metric)
    return memory_mb * attempt * (processes + 1 if processes > 1 else 1)


def estimate_minutes(
    plan: Plan,
    samples: Path | str,
    extractor: str,
    method: str,
    shard: str,
    attempt: int,
    command: Command | None = None,
) -> int:
    """Return the time limit of an extraction job in minutes, more at every attempt.

    Three times what its videos take on one processor at the measured rates, between half an hour
    and a day: the next attempt resumes where a job was stopped. For a program (``command``) it is
    the limit of its entry for each video.
    """
    shards = read_shards(samples)
    videos = shards[method, shard].rows if (method, shard) in shards else 0
    if command:
        minutes = math.ceil(videos * command.minutes)
    else:
        rate = get_rate(extractor, plan.config["features"][extractor]["options"])
        minutes = math.ceil(_MARGIN * videos * _VIDEO_SEC * rate.cpu_sec / 60)
    return min(_MOST_MINUTES, max(_FEWEST_MINUTES, minutes) * attempt)
