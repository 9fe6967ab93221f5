"""What jobs request: a GPU only if they use one, no more GPU jobs than devices, readers and memory."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sfqa import job_requests, snakemake_tuning
from sfqa.gpu_names import Gpu
from sfqa.job_requests import ExtractionThreads

GPUS = [Gpu(f"GPU-{n}", f"GPU-{n}") for n in range(4)]


class FakeWorkflow:
    """What plan_threads reads of Snakemake's object."""

    def __init__(self, cores=16, local_exec=True, schedules=True, **resources) -> None:
        from snakemake.settings.types import ExecMode

        self.cores, self.local_exec, self.global_resources = cores, local_exec, resources
        self.exec_mode = ExecMode.DEFAULT if schedules else ExecMode.SUBPROCESS

    def register_resource(self, name, value):
        self.global_resources[name] = value


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    # Set first, so that what the tested code sets is undone too.
    monkeypatch.setenv("SFQA_EXTRACTION_THREADS", "1,1")
    monkeypatch.delenv("SFQA_EXTRACTION_THREADS")
    monkeypatch.delenv("SFQA_JOBS_PER_GPU", raising=False)


@pytest.fixture
def gpus(monkeypatch):
    """Lets a number of GPUs be visible."""

    def show(count):
        monkeypatch.setattr(job_requests, "list_visible_gpus", lambda: GPUS[:count])

    return show


@pytest.mark.parametrize(
    ("options", "memory_mb"),
    [
        ({}, 3000), ({"backbone": "fast_vqa"}, 3000), ({"backbone": "imagebind"}, 14500),
        ({"backbone": "imagebind", "blocks": "reduced"}, 3000),
        ({"backbone": "valor", "processes": 2}, 18000),
    ],
)  # fmt: skip
def test_a_large_backbone_requests_its_memory(options, memory_mb):
    plan = SimpleNamespace(get_metric=lambda name: {"kind": "regressor", "options": options})
    assert job_requests.estimate_training_memory_mb(plan, "m", 1) == memory_mb
    assert job_requests.estimate_training_memory_mb(plan, "m", 2) == 2 * memory_mb


@pytest.mark.parametrize(
    ("cores", "count", "threads"), [(8, 1, 8), (8, 4, 2), (64, 1, 17), (64, 4, 16), (2, 4, 1)]
)
def test_a_plain_profile_starts_no_more_gpu_jobs_than_devices(gpus, cores, count, threads):
    gpus(count)
    workflow = FakeWorkflow(cores)
    assert job_requests.plan_threads(workflow) == ExtractionThreads(with_gpu=threads)
    assert workflow.global_resources["gpu"] == count
    assert count * threads <= max(cores, count)


def test_jobs_that_share_a_gpu_are_counted(gpus, monkeypatch):
    gpus(2)
    monkeypatch.setenv("SFQA_JOBS_PER_GPU", "2")
    workflow = FakeWorkflow(32)
    assert job_requests.plan_threads(workflow).with_gpu == 8
    assert workflow.global_resources["gpu"] == 4


def test_a_limit_of_the_user_is_kept(gpus):
    gpus(4)
    workflow = FakeWorkflow(gpu=1)
    job_requests.plan_threads(workflow)
    assert workflow.global_resources["gpu"] == 1


def test_without_a_gpu_nothing_is_limited(gpus):
    gpus(0)
    workflow = FakeWorkflow()
    assert job_requests.plan_threads(workflow) == ExtractionThreads(1, 1)
    assert workflow.global_resources == {}


def test_on_a_cluster_a_gpu_job_has_eight_readers(gpus):
    gpus(4)  # of the login node: not those of the jobs
    workflow = FakeWorkflow(local_exec=False)
    assert job_requests.plan_threads(workflow) == ExtractionThreads(9, 4)
    assert workflow.global_resources == {}


def test_the_jobs_of_a_run_follow_its_scheduling_process(gpus):
    gpus(1)
    job_requests.plan_threads(FakeWorkflow(8))
    gpus(0)
    assert job_requests.plan_threads(FakeWorkflow(8, schedules=False)) == ExtractionThreads(8, 1)


@pytest.mark.parametrize(
    ("metric", "count"),
    [
        ({"kind": "regressor", "head": "mlp"}, 1), ({"kind": "regressor", "head": "ridge"}, 1),
        ({"kind": "regressor", "head": "mlp", "options": {"processes": 4}}, 4),
        ({"kind": "regressor", "head": "svr"}, 0), ({"kind": "regressor", "head": "boosting"}, 0),
        ({"kind": "regressor", "head": "random_forest"}, 0),
        ({"kind": "regressor", "head": "blend", "options": {"members": ["boosting"]}}, 0),
        ({"kind": "regressor", "head": "blend"}, 1),  # kernel and boosting by default
        ({"kind": "zero_shot", "head": None}, 0), ({"kind": "control"}, 0),
    ],
)  # fmt: skip
def test_heads_that_run_on_the_cpu_request_no_gpu(metric, count):
    plan = SimpleNamespace(get_metric=lambda name: metric)
    assert job_requests.count_metric_gpus(plan, "any") == count


