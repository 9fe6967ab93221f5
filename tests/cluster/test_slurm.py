"""The demo through a real Slurm: jobs are cancelled and stopped, the controller and Snakemake die."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from flow import SMALL, Flow, nothing_to_do
from sfqa.cache import _records

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
#: Floating sums depend on the number of threads: the same here and there, for equal bytes.
THREADS = ("--set-threads", "extract_features=2")
#: What this Slurm needs and a site's does not: it has no accounting, and answers at once.
HERE = (
    "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1",
    "--latency-wait", "10", "--jobs", "4", *THREADS,
)  # fmt: skip


class ClusterFlow(Flow):
    """The same workflow, its jobs by Slurm."""

    def command(self, *options):
        return [
            sys.executable, "-m", "snakemake", *options, "--workflow-profile", "profiles/slurm",
            *HERE, "--configfile", "test.yaml",
        ]  # fmt: skip

    def start(self, *targets):
        """Start a run in a session of its own; its output goes to cluster.log."""
        with open(self.folder / "cluster.log", "w") as out:
            return subprocess.Popen(
                self.command(*targets), cwd=self.folder, stdout=out, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

    @property
    def said(self):
        return (self.folder / "cluster.log").read_text()

    def rows(self, extractor):
        """Rows that were ever computed and kept: the files are only appended to."""
        files = self.results.glob(f"features/{extractor}/cache/**/*.rows")
        return sum(1 for path in files for _ in _records(path))

    def slurm_logs(self):
        return "".join(
            p.read_text() for p in sorted((self.folder / ".snakemake/slurm_logs").rglob("*.log"))
        )


def until(reached, process=None, seconds=900.0, why=lambda: ""):
    end = time.monotonic() + seconds
    while not (found := reached()):
        assert process is None or process.poll() is None, why()
        assert time.monotonic() < end, why()
        time.sleep(0.1)
    return found


def finished(process, flow, seconds=1800):
    code = process.wait(timeout=seconds)
    assert code == 0, flow.said[-6000:] + flow.slurm_logs()[-6000:] + flow.logs()


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
                    count = sum(1 for _ in _records(path))
                    if 0 < count < VIDEOS / 2:
                        return job
        return None

    # What Slurm sends before a job's limit, then what a person does to a job.
    first = until(feature_job, process, why=lambda: flow.said[-3000:])
    slurm.cancel(first.number, "TERM")
    until(lambda: first.number not in {j.number for j in slurm.running()}, process)
    second = until(feature_job, process, why=lambda: flow.said[-3000:])
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

    until(half_made, process, why=lambda: flow.said[-3000:])
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


def test_slurm_tells_a_job_before_its_limit(slurm, tmp_path):
    """With the option of the profile: the signal comes, the job saves, and Slurm kills nothing."""
    root = ClusterFlow(tmp_path / "any", CONFIG).folder
    code = (
        "import sys, time; sys.path.insert(0, 'workflow/scripts')\n"
        "from sfqa.job import job\n"
        "from sfqa import store\n"
        "with job('job.log'):\n"
        "    try:\n"
        "        time.sleep(600)\n"
        "    finally:\n"
        "        open('saved', 'w').write('rows')\n"
    )
    (root / "job.py").write_text(code)
    submitted = subprocess.run(
        [
            "sbatch", "--parsable", "--time=1", "--signal=TERM@30", "--output=out.log",
            f"--wrap=srun -n1 {sys.executable} job.py",
        ],
        cwd=root, env=slurm.env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    number = submitted.stdout.strip()
    until(lambda: number not in {j.number for j in slurm.jobs()}, seconds=150)
    assert (root / "saved").read_text() == "rows"
    assert "Stopped by SIGTERM" in (root / "out.log").read_text()
    shown = subprocess.run(
        ["scontrol", "show", "job", number], env=slurm.env, capture_output=True, text=True,
        check=True,
    ).stdout  # fmt: skip
    assert (
        "JobState=FAILED" in shown
    )  # by its own exit code, not TIMEOUT: the retry follows at once


def test_a_gpu_job_gets_a_device_of_its_own(slurm, tmp_path):
    """Two jobs of one GPU each see different devices, which is what the lease goes by."""
    numbers = []
    for n in range(2):
        done = subprocess.run(
            [
                "sbatch", "--parsable", "--gpus=1", "--time=2", f"--output=gpu{n}.log", "--mem=100",
                "--wrap=echo devices=$CUDA_VISIBLE_DEVICES; sleep 3",
            ],
            cwd=tmp_path, env=slurm.env, capture_output=True, text=True, check=True,
        )  # fmt: skip
        numbers.append(done.stdout.strip())
    until(lambda: not set(numbers) & {j.number for j in slurm.jobs()}, seconds=60)
    seen = [(tmp_path / f"gpu{n}.log").read_text().strip() for n in range(2)]
    if seen == ["devices=", "devices="]:
        pytest.skip("no device files may be made here, so Slurm only counts GPUs")
    assert sorted(seen) == ["devices=0", "devices=1"]
