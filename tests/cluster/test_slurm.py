"""The demo through a real Slurm: jobs are cancelled and stopped, the controller and Snakemake die."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest
from runs import THREADS, ClusterFlow, finished

from flow import SMALL, Flow, nothing_to_do
from sfqa.cache import find_records
from waiting import wait_until

pytestmark = pytest.mark.slow

CONFIG = {
    **SMALL,
    "features": {
        "lse": {"weights": "random", "options": {"detect_every": 5}},
        "signal": {"weights": "none"},
    },
    "regression": {
        "protocols": [{"name": "random", "kind": "random_kfold", "k": 2}],
        "metrics": {
            "LSE-C": {"kind": "zero_shot", "group": "SyncNet", "inputs": ["lse.lse_c"]},
            "ridge": {"kind": "regressor", "head": "ridge", "inputs": ["signal.sharpness"]},
        },
    },
}
VIDEOS = 8


@pytest.fixture(scope="module")
def undisturbed(slurm, tmp_path_factory):
    """The tables of a run on this machine alone."""
    flow = Flow(tmp_path_factory.mktemp("local"), CONFIG)
    flow.run(*THREADS)
    return flow.tables()


def same(ours, theirs):
    assert set(ours) == set(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == []


def test_stopped_and_cancelled_jobs_and_a_restarted_controller_cost_nothing(
    slurm, undisturbed, tmp_path
):
    flow = ClusterFlow(tmp_path / "cluster", CONFIG)
    process = flow.start()

    def feature_job():
        """One that runs and has rows, but not all of them."""
        for job in slurm.running("extract_features"):
            for method in ("sharp", "late"):
                path = flow.results / f"features/lse/cache/{method}/0.rows"
                mine = f"method_{method}" in job.comment or method in job.comment
                if "lse" in job.comment and mine and path.is_file():
                    count = sum(1 for _ in find_records(path))
                    if 0 < count < VIDEOS / 2:
                        return job
        return None

    # What Slurm sends before a job's limit, then what a person does to a job.
    first = wait_until(
        feature_job, process, seconds=900, why=lambda: flow.said[-3000:], every_sec=0.1
    )
    slurm.cancel(first.number, "TERM")
    wait_until(
        lambda: first.number not in {j.number for j in slurm.running()},
        process,
        seconds=900,
        every_sec=0.1,
    )
    second = wait_until(
        feature_job, process, seconds=900, why=lambda: flow.said[-3000:], every_sec=0.1
    )
    assert second.number != first.number
    slurm.cancel(second.number)
    slurm.stop_controller()
    time.sleep(5)
    slurm.start_controller()
    finished(process, flow)
    # Nothing twice: every row was computed once, although two jobs ended early.
    assert flow.rows("lse") == flow.rows("signal") == VIDEOS
    assert flow.said.count("Trying to restart job") >= 2
    # The first job was heard by the innermost process, past sh, srun and two Snakemakes.
    assert "Stopped by SIGTERM: what is finished is kept" in flow.slurm_logs()
    same(flow.tables(), undisturbed)
    assert nothing_to_do(flow.run("--executor", "local", "--cores", "1"))


@pytest.mark.parametrize("old_jobs", ["cancelled", "left running"])
def test_kill_9_of_snakemake_with_jobs_running_loses_nothing(
    slurm, undisturbed, tmp_path, old_jobs
):
    flow = ClusterFlow(tmp_path / "killed", CONFIG)
    process = flow.start("features")
    videos = flow.results / "generation"

    def half_made():
        made = list(videos.glob("*/records/*.json"))
        return slurm.running("generate_videos") and 0 < len(made) < VIDEOS / 2

    wait_until(half_made, process, seconds=900, why=lambda: flow.said[-3000:], every_sec=0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert slurm.running("generate_videos")  # Slurm knows nothing of Snakemake's end
    (run,) = set(re.findall(r"SLURM run ID: ([\w-]+)", flow.said))
    if old_jobs == "cancelled":
        slurm.cancel_run(run)
    made = {p: p.stat().st_mtime_ns for p in videos.glob("*/records/*.json")}
    assert made
    flow.run("--unlock")
    process = flow.start("features")
    finished(process, flow)
    if old_jobs == "cancelled":
        # Nothing twice: what was made before is as it was, and each row was computed once.
        assert {p: p.stat().st_mtime_ns for p in made} == made
        assert flow.rows("lse") == flow.rows("signal") == VIDEOS
    ours = flow.tables()
    assert sum(name.startswith("features/") for name in ours) == 4
    same(ours, {name: undisturbed[name] for name in ours})