def test_extractors_without_weights_request_no_gpu():
    names = ("slowfast", "clip", "lse", "spatial", "audio", "signal")
    assert [job_requests.count_extractor_gpus(name) for name in names] == [1, 1, 1, 1, 0, 0]


def test_minutes_follow_the_videos_and_grow_with_attempts(monkeypatch):
    shards = {("m", str(n)): SimpleNamespace(rows=rows) for n, rows in enumerate((1, 240, 10**5))}
    monkeypatch.setattr(job_requests, "read_shards", lambda samples: shards)
    plan = SimpleNamespace(config={"features": {"slowfast": {"options": {}}}})

    def minutes(shard, attempt=1):
        return job_requests.estimate_minutes(plan, "x", "slowfast", "m", shard, attempt)

    assert [minutes("0"), minutes("0", 3), minutes("9")] == [30, 90, 30]
    assert [minutes("1"), minutes("1", 2)] == [
        120,
        240,
    ]  # 240 videos of 10 s at 1 s a second, thrice
    assert minutes("2") == 24 * 60


# ---------------------------------------------------------------- with Snakemake itself

SNAKEFILE = """
import sys, time
sys.path.insert(0, {package!r})
from sfqa import job_requests
job_requests.plan_threads(workflow)
rule all:
    input: expand("{{n}}.txt", n=range(6))
rule use:
    output: "{{n}}.txt"
    resources: gpu=1
    run:
        begun = time.time()
        time.sleep(0.4)
        open(output[0], "w").write(f"{{begun}} {{time.time()}}")
"""


@pytest.mark.thorough
@pytest.mark.parametrize("gpus_listed", [pytest.param(1, marks=pytest.mark.thorough), 2])
def test_snakemake_with_eight_cores_runs_one_gpu_job_per_device(tmp_path, monkeypatch, gpus_listed):
    import subprocess

    package = Path(job_requests.__file__).parents[1]
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(package=str(package)))
    tool = tmp_path / "bin/nvidia-smi"
    tool.parent.mkdir()
    lines = "".join(f"GPU {n}: T4 (UUID: GPU-{n})\\n" for n in range(gpus_listed))
    tool.write_text(f"#!/bin/sh\nprintf '{lines}'\n")
    tool.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "8"], cwd=tmp_path, capture_output=True,
        text=True, check=False, env={**os.environ, "PATH": f"{tool.parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    times = [tuple(map(float, p.read_text().split())) for p in tmp_path.glob("*.txt")]
    at_once = [sum(begun <= start < ended for begun, ended in times) for start, _ in times]
    assert max(at_once) <= gpus_listed
    assert len(times) == 6


# ---------------------------------------------------------------- before the first job


@pytest.fixture
def start(monkeypatch):
    """Check the GPUs at the start of a run; returns the warning, or raises its error."""
    import snakemake.logging

    from sfqa import gpu_names, gpu_support

    def check(gpu_count, reason="", features=False, regression=False, extractors=1, **more):
        settings = {"local_exec": True, "conda": False, **more}
        workflow = SimpleNamespace(
            local_exec=settings["local_exec"],
            deployment_settings=SimpleNamespace(
                deployment_method={"conda"} if settings["conda"] else set()
            ),
        )
        required = {"features": features, "regression": regression}
        warnings: list[str] = []
        monkeypatch.setattr(snakemake.logging.logger, "warning", warnings.append)
        monkeypatch.setattr(gpu_names, "list_visible_gpus", lambda: GPUS[:gpu_count])
        monkeypatch.setattr(gpu_support, "ask_unusable_gpu", lambda variables: reason)
        plan = SimpleNamespace(config={"require_gpu": required})
        snakemake_tuning.check_gpus(workflow, plan, extractors, 1)
        return warnings

    return check


def test_the_start_says_why_a_gpu_is_not_used_or_stops(start):
    from snakemake.exceptions import WorkflowError

    old = "the NVIDIA driver is too old for PyTorch"
    assert (
        start(0) == start(1) == start(1, old, local_exec=False) == start(1, old, conda=True) == []
    )
    assert start(1, old) == [f"No GPU is used: {old}"]
    with pytest.raises(WorkflowError, match=f"config, features.require_gpu: true, but {old}"):
        start(1, old, features=True)
    both = re.escape("features.require_gpu and regression.require_gpu: true, but no GPU is visible")
    with pytest.raises(WorkflowError, match=both):
        start(0, features=True, regression=True)
    assert start(0, features=True, extractors=0) == []  # no extractor that uses one


def test_torch_is_asked_in_a_process_of_its_own():
    from sfqa.gpu_support import ask_unusable_gpu

    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    reason = ask_unusable_gpu({"CUDA_VISIBLE_DEVICES": "0"})
    assert "PyTorch" in reason
    assert "docs/gpus.md" in reason
